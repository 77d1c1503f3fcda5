"""One call of the API, whatever the protocol: who calls, may they, and what is the answer."""

import logging
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import TypeAlias

from google.protobuf.message import Message

from ..._wire.methods import Method
from ..interfaces import Api, Refusal
from ..tokens import Tokens, check_role

Work: TypeAlias = Callable[[], Message]
Around: TypeAlias = Callable[[Work], Message]

AROUND: ContextVar[tuple[Around, ...]] = ContextVar("AROUND", default=())
"""What is wrapped around the work of the current call, the first outermost: faults on purpose."""

_log = logging.getLogger("cwinference.emulator")


class Service:
    """The API behind its tokens."""

    def __init__(self, api: Api, tokens: Tokens) -> None:
        self._api = api
        self._tokens = tokens

    def call(self, method: Method, request: Message, authorization: str | None) -> Message:
        """Answer one request. Raises `Refusal`, whatever goes wrong."""
        caller = self._tokens.caller(authorization)
        check_role(caller, method)
        try:
            work: Work = partial(self._api.call, method, request, caller)
            for around in reversed(AROUND.get()):
                work = partial(around, work)
            return work()
        except Refusal:
            raise
        except Exception:
            _log.exception("%s failed", method.name)
            raise Refusal("internal", "the emulator failed: its log tells more") from None

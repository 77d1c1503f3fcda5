"""One call of the API, whatever protocol it came by: authenticate the caller, check the role, run the method."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from google.protobuf.message import Message

from ..._wire.methods import Method
from ..interfaces import Api, RpcError
from ..tokens import Tokens, check_role
from .codecs import Codec
from .drift import Drift

CallNext: TypeAlias = Callable[[], Message]
"""Runs the method, or the next interceptor around it; returns the response, or raises `RpcError`."""
Interceptor: TypeAlias = Callable[[CallNext], Message]
"""Runs around the method of one call: returns the response in its place, or raises `RpcError`."""

_log = logging.getLogger("cwinference.emulator")


class Service:
    """The API behind its tokens."""

    def __init__(self, api: Api, tokens: Tokens, drift: Drift | None = None) -> None:
        self._api = api
        self._tokens = tokens
        self._drift = drift or Drift()

    def respond(
        self,
        codec: Codec,
        method: Method,
        request: Message,
        authorization: str | None,
        interceptors: Sequence[Interceptor] = (),
    ) -> bytes:
        """Run one method as `call` does, and return its response as bytes."""
        return self._drift.encode(codec, self.call(method, request, authorization, interceptors))

    def call(
        self, method: Method, request: Message, authorization: str | None, interceptors: Sequence[Interceptor] = ()
    ) -> Message:
        """Run one method and return its response.

        Args:
            method: the method that is called.
            request: its request message.
            authorization: the value of the `Authorization` header, if the request has one.
            interceptors: run around the method, the first outermost. Here injected faults enter a call; they run only
                after the caller was authenticated.

        Raises:
            RpcError: the call failed, for whatever reason.
        """
        caller = self._tokens.caller(authorization)
        check_role(caller, method)
        call_next: CallNext = partial(self._api.call, method, request, caller)
        for interceptor in reversed(interceptors):
            call_next = partial(interceptor, call_next)
        try:
            return call_next()
        except RpcError:
            raise
        except Exception:
            _log.exception("%s failed", method.name)
            raise RpcError("internal", "internal error in the emulator; see its log") from None

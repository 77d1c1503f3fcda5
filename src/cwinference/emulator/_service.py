"""One call of the API, whatever the protocol: who calls, may they, and what is the answer."""

import logging

from google.protobuf.message import Message

from .._methods import Method
from ._auth import Tokens, check_role
from ._seam import Api, Refusal

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
            return self._api.call(method, request, caller)
        except Refusal:
            raise
        except Exception:
            _log.exception("%s failed", method.name)
            raise Refusal("internal", f"the emulator failed at {method.name}: its log tells more") from None

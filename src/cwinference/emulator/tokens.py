"""Authentication and authorization: each token belongs to a caller, and only callers with Inference Admin may write."""

from collections.abc import Mapping

from .._wire.methods import Method
from .interfaces import Caller, RpcError

ADMIN_TOKEN = "CW-SECRET-emulator-admin"  # noqa: S105 - printed when the emulator starts
VIEWER_TOKEN = "CW-SECRET-emulator-viewer"  # noqa: S105
ORGANIZATION = "cw1a2b"
"""The organization of the two default tokens."""
EXPECTED_TOKEN = "printable ASCII without spaces"  # noqa: S105
"""A description of valid tokens, for error messages."""


def is_token(text: object) -> bool:
    """Return whether a value can be sent as a token in an `Authorization` header."""
    return isinstance(text, str) and text != "" and text.isascii() and text.isprintable() and " " not in text


class Tokens:
    """The tokens that the emulator accepts."""

    def __init__(self, callers: Mapping[str, Caller]) -> None:
        self._callers = dict(callers)

    def __repr__(self) -> str:
        return f"Tokens({len(self._callers)})"

    def caller(self, authorization: str | None) -> Caller:
        """Return the caller that an `Authorization` header authenticates, or raise `RpcError` (unauthenticated)."""
        scheme, _, token = (authorization or "").partition(" ")
        if not scheme:
            raise RpcError("unauthenticated", "no credentials: send 'Authorization: Bearer <token>'")
        if scheme.lower() != "bearer":
            raise RpcError("unauthenticated", "the Authorization header is not of the form 'Bearer <token>'")
        caller = self._callers.get(token.strip())
        if caller is None:
            raise RpcError("unauthenticated", "the token is not valid")
        return caller


def check_role(caller: Caller, method: Method) -> None:
    """Raise `RpcError` (permission_denied) if a viewer calls a method that writes."""
    if not caller.admin and not method.read_only:
        raise RpcError("permission_denied", "this token lacks the role Inference Admin")

"""Who may call: tokens stand for callers, and callers without Inference Admin only read."""

from collections.abc import Mapping

from .._wire.methods import Method
from .interfaces import Caller, Refusal

ADMIN_TOKEN = "CW-SECRET-emulator-admin"  # noqa: S105 - printed when the emulator starts
VIEWER_TOKEN = "CW-SECRET-emulator-viewer"  # noqa: S105
ORGANIZATION = "cw1a2b"
"""The organization of the two default tokens."""
TOKEN_FORM = "expected printable ASCII without spaces"  # noqa: S105


def is_token(text: object) -> bool:
    """Whether it can stand in an `Authorization` header."""
    return isinstance(text, str) and text != "" and text.isascii() and text.isprintable() and " " not in text


class Tokens:
    """The tokens that the emulator knows."""

    def __init__(self, callers: Mapping[str, Caller]) -> None:
        self._callers = dict(callers)

    def __repr__(self) -> str:
        return f"Tokens({len(self._callers)})"

    def caller(self, authorization: str | None) -> Caller:
        """Whoever sent this `Authorization` header. Raises `Refusal` (unauthenticated)."""
        scheme, _, token = (authorization or "").partition(" ")
        if not scheme:
            raise Refusal("unauthenticated", "no credentials: send 'Authorization: Bearer <token>'")
        if scheme.lower() != "bearer":
            raise Refusal("unauthenticated", "the Authorization header is not of the form 'Bearer <token>'")
        caller = self._callers.get(token.strip())
        if caller is None:
            raise Refusal("unauthenticated", "the token is not valid")
        return caller


def check_role(caller: Caller, method: Method) -> None:
    """Raises `Refusal` (permission_denied) when a viewer wants to write."""
    if not caller.admin and not method.read_only:
        raise Refusal("permission_denied", "this token lacks the role Inference Admin")

"""Pages: how many items, from where on, and tokens that fit only the list that they came from."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode

from ..interfaces import Refusal, Violation
from . import rpc_errors as refusals

_USUAL, _MOST = 50, 1000
_POSITION_BYTES, _SEAL_BYTES = 8, 12


def size_of(requested: int) -> int:
    """Items on a page: 50 unless said otherwise, at most 1,000."""
    return min(requested, _MOST) if requested > 0 else _USUAL


def token_for(position: int, *listing: str) -> str:
    """A token that goes on after a position of a listing: method, organization, filter."""
    raw = position.to_bytes(_POSITION_BYTES, "big")
    return urlsafe_b64encode(raw + _seal(raw, listing)).decode().rstrip("=")


def position_of(token: str, *listing: str) -> int | None:
    """The position that a token goes on after; None for the first page."""
    if not token:
        return None
    try:
        data = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
    except ValueError:
        raise _foreign() from None
    position = int.from_bytes(data[:_POSITION_BYTES], "big")
    if token != token_for(position, *listing):
        raise _foreign()
    return position


def _seal(raw: bytes, listing: tuple[str, ...]) -> bytes:
    text = "\0".join(listing).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(raw + text, digest_size=_SEAL_BYTES).digest()


def _foreign() -> Refusal:
    text = "is not a token of this list with this filter"
    return refusals.invalid([Violation("page_token", "page_token.bound", text)])

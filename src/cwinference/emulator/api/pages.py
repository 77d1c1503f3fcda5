"""Pagination: page sizes, and page tokens that are only valid for the list that they came from."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode

from ..interfaces import RpcError, Violation
from . import rpc_errors

_DEFAULT_SIZE, _MAX_SIZE = 50, 1000
_POSITION_BYTES, _DIGEST_BYTES = 8, 12


def page_size(requested: int) -> int:
    """Return the number of items on a page: as requested, at most 1,000; 50 if 0 is requested."""
    return min(requested, _MAX_SIZE) if requested > 0 else _DEFAULT_SIZE


def encode_token(position: int, *listing: str) -> str:
    """Return a token for the page that follows a position.

    The listing is identified by its method, organization and filter.
    """
    # A token is the position and a digest of the position and the listing. In any other listing the digest differs:
    # a position means something else there, and the client would silently miss items. The digest needs no key, since
    # all that a forged token can do is to start somewhere else in the caller's own list.
    position_bytes = position.to_bytes(_POSITION_BYTES, "big")
    return urlsafe_b64encode(position_bytes + _digest(position_bytes, listing)).decode().rstrip("=")


def decode_token(token: str, *listing: str) -> int | None:
    """Return the position of a token, or None for an empty token, which means the first page.

    Raises `RpcError` (invalid_argument) if the token is not one of this listing.
    """
    if not token:
        return None
    try:
        data = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
    except ValueError:
        raise _invalid_token() from None
    position = int.from_bytes(data[:_POSITION_BYTES], "big")
    # Encoding the position again, instead of comparing digests, also rejects other spellings of the same bytes, which
    # base64 decoders accept: padding, or stray bits in the last character.
    if token != encode_token(position, *listing):
        raise _invalid_token()
    return position


def _digest(position_bytes: bytes, listing: tuple[str, ...]) -> bytes:
    text = "\0".join(listing).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(position_bytes + text, digest_size=_DIGEST_BYTES).digest()


def _invalid_token() -> RpcError:
    text = "is not a page token of this list with this filter"
    return rpc_errors.invalid_argument([Violation("page_token", "page_token.bound", text)])

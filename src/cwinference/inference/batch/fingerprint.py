"""A fingerprint of the requests of a batch, which grows with them, so that another input differs from a longer one."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from ...errors import ConfigurationError
from .requests import completion_of, digest_of, fields_of, take_key
from .source import OverlongLine

_SIZE = 16


@dataclass(frozen=True)
class Fingerprint:
    """What identifies the requests that were read so far."""

    count: int = 0
    """How many they are."""
    value: str = ""
    """Hexadecimal digits, of all of them in their order and with the numbers of their lines."""
    checkpoints: tuple[tuple[int, str], ...] = ()
    """The values after 1, 2, 4, 8 requests and so on."""

    def at(self, count: int) -> str | None:
        """Return the value after so many requests; None if it is not known."""
        return self.value if count == self.count else dict(self.checkpoints).get(count)

    def to_json(self) -> dict[str, Any]:
        """Return it as a value for JSON."""
        return {"count": self.count, "fingerprint": self.value, "checkpoints": [*map(list, self.checkpoints)]}


class RollingFingerprint:
    """Takes requests as they are read, and has the fingerprint of all so far. One thread adds, others may read."""

    def __init__(self) -> None:
        self._now = (0, b"")
        self._checkpoints: list[tuple[int, str]] = []

    @property
    def count(self) -> int:
        """How many requests there were."""
        return self._now[0]

    @property
    def value(self) -> str:
        """The hexadecimal digits of those so far."""
        return self._now[1].hex()

    @property
    def now(self) -> Fingerprint:
        """That of all so far."""
        count, value = self._now
        return Fingerprint(count, value.hex(), tuple(each for each in [*self._checkpoints] if each[0] <= count))

    def add(self, line: int, content: bytes) -> None:
        """Add a request, by what identifies it."""
        count, value = self._now
        count, value = count + 1, blake2b(b"%b%d\n%b" % (value, line, content), digest_size=_SIZE).digest()
        if not count & (count - 1):
            self._checkpoints.append((count, value.hex()))
        self._now = count, value


def content_of(request: Any) -> bytes:
    """Return what identifies a request: a line as it is, and otherwise its key and its digest if it has one."""
    if isinstance(request, bytes):
        return request.strip()
    if isinstance(request, str):
        return request.strip().encode("utf-8", "surrogatepass")
    if isinstance(request, OverlongLine):
        return b"overlong"
    try:
        fields = fields_of(request)
        custom_id = take_key(fields)
        return content_by(custom_id, digest_of(*completion_of(fields)))
    except ConfigurationError as error:  # it is none, and will fail
        return str(error).encode("utf-8", "surrogatepass")


def content_by(custom_id: str | None, digest: str) -> bytes:
    """Return what identifies a request that is no line."""
    return f"{digest}{custom_id or ''}".encode("utf-8", "surrogatepass")

"""Sets of keys in little memory, since a batch may have millions: 24 bytes a key at most, as many for its digest."""

import sys
from array import array
from hashlib import blake2b

_SMALLEST = 1024

UNDIGESTED = 0
"""The digest of a key that was added without one."""
_AMBIGUOUS = 1
"""The digest of a key that was added with several; that of no request."""


class KeySet:
    """Remembers strings by 64 bits of their hash. Among a million, two are confused with a probability of 10^-7."""

    def __init__(self) -> None:
        self._slots = array("q", bytes(8 * _SMALLEST))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: str) -> bool:
        number = _number(key)
        return self._slots[self._slot(number)] == number

    def add(self, key: str) -> bool:
        """Add a key; return False if it was there before."""
        number = _number(key)
        slot = self._slot(number)
        if self._slots[slot] == number:
            return False
        self._slots[slot] = number
        self._count += 1
        if 3 * self._count > 2 * len(self._slots):
            self._grow()
        return True

    def _slot(self, number: int) -> int:
        """Return the slot where it is, or would be: the first free one from its own on."""
        slots = self._slots
        slot = number % len(slots)
        while slots[slot] not in (0, number):
            slot = (slot + 1) % len(slots)
        return slot

    def _grow(self) -> None:
        size = 2 * len(self._slots)
        slots = array("q", bytes(8 * size))
        for number in self._slots:
            if number:  # as `_slot`, without the call, since each key is moved once or twice; none is there already
                slot = number % size
                while slots[slot]:
                    slot = (slot + 1) % size
                slots[slot] = number
        self._slots = slots


class CompletedKeys(KeySet):
    """The keys of completions, with 64 bits of their requests' digests."""

    def __init__(self) -> None:
        super().__init__()
        self._digests: array[int] | None = None
        """Parallel to the slots; None as long as no key has a digest."""
        self.last_line = 0
        """The largest key that may be the number of a line."""

    def note(self, key: str, digest: str | None, *, replaces: bool = False) -> None:
        """Add the key of a completion, with the digest of its request if it has one.

        With `replaces`, it is the digest of the key from now on; otherwise a key with two belongs to no request.
        """
        is_new = self.add(key)
        if key.isdecimal() and len(key) < 20:
            self.last_line = max(self.last_line, int(key))
        if digest is None and self._digests is None:
            return
        if self._digests is None:
            self._digests = array("q", bytes(8 * len(self._slots)))
        slot, value = self._slot(_number(key)), UNDIGESTED if digest is None else digest_number(digest)
        self._digests[slot] = value if is_new or replaces or self._digests[slot] == value else _AMBIGUOUS

    def digest(self, key: str) -> int | None:
        """Return what `digest_number` returned for the digest of a key; None if there is no such key."""
        number = _number(key)
        slot = self._slot(number)
        if self._slots[slot] != number:
            return None
        return UNDIGESTED if self._digests is None else self._digests[slot]

    def _grow(self) -> None:
        slots, digests = self._slots, self._digests
        super()._grow()
        if digests is not None:
            self._digests = array("q", bytes(8 * len(self._slots)))
            for number, digest in zip(slots, digests, strict=True):
                if number:
                    self._digests[self._slot(number)] = digest


def digest_number(digest: str) -> int:
    """Return 63 bits of a digest, which differ from `UNDIGESTED`."""
    return _number(digest) | 2


def _by_python(key: str) -> int:
    return str.__hash__(key) or 1


def _by_digest(key: str) -> int:
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), signed=True) or 1


_hashes_well = sys.hash_info.width == 64 and sys.hash_info.algorithm.startswith("siphash")
_number = _by_python if _hashes_well else _by_digest
"""Returns 64 bits of a string's hash, the same only within this process."""

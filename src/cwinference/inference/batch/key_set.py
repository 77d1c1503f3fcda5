"""A set of keys in little memory, since a batch may have millions: 16 bytes a key at most."""

from array import array
from hashlib import blake2b

_SMALLEST = 1024


class KeySet:
    """Remembers strings by 64 bits of their hash. Among a million, two are confused with a probability of 10^-7."""

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * _SMALLEST))
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
        old = self._slots
        self._slots = array("Q", bytes(16 * len(old)))
        for number in old:
            if number:
                self._slots[self._slot(number)] = number


def _number(key: str) -> int:
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()) or 1

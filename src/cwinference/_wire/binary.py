"""Protobuf's binary form, below messages: tags, varints, and the fields of a message whatever its type."""

from collections.abc import Iterator

VARINT, FIXED64, LENGTH_DELIMITED, GROUP, FIXED32 = 0, 1, 2, 3, 5
"""Wire types."""
_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}


def varint(value: int) -> bytes:
    """Return a number that is not negative as a varint."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*parts, value))


def read_varint(encoded: bytes, position: int) -> tuple[int, int]:
    """Return a varint, and where it ends. Raises IndexError if that is beyond the end."""
    value = shift = 0
    while True:
        byte = encoded[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


def tag(number: int, wire_type: int) -> bytes:
    """Return what a field begins with."""
    return varint(number << 3 | wire_type)


def sized(content: bytes) -> bytes:
    """Return a length-delimited value: the length before the content."""
    return varint(len(content)) + content


def content_of(value: bytes) -> bytes:
    """Return the content of a length-delimited value."""
    return value[read_varint(value, 0)[1] :]


def value_of(wire_type: int, value: int | bytes) -> bytes:
    """Return what follows the tag of a field: of a number, or of the content of a length-delimited one."""
    if isinstance(value, bytes):
        return sized(value)
    return varint(value) if wire_type == VARINT else value.to_bytes(_FIXED_SIZES[wire_type], "little")


def fields_in(encoded: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield number, wire type, and what follows the tag, of each field of a message without groups."""
    position = 0
    while position < len(encoded):
        head, start = read_varint(encoded, position)
        wire_type = head & 7
        if wire_type == LENGTH_DELIMITED:
            length, content = read_varint(encoded, start)
            position = content + length
        elif wire_type == VARINT:
            position = read_varint(encoded, start)[1]
        else:
            position = start + _FIXED_SIZES[wire_type]
        yield head >> 3, wire_type, encoded[start:position]

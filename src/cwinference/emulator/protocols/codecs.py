"""What all protocols of the emulator share: status codes and their numbers, two codecs, error details, gzip.

Fields with placeholder numbers are neither read nor written in binary: their real numbers are not published, so a real
server would take ours for unknown fields and ignore them, and so does this one.
"""

import gzip
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import Descriptor
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import DecodeError, Message

from ... import errors
from ..._wire.methods import FIRST_PLACEHOLDER, Method
from ..interfaces import RpcError
from .proto_json import fill_message, parse_object

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Largest request accepted, also after decompression; gRPC servers have the same default."""
_INFLATE_STEP = 4096
"""How many compressed bytes are decompressed at a time."""

GRPC_NUMBERS: Mapping[str, int] = {kind.code: number for number, kind in errors.BY_NUMBER.items()}

HTTP_STATUS: Mapping[str, int] = {
    "canceled": 499,
    "unknown": 500,
    "invalid_argument": 400,
    "deadline_exceeded": 504,
    "not_found": 404,
    "already_exists": 409,
    "permission_denied": 403,
    "resource_exhausted": 429,
    "failed_precondition": 400,
    "aborted": 409,
    "out_of_range": 400,
    "unimplemented": 501,
    "internal": 500,
    "unavailable": 503,
    "data_loss": 500,
    "unauthenticated": 401,
}
"""HTTP status of each code, as the Connect protocol defines it."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One encoding of messages."""

    name: str
    decode: Callable[[bytes, type[Message]], Message]
    """Raises `RpcError` when the bytes are not a message of this type."""
    encode: Callable[[Message], bytes]


def check_codec(method: Method, codec: Codec) -> None:
    """Raise `RpcError` for a binary call of a method whose field numbers are not published."""
    if method.json_only and codec is PROTO:
        raise RpcError("unimplemented", f"{method.path} has no published binary encoding; call it with JSON")


def pack(details: Iterable[Message]) -> Sequence[AnyMessage]:
    """Wrap each error detail in a `google.protobuf.Any`, unless it is one already."""
    packed: list[AnyMessage] = []
    for each in details:
        if isinstance(each, AnyMessage):
            packed.append(each)
        else:
            packed.append(AnyMessage())
            packed[-1].Pack(each)
    return packed


def decompress(body: bytes, encoding: str, limit: int = MAX_MESSAGE_BYTES) -> bytes:
    """Decompress a gzip body of at most `limit` bytes; with the encoding `identity`, or none, return it as it is.

    Raises:
        RpcError: the encoding is unknown, the body is not gzip, or it is longer than `limit` when decompressed.
    """
    coding = encoding.lower()
    if coding not in ("", "identity", "gzip", "x-gzip"):
        raise RpcError("unimplemented", f"unknown compression {encoding!r}: supported encodings are gzip, identity")
    # gRPC and Connect allow to send an empty message as no bytes at all, whatever the encoding.
    return body if not body or coding in ("", "identity") else _inflate(body, limit)


def _inflate(body: bytes, limit: int) -> bytes:
    """Decompress gzip, which may consist of several members. Memory in use stays within the limit, and a bit more."""
    # A few megabytes of gzip can expand to gigabytes. Inflating one byte more than the limit is enough to know that a
    # body is too large. And zlib copies what follows a member: in small steps that is little, even for many members.
    pieces: list[bytes] = []
    size, member = 0, None
    for start in range(0, len(body), _INFLATE_STEP):
        rest = body[start : start + _INFLATE_STEP]
        while rest:
            member = member or zlib.decompressobj(wbits=31)  # 31: gzip with its header and checksum
            try:
                pieces.append(member.decompress(rest, limit + 1 - size))
            except zlib.error as error:
                raise RpcError("invalid_argument", f"the body is not gzip: {error}") from None
            size += len(pieces[-1])
            if size > limit:
                raise too_large(limit)
            rest = member.unused_data
            member = None if member.eof else member
    if member is not None:
        raise RpcError("invalid_argument", "the body is not gzip: unexpected end")
    return b"".join(pieces)


def compress(body: bytes) -> bytes:
    """Compress a body with gzip, at its fastest level."""
    return gzip.compress(body, 1, mtime=0)


def too_large(limit: int = MAX_MESSAGE_BYTES) -> RpcError:
    """Return the error for a request beyond the limit, in bytes."""
    return RpcError("resource_exhausted", f"message is larger than the {limit} bytes accepted")


def _from_proto(body: bytes, kind: type[Message]) -> Message:
    try:
        message = kind.FromString(body)
    except DecodeError as error:
        raise RpcError("invalid_argument", f"unmarshal message: {error}") from None
    for path in _placeholders(kind.DESCRIPTOR):
        _clear(message, path)
    return message


def _to_proto(message: Message) -> bytes:
    paths = _placeholders(message.DESCRIPTOR)
    if any(_contains(message, path) for path in paths):
        copy = type(message)()  # the message may still be part of the API's own state
        copy.CopyFrom(message)
        for path in paths:
            _clear(copy, path)
        message = copy
    return message.SerializeToString()


def _from_json(body: bytes, kind: type[Message]) -> Message:
    message = kind()
    fill_message(message, parse_object(body))
    return message


def _to_json(message: Message) -> bytes:
    return MessageToJson(message, indent=None, ensure_ascii=False).encode()


PROTO = Codec("proto", _from_proto, _to_proto)
JSON = Codec("json", _from_json, _to_json)

_Path = tuple[str, ...]


@cache
def _placeholders(descriptor: Descriptor) -> tuple[_Path, ...]:
    """Return the path of every field with a placeholder number in a message: `("items", "spec", "hot_load")`."""
    found: list[_Path] = []
    for field in descriptor.fields:
        if field.number >= FIRST_PLACEHOLDER:
            found.append((field.name,))
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            found += [(field.name, *rest) for rest in _placeholders(field.message_type)]
    return tuple(found)


def _parents(message: Any, path: _Path) -> Iterable[Any]:
    """Return the messages that the last field of a path belongs to: several where the path has repeated fields."""
    if len(path) == 1:
        yield message
        return
    value = getattr(message, path[0])
    if not isinstance(value, Message):
        for each in value:
            yield from _parents(each, path[1:])
    elif message.HasField(path[0]):
        yield from _parents(value, path[1:])


def _contains(message: Message, path: _Path) -> bool:
    return any(_is_set(parent, path[-1]) for parent in _parents(message, path))


def _is_set(parent: Any, name: str) -> bool:
    value = getattr(parent, name)
    return bool(parent.HasField(name)) if isinstance(value, Message) else bool(value)


def _clear(message: Message, path: _Path) -> None:
    for parent in _parents(message, path):
        parent.ClearField(path[-1])

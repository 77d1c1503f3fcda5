"""What all protocols of the emulator share: codes and their numbers, two codecs, error details, gzip.

Fields with placeholder numbers neither enter nor leave in binary: the real numbers are not published, so a real server
would take ours for unknown fields, and so does this one.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import Descriptor
from google.protobuf.json_format import MessageToJson, ParseDict, ParseError
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp

from ... import errors
from ..._wire.methods import FIRST_PLACEHOLDER, Method
from ..interfaces import Refusal

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Largest request accepted, also after decompression; gRPC servers have the same default."""

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
"""HTTP status of each code, by the Connect protocol."""


@dataclass(frozen=True, slots=True)
class Codec:
    """A way to write messages down."""

    name: str
    decode: Callable[[bytes, type[Message]], Message]
    """Raises `Refusal` for bytes that are no such message."""
    encode: Callable[[Message], bytes]


def check_codec(method: Method, codec: Codec) -> None:
    """Refuse binary calls of methods whose numbers are not published, as a server with other numbers would."""
    if method.json_only and codec is PROTO:
        raise Refusal("unimplemented", f"{method.path} is not known in binary; call it with JSON")


def pack(details: Iterable[Message]) -> Sequence[AnyMessage]:
    """Error details, each in its box."""
    packed: list[AnyMessage] = []
    for each in details:
        if isinstance(each, AnyMessage):
            packed.append(each)
        else:
            packed.append(AnyMessage())
            packed[-1].Pack(each)
    return packed


def decompress(body: bytes, encoding: str, limit: int = MAX_MESSAGE_BYTES) -> bytes:
    """Undo gzip within a limit in bytes; `identity` and no encoding at all change nothing."""
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise Refusal("unimplemented", f"unknown compression {encoding!r}: supported encodings are gzip, identity")
    inflate = zlib.decompressobj(wbits=31)
    try:
        data = inflate.decompress(body, limit + 1)
    except zlib.error as error:
        raise Refusal("invalid_argument", f"the body is not gzip: {error}") from None
    if len(data) > limit:
        raise too_large(limit)
    if not inflate.eof:
        raise Refusal("invalid_argument", "the body is not gzip: it ends too early")
    return data


def compress(body: bytes) -> bytes:
    """By gzip, quickly rather than small."""
    return gzip.compress(body, 1, mtime=0)


def too_large(limit: int = MAX_MESSAGE_BYTES) -> Refusal:
    """The answer to a request beyond the limit."""
    return Refusal("resource_exhausted", f"message is larger than the {limit} bytes accepted")


def json_object(body: bytes) -> dict[str, Any]:
    """A body that is a JSON object."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal("invalid_argument", f"the body is not JSON: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise Refusal("invalid_argument", "the body is not a JSON object")
    return cast(dict[str, Any], value)


def from_fields(fields: dict[str, Any], kind: type[Message]) -> Message:
    """A message from its JSON form. What is unknown is ignored, as the official client and most servers do."""
    try:
        return ParseDict(fields, kind(), ignore_unknown_fields=True)
    except (ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        problem = _wrong_time(fields, kind) or f"unmarshal message: {str(error)[:500]}"
        raise Refusal("invalid_argument", problem) from None


def _wrong_time(fields: Mapping[str, Any], kind: type[Message]) -> str | None:
    """What is the matter when it is a time: the parser's own words are about its own ways to read one."""
    for field in kind.DESCRIPTOR.fields:
        value = fields.get(field.json_name, fields.get(field.name))
        if value is not None and field.message_type is Timestamp.DESCRIPTOR and not _is_time(value):
            return f"{field.name}: expected a time with its offset, such as 2026-01-31T12:00:00Z, got {value!r}"
    return None


def _is_time(value: Any) -> bool:
    try:
        Timestamp().FromJsonString(value)
    except (ValueError, TypeError, AttributeError):
        return False
    return True


def _from_proto(body: bytes, kind: type[Message]) -> Message:
    try:
        message = kind.FromString(body)
    except DecodeError as error:
        raise Refusal("invalid_argument", f"unmarshal message: {error}") from None
    for path in _placeholders(kind.DESCRIPTOR):
        _clear(message, path)
    return message


def _to_proto(message: Message) -> bytes:
    paths = _placeholders(message.DESCRIPTOR)
    if any(_holds(message, path) for path in paths):
        copy = type(message)()
        copy.CopyFrom(message)
        for path in paths:
            _clear(copy, path)
        message = copy
    return message.SerializeToString()


def _to_json(message: Message) -> bytes:
    return MessageToJson(message, indent=None, ensure_ascii=False).encode()


PROTO = Codec("proto", _from_proto, _to_proto)
JSON = Codec("json", lambda body, kind: from_fields(json_object(body), kind), _to_json)

_Path = tuple[str, ...]


@cache
def _placeholders(descriptor: Descriptor) -> tuple[_Path, ...]:
    """Where inside a message fields with placeholder numbers stand: `("items", "spec", "hot_load")`."""
    found: list[_Path] = []
    for field in descriptor.fields:
        if field.number >= FIRST_PLACEHOLDER:
            found.append((field.name,))
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            found += [(field.name, *rest) for rest in _placeholders(field.message_type)]
    return tuple(found)


def _holders(message: Any, path: _Path) -> Iterable[Any]:
    """The messages in which the last field of the path may stand."""
    if len(path) == 1:
        yield message
        return
    value = getattr(message, path[0])
    if not isinstance(value, Message):
        for each in value:
            yield from _holders(each, path[1:])
    elif message.HasField(path[0]):
        yield from _holders(value, path[1:])


def _holds(message: Message, path: _Path) -> bool:
    return any(_is_set(holder, path[-1]) for holder in _holders(message, path))


def _is_set(holder: Any, name: str) -> bool:
    value = getattr(holder, name)
    return bool(holder.HasField(name)) if isinstance(value, Message) else bool(value)


def _clear(message: Message, path: _Path) -> None:
    for holder in _holders(message, path):
        holder.ClearField(path[-1])

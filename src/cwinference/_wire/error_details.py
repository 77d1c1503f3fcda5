"""Error details: `google.rpc` messages, however they were sent. Nothing here raises, whatever a server sent."""

import binascii
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import Error as JsonError
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

_KNOWN: Mapping[str, type[Message]] = {
    descriptor.full_name: getattr(error_details_pb2, descriptor.name)
    for descriptor in error_details_pb2.DESCRIPTOR.message_types_by_name.values()
}


def from_any(details: Iterable[AnyMessage]) -> tuple[Message, ...]:
    """Return details that were packed in Any, as gRPC and Connect send them; unknown and broken ones stay packed."""
    return tuple(_unpack(each) for each in details)


def from_status(serialized: bytes) -> tuple[Message, ...]:
    """Return the details in a serialized `google.rpc.Status`, gRPC's `grpc-status-details-bin`."""
    try:
        return from_any(status_pb2.Status.FromString(serialized).details)
    except DecodeError:
        return ()


def from_json(details: object) -> tuple[Message, ...]:
    """Return details in a JSON body: Connect's `{"type", "value"}` or the `{"@type", ...}` of protobuf's JSON form."""
    return tuple(_from_entries(cast(list[object], details))) if isinstance(details, list) else ()


def retry_delay(details: Iterable[Message]) -> float | None:
    """Return the seconds to wait according to the first `RetryInfo` that has a delay, or None."""
    for each in details:
        if isinstance(each, error_details_pb2.RetryInfo) and each.HasField("retry_delay"):
            return max(0.0, each.retry_delay.seconds + each.retry_delay.nanos / 1e9)
    return None


def has_precondition_failure(details: Iterable[Message]) -> bool:
    """Return whether a `PreconditionFailure` is among them."""
    return any(isinstance(each, error_details_pb2.PreconditionFailure) for each in details)


def _unpack(packed: AnyMessage) -> Message:
    kind = _KNOWN.get(packed.type_url.rpartition("/")[2])
    if kind is None:
        return packed
    try:
        return kind.FromString(packed.value)
    except DecodeError:
        return packed


def _from_entries(entries: Sequence[object]) -> Iterator[Message]:
    for entry in entries:
        if not isinstance(entry, dict):
            continue
        fields = cast(dict[str, Any], entry)
        detail = _from_connect(fields) if "value" in fields and "type" in fields else _from_typed(fields)
        if detail is not None:
            yield detail


def _from_connect(entry: Mapping[str, Any]) -> Message | None:
    name, value = entry["type"], entry["value"]
    if not isinstance(name, str) or not isinstance(value, str):
        return None
    try:
        raw = b64decode(value + "=" * (-len(value) % 4))
    except (binascii.Error, ValueError):
        return None
    return _unpack(AnyMessage(type_url="type.googleapis.com/" + name.rpartition("/")[2], value=raw))


def _from_typed(entry: Mapping[str, Any]) -> Message | None:
    url = entry.get("@type")
    if not isinstance(url, str):
        return None
    kind = _KNOWN.get(url.rpartition("/")[2])
    if kind is None:
        return AnyMessage(type_url=url)
    fields = {key: value for key, value in entry.items() if key != "@type"}
    try:
        return ParseDict(fields, kind(), ignore_unknown_fields=True)
    except (JsonError, ValueError, TypeError, AttributeError, RecursionError):
        return AnyMessage(type_url=url)

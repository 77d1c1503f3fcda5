"""From the arguments of a method to a request: messages, ids and filters, refused by name where they do not fit."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, ParamSpec, TypeVar, cast

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from .._arguments import check_id
from ..errors import ConfigurationError

M = TypeVar("M", bound=Message)
P = ParamSpec("P")


def build(kind: Callable[P, M], *args: P.args, **fields: P.kwargs) -> M:
    """Return a message of the given fields. Raises a ConfigurationError that names the field that does not fit."""
    descriptor = cast(type[Message], kind).DESCRIPTOR
    for name, value in fields.items():
        if isinstance(value, str) and descriptor.fields_by_name[name].is_repeated:
            raise ConfigurationError(f"{name}: expected a list of strings, got the string {value!r}")
    try:
        return kind(*args, **fields)
    except (TypeError, ValueError):
        for name, value in fields.items():
            _check_alone(cast(Any, kind), descriptor.fields_by_name[name], value)
        raise


def _check_alone(kind: Callable[..., Message], field: Any, value: object) -> None:
    """Set a single field: protobuf's own errors do not say which one was wrong."""
    try:
        kind(**{field.name: value})
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{field.name}: {_mismatch(field, value) or error}") from None


def _mismatch(field: Any, value: object) -> str | None:
    """Return why a value does not fit, in terms of `types`; None where protobuf's own text says it as well."""
    if field.is_repeated:
        return None
    if field.message_type is not None and not isinstance(value, dict):
        return f"expected a types.{field.message_type.name}, got {type(value).__name__}"
    if field.enum_type is not None and isinstance(value, str):
        return f"there is no {value!r}; use one of {', '.join(field.enum_type.values_by_name)}"
    return None


def given_or_new(id: str | None, argument: str = "id") -> str:
    """Return the caller's id, or a random UUID of ours, by which a retried create is recognized."""
    if id is not None:
        return check_id(id, argument)
    from uuid import uuid4  # it imports much, which only creates need

    return str(uuid4())


def optional_id(id: str | None, argument: str) -> str:
    """Return an id to filter by; None means no filter, but an empty one is a mistake of the caller."""
    return "" if id is None else check_id(id, argument)


def later_than(updated_after: datetime | Timestamp | None) -> Timestamp | None:
    """Return the filter as a Timestamp. A naive datetime is refused: protobuf would silently take it as UTC."""
    if updated_after is None:
        return None
    if isinstance(updated_after, Timestamp):
        return _in_range(updated_after)
    if not isinstance(updated_after, datetime):
        raise ConfigurationError(
            f"updated_after: expected a datetime or a Timestamp, got {type(updated_after).__name__}"
        )
    if updated_after.utcoffset() is None:
        raise ConfigurationError("updated_after has no time zone; use datetime.now(timezone.utc), for example")
    timestamp = Timestamp()
    timestamp.FromDatetime(updated_after)
    return timestamp


def _in_range(timestamp: Timestamp) -> Timestamp:
    """Refuse what JSON cannot express, so that all transports behave alike."""
    try:
        timestamp.ToJsonString()
    except ValueError:
        raise ConfigurationError("updated_after: expected a Timestamp of the years 1 to 9999") from None
    return timestamp

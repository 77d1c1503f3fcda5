"""From the arguments of a method to a request: ids and filters, refused by name where they do not fit."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from .._arguments import check_id
from ..errors import ConfigurationError


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
    try:
        timestamp.FromDatetime(updated_after)
    except (OverflowError, ValueError):  # a time zone that moves it beyond what datetime can express in UTC
        raise ConfigurationError("updated_after: expected a datetime of the years 1 to 9999 in UTC") from None
    return timestamp


def _in_range(timestamp: Timestamp) -> Timestamp:
    """Refuse what JSON cannot express, so that all transports behave alike."""
    try:
        timestamp.ToJsonString()
    except ValueError:
        raise ConfigurationError("updated_after: expected a Timestamp of the years 1 to 9999") from None
    return timestamp

"""The `updated_after` filter, to the nanosecond."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from ..errors import ConfigurationError


def later_than(updated_after: datetime | Timestamp | None) -> Timestamp | None:
    """The filter as a Timestamp. A naive datetime is refused: protobuf would take it as UTC without a word."""
    if updated_after is None:
        return None
    if isinstance(updated_after, Timestamp):
        return _in_range(updated_after)
    if not isinstance(updated_after, datetime):
        raise ConfigurationError(
            f"updated_after: expected a datetime or a Timestamp, got {type(updated_after).__name__}"
        )
    if updated_after.utcoffset() is None:
        raise ConfigurationError("updated_after: it has no time zone; use datetime.now(timezone.utc) or the like")
    timestamp = Timestamp()
    timestamp.FromDatetime(updated_after)
    return timestamp


def _in_range(timestamp: Timestamp) -> Timestamp:
    """Refuse what JSON could not carry: it is to behave alike on every transport."""
    try:
        timestamp.ToJsonString()
    except ValueError:
        raise ConfigurationError("updated_after: expected a Timestamp of the years 1 to 9999") from None
    return timestamp

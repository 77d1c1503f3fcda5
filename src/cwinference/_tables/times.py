"""Ages and moments, short enough for a table."""

from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

_STEPS = ((86400.0, "d"), (3600.0, "h"), (60.0, "m"))


def moment(timestamp: Timestamp) -> datetime | None:
    """Return the time; None if there is none."""
    return timestamp.ToDatetime(tzinfo=UTC) if timestamp.seconds or timestamp.nanos else None


def age(since: datetime | None, now: datetime) -> str:
    """Return how long ago it was, such as `4d`, `3h`, `12m`, `5s`; empty if it is unknown."""
    if since is None:
        return ""
    seconds = max(0.0, (now - since) / timedelta(seconds=1))
    return next((f"{seconds / size:.0f}{unit}" for size, unit in _STEPS if seconds >= 2 * size), f"{seconds:.0f}s")


def elapsed(seconds: float) -> str:
    """Return a duration, such as `12 s` or `3 min 5 s`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"

"""`updated_after`: exact, and refused where it is ambiguous."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cwinference import errors
from cwinference.resources._arguments import later_than


def test_a_timestamp_keeps_its_nanoseconds() -> None:
    moment = Timestamp(seconds=1_790_000_000, nanos=123_456_789)
    assert later_than(moment) == moment


def test_a_datetime_keeps_its_microseconds() -> None:
    moment = datetime(2026, 11, 24, 15, 30, 0, 123_456, tzinfo=UTC)
    assert later_than(moment) == Timestamp(seconds=int(moment.timestamp()), nanos=123_456_000)


@pytest.mark.parametrize("offset", [timedelta(hours=-7), timedelta(hours=5, minutes=45), timedelta(seconds=1)])
def test_the_time_zone_is_taken_into_account(offset: timedelta) -> None:
    moment = datetime(2026, 11, 24, 15, 30, tzinfo=UTC)
    assert later_than(moment.astimezone(timezone(offset))) == later_than(moment)


def test_times_before_1970_are_exact_too() -> None:
    assert later_than(datetime(1969, 12, 31, 23, 59, 59, 250_000, tzinfo=UTC)) == Timestamp(
        seconds=-1, nanos=250_000_000
    )


def test_no_filter_stays_none() -> None:
    assert later_than(None) is None


class Nowhere(tzinfo):
    """A time zone without an offset, which Python treats like no time zone."""

    def utcoffset(self, dt: datetime | None, /) -> None:
        return None

    tzname = dst = utcoffset


@pytest.mark.parametrize("naive", [datetime(2026, 11, 24), datetime(2026, 11, 24, tzinfo=Nowhere())])
def test_a_naive_datetime_is_refused(naive: datetime) -> None:
    with pytest.raises(
        ValueError, match="^updated_after has no time zone; use datetime.now\\(timezone.utc\\), for example$"
    ):
        later_than(naive)


@pytest.mark.parametrize("wrong", ["2026-11-24T00:00:00Z", 1_790_000_000, datetime.now(UTC).date()])
def test_another_type_is_refused(wrong: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="^updated_after: expected a datetime or a Timestamp, got"):
        later_than(wrong)


@pytest.mark.parametrize("wrong", [{"seconds": 10**12}, {"nanos": -1}, {"nanos": 10**9}])
def test_a_timestamp_that_json_cannot_express_is_refused_on_every_transport(wrong: dict[str, int]) -> None:
    with pytest.raises(errors.ConfigurationError, match="^updated_after: expected a Timestamp of the years 1 to 9999$"):
        later_than(Timestamp(**wrong))

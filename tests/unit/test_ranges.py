"""Numbers, times and durations of every type and size: accepted, or refused with an error that names the argument."""

from datetime import UTC, date, datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

import pytest

from cwinference import Client, Retry, errors
from cwinference._arguments import check_at_least, check_count, check_http_version, check_timeout
from cwinference.resources._arguments import later_than

HUGE = 10**5000
"""Python refuses to print it."""


def kind_of(value: object) -> str:
    return type(value).__name__


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    "timeout", [True, NAN, 0, -1, -0.0, -INFINITY, -HUGE, "5", b"5", 5j, Fraction(5), timedelta(5)], ids=kind_of
)
def test_a_timeout_that_is_not_a_positive_number_of_seconds_is_refused(timeout: Any) -> None:
    with pytest.raises(
        errors.ConfigurationError, match="^timeout: expected a positive number of seconds, or None for no limit, got "
    ):
        check_timeout(timeout)


def test_a_timedelta_is_refused_with_advice() -> None:
    with pytest.raises(errors.ConfigurationError, match=r"got datetime.timedelta\(.*\); use its total_seconds\(\)$"):
        check_timeout(timedelta(seconds=5))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("timeout", [HUGE, INFINITY, 1e300, 10**12], ids=kind_of)
def test_a_timeout_of_ages_is_no_limit(timeout: float) -> None:
    assert check_timeout(timeout) is None


@pytest.mark.parametrize("count", [True, 2.0, NAN, INFINITY, 0, -1, -HUGE, "5", None], ids=kind_of)
def test_a_count_that_is_not_a_whole_number_above_zero_is_refused(count: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="^limit: expected a whole number above 0, got "):
        check_count(count, "limit")


@pytest.mark.parametrize("count", [HUGE, 2**31, 2**63], ids=kind_of)
def test_a_count_beyond_what_grpc_can_express_counts_as_its_highest(count: int) -> None:
    assert check_count(count, "limit") == 2**31 - 1


@pytest.mark.parametrize("number", [True, NAN, -0.1, -HUGE, -INFINITY, "5", None], ids=kind_of)
def test_a_number_below_the_least_is_refused(number: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="^max_backoff: expected a number of at least 0, got "):
        check_at_least(0, number, "max_backoff")


@pytest.mark.parametrize("version", [True, 1.0, 2.0, 0, 3, HUGE, NAN, "2"], ids=kind_of)
def test_an_http_version_that_is_not_one_or_two_is_refused(version: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="^http_version: expected None, 1 or 2, got "):
        check_http_version(version)


@pytest.mark.parametrize("endless", [HUGE, INFINITY], ids=kind_of)
def test_pauses_without_end_are_finite(endless: float) -> None:
    retry = Retry(initial_backoff=endless, multiplier=endless, max_backoff=endless, max_server_delay=endless)
    assert 0 < retry.backoff(3, 0.5) < 1e9


def test_a_limit_of_bytes_beyond_two_gibibytes_can_be_used_over_grpc() -> None:
    with (
        Client("token", endpoint="http://127.0.0.1:1", retry=None, max_reply_bytes=2**40) as client,
        pytest.raises(errors.Unavailable),
    ):
        client.gateways.list()


@pytest.mark.parametrize(
    "moment",
    [
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=5))),
    ],
)
def test_a_time_beyond_the_range_of_utc_is_refused(moment: datetime) -> None:
    with pytest.raises(
        errors.ConfigurationError, match="^updated_after: expected a datetime of the years 1 to 9999 in UTC$"
    ):
        later_than(moment)


@pytest.mark.parametrize("moment", [datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)])
def test_the_first_and_the_last_moment_in_utc_are_accepted(moment: datetime) -> None:
    found = later_than(moment)
    assert found is not None
    assert found.ToDatetime(UTC) == moment


@pytest.mark.parametrize("moment", [date.max, timedelta.max, HUGE, 1.5, True, "now"], ids=kind_of)
def test_what_is_no_time_is_refused(moment: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="^updated_after: expected a datetime or a Timestamp, got "):
        later_than(moment)

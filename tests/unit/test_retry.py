"""Attempts: what is retried, after which pause, until when, and at the expense of which budget."""

import contextlib
from typing import Any

import pytest

from cwinference import Retry, errors, types
from cwinference._calls.attempts import attempts
from cwinference._calls.flow import Call
from cwinference._calls.rpc import Rpc, whole
from cwinference._retry_rules import Hint
from cwinference._secrets import Secret
from cwinference.auth import Metadata, TokenCredentials
from cwinference.retry import Budget
from tests.support.flow_runner import FlowRunner, context

DONE = types.GetGatewayResponse()
DOWN = errors.Unavailable("down")


def bearer(token: str) -> Metadata:
    return Secret((("authorization", token),))


OLD, NEW = (bearer(token) for token in ("old", "new"))


def read(**options: Any) -> Rpc[types.GetGatewayResponse]:
    return whole(types.GetGatewayRequest(id="x"), types.GetGatewayResponse, **options)


def write() -> Rpc[types.UpdateGatewayResponse]:
    request = types.UpdateGatewayRequest(id="x")
    return whole(request, types.UpdateGatewayResponse, idempotent=False)


def unavailable(text: str, hint: Hint) -> errors.Unavailable:
    return errors.with_hint(errors.Unavailable(text), hint)


def run(runner: FlowRunner, call: Call[Any], **changed: Any) -> Any:
    """Make a call; `changed` are settings of the client."""
    return runner.run(attempts(call, context(runner, **changed)))


def failure_of(runner: FlowRunner, call: Call[Any], **changed: Any) -> Any:
    """Make a call that fails; return its error."""
    with pytest.raises(errors.ApiError) as caught:
        run(runner, call, **changed)
    return caught.value


def test_the_bound_of_the_pause_doubles_up_to_a_maximum() -> None:
    retry = Retry(initial_backoff=0.1, multiplier=2, max_backoff=0.5)
    assert [retry.backoff(attempt, 1.0) for attempt in (1, 2, 3, 4, 99)] == [0.1, 0.2, 0.4, 0.5, 0.5]


def test_the_pause_is_random_between_half_of_its_bound_and_the_bound() -> None:
    assert [Retry().backoff(1, chance) for chance in (0.0, 0.5, 1.0)] == pytest.approx([0.05, 0.075, 0.1])


def test_the_bound_does_not_overflow_after_thousands_of_attempts() -> None:
    assert Retry(max_attempts=10_000).backoff(2000, 1.0) == 2.0


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("max_attempts", 0),
        ("initial_backoff", -0.1),
        ("max_backoff", float("nan")),
        ("max_server_delay", -1),
        ("multiplier", 0.5),
        ("max_attempts", float("nan")),
        ("max_attempts", 2.5),
        ("max_backoff", None),
        ("multiplier", "2"),
        ("initial_backoff", True),
        ("attempt_timeout", 0),
    ],
)
def test_a_wrong_setting_is_refused_and_named(setting: str, value: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match=f"^{setting}:"):
        Retry(**{setting: value})


def test_a_call_is_retried_until_an_attempt_succeeds() -> None:
    runner = FlowRunner([DOWN, DOWN, DONE])
    assert run(runner, read()) == DONE
    assert runner.slept == pytest.approx([0.075, 0.15])


@pytest.mark.parametrize("chance", [0.0, 0.999])
def test_a_server_that_is_down_is_retried_for_more_than_2_seconds_but_not_for_long(chance: float) -> None:
    runner = FlowRunner([unavailable("refused", Hint.NOT_SENT)] * 99)
    runner.clock.chance = chance
    assert failure_of(runner, read()).message == "refused"
    assert 2.5 < sum(runner.slept) < 5.2


@pytest.mark.parametrize("chance", [0.0, 0.999])
def test_a_name_that_does_not_exist_is_reported_within_a_second(chance: float) -> None:
    runner = FlowRunner([unavailable("no such name", Hint.NO_SUCH_NAME)] * 99)
    runner.clock.chance = chance
    assert failure_of(runner, read()).attempts == 4
    assert 0.3 < sum(runner.slept) < 1.0


def test_no_name_is_tried_more_often_than_wanted() -> None:
    runner = FlowRunner([unavailable("no such name", Hint.NO_SUCH_NAME)] * 99)
    assert failure_of(runner, read(), retry=Retry(max_attempts=2)).attempts == 2


def test_a_call_fails_after_the_last_attempt() -> None:
    runner = FlowRunner([errors.Unavailable(str(number)) for number in range(1, 9)])
    error = failure_of(runner, read(), retry=Retry(max_attempts=3))
    assert (error.message, error.attempts, error.method) == ("3", 3, "GetGateway")


RETRIED = (errors.Unavailable, errors.DeadlineExceeded)


@pytest.mark.parametrize("kind", errors.CODES.values())
def test_reads_are_retried_on_these_codes_only(kind: type[errors.ApiError]) -> None:
    runner = FlowRunner([kind("no"), DONE])
    if kind in RETRIED:
        run(runner, read())
    else:
        assert failure_of(runner, read()).attempts == 1
    assert len(runner.sent) == (2 if kind in RETRIED else 1)


@pytest.mark.parametrize("kind", errors.CODES.values())
def test_updates_are_never_retried_if_they_may_have_been_processed(kind: type[errors.ApiError]) -> None:
    runner = FlowRunner([kind("no", retry_after=0.1), DONE])
    assert failure_of(runner, write()).attempts == 1


def test_updates_are_retried_if_they_certainly_were_not_processed() -> None:
    runner = FlowRunner([unavailable("refused", Hint.REFUSED), DONE])
    run(runner, write())
    assert len(runner.sent) == 2


def test_a_call_is_not_retried_if_that_cannot_help() -> None:
    runner = FlowRunner([unavailable("certificate", Hint.UNTRUSTED), DONE])
    assert failure_of(runner, read()).attempts == 1


def test_an_exhausted_resource_is_retried_after_the_delay_that_the_server_requested() -> None:
    runner = FlowRunner([errors.ResourceExhausted("slow", retry_after=2.5), DONE])
    run(runner, read())
    assert runner.slept == [2.5]


def test_a_delay_above_the_maximum_ends_the_call() -> None:
    runner = FlowRunner([errors.Unavailable("later", retry_after=30.5), DONE])
    assert failure_of(runner, read(), timeout=None).attempts == 1


def test_a_server_may_forbid_a_retry() -> None:
    runner = FlowRunner([errors.Unavailable("enough", retry_after=-0.001), DONE])
    assert failure_of(runner, read()).attempts == 1


def test_a_response_that_cannot_be_decoded_is_never_retried() -> None:
    runner = FlowRunner([DOWN, errors.ProtocolError("garbage"), DONE])
    with pytest.raises(errors.ProtocolError) as caught:
        run(runner, read())
    assert caught.value.attempts == 2


def test_each_attempt_gets_the_time_that_remains_for_the_whole_call() -> None:
    runner = FlowRunner([4.0, DOWN, 3.0, DOWN, DONE])
    run(runner, read(timeout=10))
    assert [step.timeout for step in runner.sent] == pytest.approx([10, 5.925, 2.775])


def test_attempts_may_have_a_timeout_of_their_own() -> None:
    runner = FlowRunner([4.0, errors.DeadlineExceeded("slow"), DONE])
    run(runner, read(timeout=5), retry=Retry(attempt_timeout=2))
    assert [step.timeout for step in runner.sent] == pytest.approx([2, 0.925])


def test_no_pause_goes_beyond_the_deadline() -> None:
    runner = FlowRunner([4.97, DOWN, DONE])
    assert failure_of(runner, read(timeout=5)).attempts == 1
    assert runner.slept == []


def test_no_timeout_means_no_timeout_for_attempts_either() -> None:
    runner = FlowRunner([1e9, DOWN, DONE])
    run(runner, read(timeout=None))
    assert [step.timeout for step in runner.sent] == [None, None]


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), True, "5"])
def test_a_wrong_timeout_is_refused_before_anything_is_sent(timeout: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="^timeout:"):
        read(timeout=timeout)


def test_a_refused_token_is_refreshed_once() -> None:
    refused = errors.Unauthenticated("expired")
    runner = FlowRunner([refused, errors.Unauthenticated("still")], [OLD, NEW])
    error = failure_of(runner, write(), credentials=TokenCredentials(lambda: "not used"), retry=None)
    assert [step.metadata for step in runner.sent] == [OLD, NEW]
    assert (error.message, error.attempts) == ("still", 2)


def test_an_attempt_for_which_no_time_remains_is_not_counted() -> None:
    runner = FlowRunner([errors.Unauthenticated("expired")], [OLD, 11.0, NEW])
    error = failure_of(runner, read(timeout=10), credentials=TokenCredentials(lambda: "not used"))
    assert type(error) is errors.DeadlineExceeded
    assert (error.attempts, error.method, len(runner.sent)) == (1, "GetGateway", 1)
    assert not error.may_have_succeeded


def test_a_call_whose_timeout_passed_before_the_first_attempt_cannot_have_succeeded() -> None:
    runner = FlowRunner([], [11.0, OLD])
    error = failure_of(runner, read(timeout=10), credentials=TokenCredentials(lambda: "not used"))
    assert type(error) is errors.DeadlineExceeded
    assert error.message == "timed out after 10 s, including retries"
    assert (runner.sent, error.may_have_succeeded) == ([], False)


@pytest.mark.parametrize(
    ("first", "expected"),
    [(errors.Unavailable("lost"), True), (unavailable("refused", Hint.REFUSED), False)],
    ids=["lost", "refused"],
)
def test_a_timeout_before_a_retry_says_whether_the_first_attempt_may_have_succeeded(
    first: errors.ApiError, expected: bool
) -> None:
    late = errors.with_hint(errors.DeadlineExceeded("timed out while waiting for the token source"), Hint.NOT_SENT)
    too_late: list[list[Any]] = [[OLD, late], [OLD, 11.0, NEW]]
    for tokens in too_late:
        runner = FlowRunner([first, DONE], tokens)
        error = failure_of(runner, read(timeout=10), credentials=TokenCredentials(lambda: "not used"))
        assert type(error) is errors.DeadlineExceeded
        assert (len(runner.sent), error.attempts, error.method) == (1, 1, "GetGateway")
        assert error.may_have_succeeded is expected


def test_a_call_is_not_retried_with_the_same_token() -> None:
    runner = FlowRunner([errors.Unauthenticated("expired"), DONE], [OLD, OLD])
    assert failure_of(runner, read(), credentials=TokenCredentials(lambda: "not used")).attempts == 1


def test_a_token_given_as_a_string_is_not_refreshed() -> None:
    runner = FlowRunner([errors.Unauthenticated("wrong"), DONE])
    assert failure_of(runner, read()).attempts == 1


def test_all_calls_of_a_client_share_a_budget_for_retries() -> None:
    budget, sent = Budget(capacity=3), 0
    for _ in range(10):
        runner = FlowRunner([errors.Unavailable("down")] * 9)
        failure_of(runner, read(), budget=budget)
        sent += len(runner.sent)
    assert sent == 10 + 3


def test_successes_refill_the_budget() -> None:
    budget = Budget(capacity=2)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    for _ in range(9):
        budget.succeed()
    assert not budget.take()
    for _ in range(5):
        budget.succeed()
    assert [budget.take() for _ in range(2)] == [True, False]


def test_the_calls_that_were_lost_with_a_connection_take_one_retry_together() -> None:
    budget = Budget(capacity=1)
    budget.succeed()
    assert [budget.take_lost(began, now=5.0) for began in (3.0, 1.0, 4.0)] == [True, True, True]
    assert not budget.take_lost(6.0, now=7.0), "it began after the loss"


def test_a_server_that_never_responded_makes_every_lost_call_take_a_retry() -> None:
    budget = Budget(capacity=2)
    assert [budget.take_lost(began, now=5.0) for began in (3.0, 1.0, 4.0)] == [True, True, False]


def test_a_success_after_a_loss_makes_the_next_loss_count_once_again() -> None:
    budget = Budget(capacity=2)
    budget.succeed()
    assert budget.take_lost(1.0, now=2.0)
    budget.succeed()
    assert [budget.take_lost(began, now=9.0) for began in (8.0, 7.0, 6.0)] == [True, True, True]


def test_the_budget_never_exceeds_its_capacity() -> None:
    budget = Budget(capacity=1)
    for _ in range(100):
        budget.succeed()
    assert [budget.take() for _ in range(2)] == [True, False]
    assert budget.touched


@pytest.mark.parametrize(
    ("outcomes", "code", "sent"),
    [
        ([DONE], "ok", 1),
        ([DOWN, DONE], "ok", 2),
        ([errors.NotFound("gone")], "not_found", 1),
        ([errors.ProtocolError("garbage")], "protocol_error", 1),
        ([errors.ConfigurationError("closed")], "error", 1),
    ],
)
def test_each_call_is_reported_to_on_call_once(outcomes: list[Any], code: str, sent: int) -> None:
    runner, calls = FlowRunner([2.0, *outcomes]), list[Any]()
    with contextlib.suppress(errors.InferenceError):
        run(runner, read(), on_call=lambda *call: calls.append(call), retry=Retry(initial_backoff=0))
    assert calls == [("GetGateway", code, sent, 2.0)]


def test_a_canceled_call_is_reported_as_canceled() -> None:
    runner, calls = FlowRunner([]), list[Any]()
    flow = attempts(read(), context(runner, on_call=lambda *call: calls.append(call)))
    next(flow)
    flow.close()
    assert [call[1] for call in calls] == ["canceled"]


def test_an_error_of_on_call_does_not_fail_the_call(caplog: pytest.LogCaptureFixture) -> None:
    assert run(FlowRunner([DONE]), read(), on_call=lambda *_: 1 / 0) == DONE
    assert "on_call failed" in caplog.text


def test_a_timeout_of_the_whole_call_is_reported_with_the_failure_before_it() -> None:
    late = errors.DeadlineExceeded("no response within 0.000246 s")
    runner = FlowRunner([errors.Unavailable("502"), 10.0, late])
    error = failure_of(runner, read(timeout=2))
    assert error.message == "timed out after 2 s, including retries; before that: 502 [unavailable]"

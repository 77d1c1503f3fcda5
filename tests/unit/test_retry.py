"""Attempts: what is repeated, after which pause, until when, and on whose account."""

import contextlib
from typing import Any, Unpack

import pytest

from cwinference import Retry, errors, types
from cwinference._calls.attempts import attempts
from cwinference._calls.rpc import Call, CallOptions, whole
from cwinference.auth import Credentials
from cwinference.retry import Budget
from tests.support.flow_runner import Performance, context

DONE = types.GetGatewayResponse()
DOWN = errors.Unavailable("down")
OLD, NEW = ((("authorization", "old"),), (("authorization", "new"),))


def read(**options: Unpack[CallOptions]) -> Call[types.GetGatewayResponse]:
    return whole(types.GetGatewayRequest(id="x"), types.GetGatewayResponse, options)


def write(**options: Unpack[CallOptions]) -> Call[types.UpdateGatewayResponse]:
    request = types.UpdateGatewayRequest(id="x")
    return whole(request, types.UpdateGatewayResponse, options, repeatable=False)


def perform(performance: Performance, call: Call[Any], **changed: Any) -> Any:
    return performance.of(attempts(call, context(performance, **changed)))


def failure_of(performance: Performance, call: Call[Any], **changed: Any) -> Any:
    with pytest.raises(errors.ApiError) as caught:
        perform(performance, call, **changed)
    return caught.value


def test_the_pause_doubles_up_to_its_longest() -> None:
    retry = Retry(initial_backoff=0.1, multiplier=2, max_backoff=0.5)
    assert [retry.backoff(attempt, 1.0) for attempt in (1, 2, 3, 4, 99)] == [0.1, 0.2, 0.4, 0.5, 0.5]


def test_the_pause_is_drawn_between_nothing_and_all_of_it() -> None:
    assert [Retry().backoff(1, chance) for chance in (0.0, 0.25, 1.0)] == [0.0, 0.025, 0.1]


def test_the_thousandth_pause_is_as_long_as_any_long_one() -> None:
    assert Retry(max_attempts=10_000).backoff(2000, 1.0) == 5.0


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
def test_a_wrong_setting_is_refused_by_name(setting: str, value: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match=f"^{setting}:"):
        Retry(**{setting: value})


def test_it_goes_on_until_an_attempt_works() -> None:
    performance = Performance([DOWN, DOWN, DONE])
    assert perform(performance, read()) == DONE
    assert performance.slept == [0.05, 0.1]


def test_it_gives_up_after_the_last_attempt() -> None:
    performance = Performance([errors.Unavailable(str(number)) for number in range(1, 9)])
    error = failure_of(performance, read(), retry=Retry(max_attempts=3))
    assert (error.message, error.attempts, error.method) == ("3", 3, "GetGateway")


REPEATED = (errors.Unavailable, errors.DeadlineExceeded)


@pytest.mark.parametrize("kind", errors.CODES.values())
def test_reads_are_repeated_on_these_codes_only(kind: type[errors.ApiError]) -> None:
    performance = Performance([kind("no"), DONE])
    if kind in REPEATED:
        perform(performance, read())
    else:
        assert failure_of(performance, read()).attempts == 1
    assert len(performance.sent) == (2 if kind in REPEATED else 1)


@pytest.mark.parametrize("kind", errors.CODES.values())
def test_other_writes_are_never_repeated_when_they_may_have_been_processed(kind: type[errors.ApiError]) -> None:
    performance = Performance([kind("no", retry_after=0.1), DONE])
    assert failure_of(performance, write()).attempts == 1


def test_other_writes_are_repeated_when_they_surely_were_not_processed() -> None:
    performance = Performance([errors.Unavailable("refused", unprocessed=True), DONE])
    perform(performance, write())
    assert len(performance.sent) == 2


def test_what_cannot_help_is_not_repeated() -> None:
    performance = Performance([errors.Unavailable("certificate", unprocessed=True, permanent=True), DONE])
    assert failure_of(performance, read()).attempts == 1


def test_a_quota_is_asked_again_only_after_the_servers_delay() -> None:
    performance = Performance([errors.ResourceExhausted("slow", retry_after=2.5), DONE])
    perform(performance, read())
    assert performance.slept == [2.5]


def test_a_servers_delay_above_the_ceiling_ends_the_call() -> None:
    performance = Performance([errors.Unavailable("later", retry_after=30.5), DONE])
    assert failure_of(performance, read(), timeout=None).attempts == 1


def test_a_server_that_wants_no_repeat_gets_none() -> None:
    performance = Performance([errors.Unavailable("enough", retry_after=-0.001), DONE])
    assert failure_of(performance, read()).attempts == 1


def test_garbage_is_never_asked_for_again() -> None:
    performance = Performance([DOWN, errors.ProtocolError("garbage"), DONE])
    with pytest.raises(errors.ProtocolError) as caught:
        perform(performance, read())
    assert caught.value.attempts == 2


def test_each_attempt_gets_what_is_left_of_the_whole_calls_time() -> None:
    performance = Performance([4.0, DOWN, 3.0, DOWN, DONE])
    perform(performance, read(timeout=10))
    assert [step.timeout for step in performance.sent] == pytest.approx([10, 5.95, 2.85])


def test_an_attempt_may_have_a_limit_of_its_own() -> None:
    performance = Performance([4.0, errors.DeadlineExceeded("slow"), DONE])
    perform(performance, read(timeout=5), retry=Retry(attempt_timeout=2))
    assert [step.timeout for step in performance.sent] == pytest.approx([2, 0.95])


def test_no_pause_outlasts_the_deadline() -> None:
    performance = Performance([4.97, DOWN, DONE])
    assert failure_of(performance, read(timeout=5)).attempts == 1
    assert performance.slept == []


def test_no_limit_is_no_limit() -> None:
    performance = Performance([1e9, DOWN, DONE])
    perform(performance, read(timeout=None))
    assert [step.timeout for step in performance.sent] == [None, None]


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), True, "5"])
def test_a_wrong_timeout_is_refused_before_anything_is_sent(timeout: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="^timeout:"):
        read(timeout=timeout)


def test_a_fresh_token_is_asked_for_once() -> None:
    refused = errors.Unauthenticated("expired")
    performance = Performance([refused, errors.Unauthenticated("still")], [OLD, NEW])
    error = failure_of(performance, write(), credentials=Credentials(lambda: "asked by hand"), retry=None)
    assert [step.metadata for step in performance.sent] == [OLD, NEW]
    assert (error.message, error.attempts) == ("still", 2)


def test_an_attempt_for_which_no_time_is_left_is_not_counted() -> None:
    performance = Performance([errors.Unauthenticated("expired")], [OLD, 11.0, NEW])
    error = failure_of(performance, read(timeout=10), credentials=Credentials(lambda: "asked by hand"))
    assert type(error) is errors.DeadlineExceeded
    assert (error.attempts, error.method, len(performance.sent)) == (1, "GetGateway", 1)


def test_the_same_token_again_is_not_tried_again() -> None:
    performance = Performance([errors.Unauthenticated("expired"), DONE], [OLD, OLD])
    assert failure_of(performance, read(), credentials=Credentials(lambda: "asked by hand")).attempts == 1


def test_a_token_given_as_a_string_is_not_asked_for_again() -> None:
    performance = Performance([errors.Unauthenticated("wrong"), DONE])
    assert failure_of(performance, read()).attempts == 1


def test_the_budget_ends_repeats_for_all_calls_of_a_client() -> None:
    budget, sent = Budget(capacity=3), 0
    for _ in range(10):
        performance = Performance([errors.Unavailable("down")] * 9)
        failure_of(performance, read(), budget=budget)
        sent += len(performance.sent)
    assert sent == 10 + 3


def test_successes_pay_the_budget_back() -> None:
    budget = Budget(capacity=2)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    for _ in range(9):
        budget.succeed()
    assert not budget.take()
    for _ in range(5):
        budget.succeed()
    assert [budget.take() for _ in range(2)] == [True, False]


def test_the_budget_never_holds_more_than_its_capacity() -> None:
    budget = Budget(capacity=1)
    for _ in range(100):
        budget.succeed()
    assert [budget.take() for _ in range(2)] == [True, False]
    assert budget.touched


@pytest.mark.parametrize(
    ("answers", "code", "sent"),
    [
        ([DONE], "ok", 1),
        ([DOWN, DONE], "ok", 2),
        ([errors.NotFound("gone")], "not_found", 1),
        ([errors.ProtocolError("garbage")], "protocol_error", 1),
        ([errors.ConfigurationError("closed")], "error", 1),
    ],
)
def test_each_call_is_reported_once(answers: list[Any], code: str, sent: int) -> None:
    performance, calls = Performance([2.0, *answers]), list[Any]()
    with contextlib.suppress(errors.InferenceError):
        perform(performance, read(), on_call=lambda *call: calls.append(call), retry=Retry(initial_backoff=0))
    assert calls == [("GetGateway", code, sent, 2.0)]


def test_a_call_that_was_given_up_is_reported_as_canceled() -> None:
    performance, calls = Performance([]), list[Any]()
    flow = attempts(read(), context(performance, on_call=lambda *call: calls.append(call)))
    next(flow)
    flow.close()
    assert [call[1] for call in calls] == ["canceled"]


def test_a_hook_that_fails_does_not_fail_the_call(caplog: pytest.LogCaptureFixture) -> None:
    assert perform(Performance([DONE]), read(), on_call=lambda *_: 1 / 0) == DONE
    assert "on_call failed" in caplog.text


def test_an_attempt_cut_short_by_the_whole_calls_limit_tells_that_limit_and_the_failure_before_it() -> None:
    late = errors.DeadlineExceeded("no answer within 0.000246 s")
    performance = Performance([errors.Unavailable("502"), 10.0, late])
    error = failure_of(performance, read(timeout=2))
    assert error.message == "the whole call's limit of 2 s was over; before that: 502 [unavailable]"

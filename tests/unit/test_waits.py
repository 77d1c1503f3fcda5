"""The flows that wait: how often they poll, how long they wait, and what they conclude."""

import logging
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cwinference import errors, types
from cwinference._retry_rules import Hint
from cwinference.resources._waits import Polling, until_gone, until_ready
from cwinference.status import summary
from tests.support.flow_runner import FlowRunner, poll

DOWN = errors.Unavailable("down")
GONE = errors.NotFound("gone")


def gateway(state: str, updated: int = 100, **spec: Any) -> types.Gateway:
    status = types.GatewayStatus(
        updated_at=Timestamp(seconds=updated), conditions=[condition("Ready", state == "READY")]
    )
    status.status = types.Status.Value(f"STATUS_{state}")
    return types.Gateway(spec=types.GatewaySpec(id="some-id", name="front", **spec), status=status)


def deployment(state: str, *, applied: bool | None, disabled: bool = True) -> types.Deployment:
    conditions = [] if applied is None else [condition("ResourcesApplied", applied)]
    return types.Deployment(
        spec=types.DeploymentSpec(id="some-id", disabled=disabled),
        status=types.DeploymentStatus(status=types.Status.Value(f"STATUS_{state}"), conditions=conditions),
    )


def hot_load(state: str) -> types.HotLoad:
    number = types.HotLoadState.Value(f"HOT_LOAD_STATE_{state}")
    return types.HotLoad(spec=types.HotLoadSpec(identity="step-1"), status=types.HotLoadStatus(state=number))


def condition(type_: str, is_true: bool) -> types.Condition:
    status = types.Condition.STATUS_TRUE if is_true else types.Condition.STATUS_FALSE
    return types.Condition(type=type_, status=status)


def waited(*polled: Any, timeout: float | None = 600, **how: Any) -> tuple[Any, FlowRunner]:
    """Return the result of a wait that polls these resources and errors."""
    runner = FlowRunner(polled)
    return runner.run(until_ready(poll, runner.clock.clock, timeout=timeout, **how)), runner


def failure(*polled: Any, timeout: float | None = 600, **how: Any) -> Any:
    """Return the error of such a wait."""
    with pytest.raises(errors.InferenceError) as caught:
        waited(*polled, timeout=timeout, **how)
    return caught.value


def test_pauses_start_short_and_grow_up_to_a_limit() -> None:
    pauses = [Polling().pause(polls, 0.5) for polls in range(1, 100)]
    assert pauses[:3] == [0.25, 0.375, 0.5625]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 10


@pytest.mark.parametrize(("chance", "share"), [(0.0, 0.75), (0.5, 1.0), (1.0, 1.25)])
def test_pauses_have_jitter(chance: float, share: float) -> None:
    assert Polling().pause(3, chance) == Polling().pause(3, 0.5) * share


@pytest.mark.parametrize("state", ["UNSPECIFIED", "CREATING", "UPDATING", "ERROR"])
def test_a_wait_polls_until_ready(state: str) -> None:
    found, runner = waited(gateway(state), gateway(state), gateway("READY"))
    assert found == gateway("READY")
    assert runner.slept == [0.25, 0.375]


def test_a_wait_continues_through_an_unknown_status() -> None:
    unknown = gateway("CREATING")
    unknown.status.status = 99  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    found, _ = waited(unknown, gateway("READY"))
    assert found == gateway("READY")


@pytest.mark.parametrize("state", ["FAILED", "DELETING"])
def test_a_terminal_state_ends_the_wait_with_the_unmet_conditions(state: str) -> None:
    error = failure(gateway("CREATING"), gateway(state))
    assert isinstance(error, errors.ResourceFailed)
    assert str(error) == f"Gateway front is {state} and will not become ready: Ready no"
    assert error.resource == gateway(state)


@pytest.mark.parametrize(
    "transient", [DOWN, errors.DeadlineExceeded("slow"), errors.ResourceExhausted("too many", retry_after=0)]
)
def test_a_wait_continues_through_transient_errors(transient: Exception) -> None:
    found, _ = waited(transient, gateway("CREATING"), transient, gateway("READY"))
    assert found == gateway("READY")


@pytest.mark.parametrize("error", [GONE, errors.PermissionDenied("no"), errors.ProtocolError("garbage")])
def test_other_errors_end_the_wait(error: errors.InferenceError) -> None:
    assert failure(gateway("CREATING"), error) is error


UNTRUSTED = errors.with_hint(errors.Unavailable("certificate"), Hint.UNTRUSTED)


def test_a_final_error_ends_the_wait_whatever_its_code() -> None:
    assert failure(gateway("CREATING"), UNTRUSTED) is UNTRUSTED


def test_a_server_that_forbids_a_retry_does_not_end_the_wait() -> None:
    found, _ = waited(errors.Unavailable("enough", retry_after=-1), gateway("READY"))
    assert found == gateway("READY")


def test_a_delay_requested_by_the_server_makes_the_pause_longer() -> None:
    _, runner = waited(errors.ResourceExhausted("slow", retry_after=7), gateway("READY"))
    assert runner.slept == [7]


def test_a_delay_requested_by_the_server_is_honored_up_to_thirty_seconds() -> None:
    _, runner = waited(errors.Unavailable("later", retry_after=9999), gateway("READY"))
    assert runner.slept == [30]


def test_a_timeout_reports_the_last_known_state() -> None:
    error = failure(*[gateway("CREATING")] * 9, timeout=1)
    assert isinstance(error, errors.WaitTimeout)
    assert isinstance(error, TimeoutError)
    assert str(error) == "not ready after 1 s; Gateway front: CREATING; Ready no"
    assert error.resource == gateway("CREATING")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.980636, "1 s"), (0.25, "0.25 s"), (0.001, "0.001 s"), (160.123, "160.1 s")]
)
def test_the_text_of_a_timeout_has_no_digits_that_nobody_wants(seconds: float, text: str) -> None:
    assert str(failure(*[gateway("CREATING")] * 99, timeout=seconds)).startswith(f"not ready after {text}; ")


def test_a_timeout_says_an_unmet_condition_once_and_of_what_is_ready_none() -> None:
    resource = gateway("CREATING")
    resource.status.conditions.append(resource.status.conditions[0])
    for zone, each in zip("ab", resource.status.conditions, strict=True):
        each.zone = zone
    assert summary(resource) == "Gateway front: CREATING; Ready in a, b no"
    assert summary(gateway("READY")).partition(";")[0] == "Gateway front: READY"


def test_the_last_poll_is_at_the_end_of_the_timeout() -> None:
    runner = FlowRunner([gateway("CREATING")] * 9)
    with pytest.raises(errors.WaitTimeout):
        runner.run(until_ready(poll, runner.clock.clock, timeout=1))
    assert runner.slept == [0.25, 0.375, 0.375]
    assert len(runner.sent) == 4


def test_no_poll_may_take_longer_than_the_time_that_remains() -> None:
    runner = FlowRunner([gateway("CREATING")] * 9)
    with pytest.raises(errors.WaitTimeout):
        runner.run(until_ready(poll, runner.clock.clock, timeout=1))
    assert [step.timeout for step in runner.sent] == [1, 0.75, 0.375, 0.001]


@pytest.mark.parametrize("timeout", [None, 600])
def test_a_poll_may_take_thirty_seconds_at_most(timeout: float | None) -> None:
    _, runner = waited(gateway("READY"), timeout=timeout)
    assert [step.timeout for step in runner.sent] == [30]


def test_a_timeout_without_a_successful_poll_reports_the_cause() -> None:
    error = failure(*[DOWN] * 9, timeout=1)
    assert str(error) == "not ready after 1 s; it was never read"
    assert (error.resource, error.__cause__) == (None, DOWN)


@pytest.mark.parametrize("timeout", [0, -1, "5"])
def test_a_wrong_timeout_is_refused_before_the_first_poll(timeout: Any) -> None:
    assert str(failure(timeout=timeout)).startswith("timeout: expected a positive number of seconds")


def test_ready_from_before_an_update_does_not_count() -> None:
    response = gateway("UPDATING", updated=100)
    stale, fresh = gateway("READY", updated=100), gateway("READY", updated=101)
    found, runner = waited(stale, gateway("UPDATING", updated=101), fresh, after=response)
    assert found == fresh
    assert len(runner.sent) == 3


def test_ready_that_does_not_change_after_an_update_counts_after_ten_seconds() -> None:
    stale = gateway("READY", updated=100)
    found, runner = waited(*[stale] * 20, after=stale)
    assert found == stale
    assert 10 <= sum(runner.slept) < 15


def test_failed_from_before_an_update_does_not_count_either() -> None:
    response = gateway("UPDATING", updated=100)
    found, _ = waited(gateway("FAILED", updated=100), gateway("READY", updated=101), after=response)
    assert found.status.updated_at.seconds == 101


def test_deleting_always_counts() -> None:
    assert isinstance(failure(gateway("DELETING"), after=gateway("UPDATING")), errors.ResourceFailed)


def test_a_disabled_deployment_is_ready_when_its_resources_are_applied() -> None:
    last = deployment("UPDATING", applied=True)
    found, _ = waited(deployment("UPDATING", applied=None), deployment("UPDATING", applied=False), last)
    assert found == last


def test_a_disabled_deployment_can_fail_too() -> None:
    assert isinstance(failure(deployment("FAILED", applied=True)), errors.ResourceFailed)


def test_an_enabled_deployment_is_not_ready_when_its_resources_are_applied() -> None:
    ready = deployment("READY", applied=True, disabled=False)
    found, _ = waited(deployment("CREATING", applied=True, disabled=False), ready)
    assert found == ready


def test_a_wait_for_a_hot_load_polls_until_completed() -> None:
    found, _ = waited(hot_load("PENDING"), hot_load("IN_PROGRESS"), hot_load("COMPLETED"))
    assert found == hot_load("COMPLETED")


@pytest.mark.parametrize("state", ["FAILED", "CANCELED"])
def test_a_hot_load_that_will_not_complete_ends_the_wait(state: str) -> None:
    assert f"HotLoad step-1 is {state}" in str(failure(hot_load("PENDING"), hot_load(state)))


def test_each_change_is_passed_to_the_callback_once() -> None:
    seen: list[Any] = []
    creating, ready = gateway("CREATING"), gateway("READY")
    waited(creating, creating, DOWN, creating, gateway("CREATING", updated=101), ready, on_change=seen.append)
    assert seen == [creating, gateway("CREATING", updated=101), ready]


def test_changes_of_state_and_failures_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "cwinference"):
        waited(gateway("CREATING"), gateway("CREATING", updated=101), DOWN, gateway("READY"))
    assert caplog.messages == ["Gateway front: CREATING", "wait: down [unavailable]", "Gateway front: READY"]


def test_an_error_raised_by_on_change_ends_the_wait() -> None:
    with pytest.raises(ZeroDivisionError):
        waited(gateway("CREATING"), on_change=lambda _: 1 / 0)


def test_a_wait_for_deletion_polls_until_not_found() -> None:
    runner = FlowRunner([gateway("READY"), gateway("DELETING"), DOWN, gateway("FAILED"), GONE])
    runner.run(until_gone(poll, runner.clock.clock, timeout=600))
    assert len(runner.sent) == 5


def test_a_final_error_ends_a_wait_for_deletion() -> None:
    runner = FlowRunner([gateway("DELETING"), UNTRUSTED])
    with pytest.raises(errors.Unavailable) as caught:
        runner.run(until_gone(poll, runner.clock.clock, timeout=600))
    assert caught.value is UNTRUSTED


def test_a_wait_for_deletion_times_out() -> None:
    runner = FlowRunner([gateway("DELETING")] * 9)
    with pytest.raises(errors.WaitTimeout, match="^not gone after 1 s; Gateway front: DELETING"):
        runner.run(until_gone(poll, runner.clock.clock, timeout=1))

"""The flows that wait, performed by hand: what they look at, how long they wait, and what they conclude."""

import logging
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cwinference import errors, types
from cwinference.resources._waits import Polling, until_gone, until_ready
from tests.support.flow_runner import Performance, look

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


def condition(type_: str, holds: bool) -> types.Condition:
    status = types.Condition.STATUS_TRUE if holds else types.Condition.STATUS_FALSE
    return types.Condition(type=type_, status=status)


def waited(*answers: Any, timeout: float | None = 600, **how: Any) -> tuple[Any, Performance]:
    performance = Performance(answers)
    return performance.of(until_ready(look, performance.clock.clock, timeout=timeout, **how)), performance


def failure(*answers: Any, timeout: float | None = 600, **how: Any) -> Any:
    with pytest.raises(errors.InferenceError) as caught:
        waited(*answers, timeout=timeout, **how)
    return caught.value


def test_pauses_start_short_grow_and_stop_growing() -> None:
    pauses = [Polling().pause(looks, 0.5) for looks in range(1, 100)]
    assert pauses[:3] == [0.25, 0.375, 0.5625]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 10


@pytest.mark.parametrize(("chance", "share"), [(0.0, 0.75), (0.5, 1.0), (1.0, 1.25)])
def test_pauses_carry_jitter(chance: float, share: float) -> None:
    assert Polling().pause(3, chance) == Polling().pause(3, 0.5) * share


@pytest.mark.parametrize("state", ["UNSPECIFIED", "CREATING", "UPDATING", "ERROR"])
def test_a_wait_goes_on_until_ready(state: str) -> None:
    found, performance = waited(gateway(state), gateway(state), gateway("READY"))
    assert found == gateway("READY")
    assert performance.slept == [0.25, 0.375]


def test_a_number_that_this_release_does_not_know_is_waited_through() -> None:
    odd = gateway("CREATING")
    odd.status.status = 99  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    found, _ = waited(odd, gateway("READY"))
    assert found == gateway("READY")


@pytest.mark.parametrize("state", ["FAILED", "DELETING"])
def test_a_hopeless_one_ends_the_wait_with_its_conditions(state: str) -> None:
    error = failure(gateway("CREATING"), gateway(state))
    assert isinstance(error, errors.ResourceFailed)
    assert str(error) == f"Gateway front is {state} and will not be ready: Ready no"
    assert error.resource == gateway(state)


@pytest.mark.parametrize(
    "trouble", [DOWN, errors.DeadlineExceeded("slow"), errors.ResourceExhausted("too many", retry_after=0)]
)
def test_passing_failures_are_waited_through(trouble: Exception) -> None:
    found, _ = waited(trouble, gateway("CREATING"), trouble, gateway("READY"))
    assert found == gateway("READY")


@pytest.mark.parametrize("trouble", [GONE, errors.PermissionDenied("no"), errors.ProtocolError("garbage")])
def test_other_failures_end_the_wait(trouble: errors.InferenceError) -> None:
    assert failure(gateway("CREATING"), trouble) is trouble


UNTRUSTED = errors.Unavailable("certificate", permanent=True)


def test_an_error_that_will_not_pass_ends_the_wait() -> None:
    assert failure(gateway("CREATING"), UNTRUSTED) is UNTRUSTED


def test_a_server_that_wants_no_repeat_of_a_look_does_not_end_the_wait() -> None:
    found, _ = waited(errors.Unavailable("enough", retry_after=-1), gateway("READY"))
    assert found == gateway("READY")


def test_a_servers_delay_makes_the_pause_longer() -> None:
    _, performance = waited(errors.ResourceExhausted("slow", retry_after=7), gateway("READY"))
    assert performance.slept == [7]


def test_a_servers_delay_is_not_obeyed_for_ever() -> None:
    _, performance = waited(errors.Unavailable("later", retry_after=9999), gateway("READY"))
    assert performance.slept == [30]


def test_the_end_of_the_time_is_a_timeout_that_tells_how_it_stood() -> None:
    error = failure(*[gateway("CREATING")] * 9, timeout=1)
    assert isinstance(error, errors.WaitTimeout)
    assert isinstance(error, TimeoutError)
    assert str(error) == "not ready after 1 s; Gateway front: CREATING\n  Ready no"
    assert error.resource == gateway("CREATING")


def test_the_last_look_is_at_the_very_end() -> None:
    performance = Performance([gateway("CREATING")] * 9)
    with pytest.raises(errors.WaitTimeout):
        performance.of(until_ready(look, performance.clock.clock, timeout=1))
    assert performance.slept == [0.25, 0.375, 0.375]
    assert len(performance.sent) == 4


def test_no_look_takes_longer_than_what_is_left() -> None:
    performance = Performance([gateway("CREATING")] * 9)
    with pytest.raises(errors.WaitTimeout):
        performance.of(until_ready(look, performance.clock.clock, timeout=1))
    assert [step.timeout for step in performance.sent] == [1, 0.75, 0.375, 0.001]


@pytest.mark.parametrize("timeout", [None, 600])
def test_a_look_takes_thirty_seconds_at_most(timeout: float | None) -> None:
    _, performance = waited(gateway("READY"), timeout=timeout)
    assert [step.timeout for step in performance.sent] == [30]


def test_a_resource_that_was_never_seen_is_told_with_the_cause() -> None:
    error = failure(*[DOWN] * 9, timeout=1)
    assert str(error) == "not ready after 1 s; it was never seen"
    assert (error.resource, error.__cause__) == (None, DOWN)


@pytest.mark.parametrize("timeout", [0, -1, "5"])
def test_a_wrong_timeout_is_refused_before_the_first_look(timeout: Any) -> None:
    assert str(failure(timeout=timeout)).startswith("timeout: expected seconds above 0")


def test_a_ready_from_before_an_update_does_not_count() -> None:
    reply = gateway("UPDATING", updated=100)
    stale, fresh = gateway("READY", updated=100), gateway("READY", updated=101)
    found, performance = waited(stale, gateway("UPDATING", updated=101), fresh, after=reply)
    assert found == fresh
    assert len(performance.sent) == 3


def test_a_ready_that_stays_as_it_was_counts_after_ten_seconds() -> None:
    stale = gateway("READY", updated=100)
    found, performance = waited(*[stale] * 20, after=stale)
    assert found == stale
    assert 10 <= sum(performance.slept) < 15


def test_a_failed_from_before_an_update_does_not_count_either() -> None:
    reply = gateway("UPDATING", updated=100)
    found, _ = waited(gateway("FAILED", updated=100), gateway("READY", updated=101), after=reply)
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


def test_a_hot_load_is_awaited_until_completed() -> None:
    found, _ = waited(hot_load("PENDING"), hot_load("IN_PROGRESS"), hot_load("COMPLETED"))
    assert found == hot_load("COMPLETED")


@pytest.mark.parametrize("state", ["FAILED", "CANCELED"])
def test_a_hot_load_that_will_not_complete_ends_the_wait(state: str) -> None:
    assert f"HotLoad step-1 is {state}" in str(failure(hot_load("PENDING"), hot_load(state)))


def test_each_change_is_told_once() -> None:
    seen: list[Any] = []
    creating, ready = gateway("CREATING"), gateway("READY")
    waited(creating, creating, DOWN, creating, gateway("CREATING", updated=101), ready, on_change=seen.append)
    assert seen == [creating, gateway("CREATING", updated=101), ready]


def test_the_log_tells_changes_of_state_and_failures(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "cwinference"):
        waited(gateway("CREATING"), gateway("CREATING", updated=101), DOWN, gateway("READY"))
    assert caplog.messages == ["Gateway front: CREATING", "wait: down [unavailable]", "Gateway front: READY"]


def test_an_error_in_on_change_ends_the_wait() -> None:
    with pytest.raises(ZeroDivisionError):
        waited(gateway("CREATING"), on_change=lambda _: 1 / 0)


def test_a_wait_for_the_end_goes_on_until_not_found() -> None:
    performance = Performance([gateway("READY"), gateway("DELETING"), DOWN, gateway("FAILED"), GONE])
    performance.of(until_gone(look, performance.clock.clock, timeout=600))
    assert len(performance.sent) == 5


def test_a_wait_for_the_end_ends_with_an_error_that_will_not_pass() -> None:
    performance = Performance([gateway("DELETING"), UNTRUSTED])
    with pytest.raises(errors.Unavailable) as caught:
        performance.of(until_gone(look, performance.clock.clock, timeout=600))
    assert caught.value is UNTRUSTED


def test_a_wait_for_the_end_has_an_end() -> None:
    performance = Performance([gateway("DELETING")] * 9)
    with pytest.raises(errors.WaitTimeout, match="^not gone after 1 s; Gateway front: DELETING"):
        performance.of(until_gone(look, performance.clock.clock, timeout=1))

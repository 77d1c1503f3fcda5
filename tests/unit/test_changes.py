"""The flows that create, delete and modify: what the outcome of a retry means, and what a change keeps."""

from collections.abc import Callable
from typing import Any

import pytest

from cwinference import errors, types
from cwinference._calls.attempts import attempts
from cwinference._calls.deadline import Deadline
from cwinference._calls.flow import Flow
from cwinference._calls.rpc import one_or_none
from cwinference._retry_rules import Hint
from cwinference._secrets import Secret
from cwinference.auth import TokenCredentials
from cwinference.resources._changes import check_unknown_fields, create, delete, replace_fields, replacement
from tests.support.fake_clock import FakeClock
from tests.support.flow_runner import FlowRunner, context, poll

GONE = errors.NotFound("gone")
OURS = types.Gateway(spec=types.GatewaySpec(id="some-id", name="front"))


def created(outcome: Any, found: Any, attempts: int, *, own_id: bool = True) -> Any:
    """Return the result of a create whose last attempt has this outcome. `found` is what a read returns."""
    read_back: Callable[[], Flow[Any]] | None = (lambda: poll(30)) if own_id else None
    runner = FlowRunner([outcome, found])
    if isinstance(outcome, errors.ApiError):
        outcome.attempts = attempts
    return runner.run(create(poll(30), read_back, lambda each: each.spec.name == "front"))


def taken() -> errors.AlreadyExists:
    return errors.AlreadyExists("taken")


def test_a_retry_that_finds_the_resource_of_an_earlier_attempt_is_a_success() -> None:
    assert created(taken(), OURS, 2) == OURS


@pytest.mark.parametrize(
    ("found", "attempts", "own_id"),
    [
        (OURS, 1, True),
        (OURS, 2, False),
        (types.Gateway(spec=types.GatewaySpec(name="other")), 2, True),
        (GONE, 2, True),
    ],
)
def test_any_other_conflict_is_raised(found: Any, attempts: int, own_id: bool) -> None:
    with pytest.raises(errors.AlreadyExists) as caught:
        created(taken(), found, attempts, own_id=own_id)
    assert caught.value.attempts == attempts


def refused() -> errors.Unavailable:
    return errors.with_hint(errors.Unavailable("refused"), Hint.REFUSED)


def deleted(*outcomes: Any) -> Any:
    """Return the result of a delete whose attempts have these outcomes."""
    runner = FlowRunner(outcomes, tokens=[Secret((("authorization", token),)) for token in ("old", "new", "newer")])
    shared = context(runner, credentials=TokenCredentials(lambda: "token"))
    call = one_or_none(types.DeleteGatewayRequest(id="some-id"), "gateway", types.Gateway)

    def send() -> Flow[types.Gateway | None]:
        return call.result((yield from attempts(call, shared)))

    return runner.run(delete(send()))


@pytest.mark.parametrize("first", [errors.Unavailable("lost"), errors.DeadlineExceeded("slow")])
def test_not_found_is_a_success_of_a_delete_after_an_attempt_that_may_have_been_processed(first: Exception) -> None:
    assert deleted(first, errors.NotFound("gone")) is None
    assert (
        deleted(first, errors.with_hint(errors.Unavailable("refused"), Hint.REFUSED), errors.NotFound("gone")) is None
    )


@pytest.mark.parametrize(
    "before",
    [
        [],
        [errors.Unauthenticated("old token")],
        [refused()],
        [errors.ResourceExhausted("later", retry_after=0.1)],
    ],
)
def test_not_found_fails_a_delete_if_no_earlier_attempt_can_have_been_processed(before: list[Exception]) -> None:
    with pytest.raises(errors.NotFound) as caught:
        deleted(*before, errors.NotFound("gone"))
    assert caught.value.attempts == len(before) + 1


def test_the_calls_of_one_operation_share_its_timeout() -> None:
    clock = FakeClock()
    deadline = Deadline(10, clock.clock.monotonic)
    clock.now += 4
    assert deadline.require() == 6
    clock.now += 100
    with pytest.raises(errors.DeadlineExceeded, match="timed out after 10 s, including retries") as caught:
        deadline.require()
    assert not caught.value.may_have_succeeded


def test_no_timeout_stays_no_timeout() -> None:
    assert Deadline(None, FakeClock().clock.monotonic).require() is None


SPEC = types.GatewaySpec(
    id="some-id",
    name="front",
    zones=["A", "B"],
    core_weave_auth=types.CoreWeaveAuth(),
    endpoint_configuration=types.EndpointConfiguration(additional_dns=["x.example"]),
    path_based_routing=types.PathBasedRouting(),
)


def modified(**changes: Any) -> types.UpdateGatewayRequest:
    """Return the update request that a modification of `SPEC` sends."""
    return replacement(types.UpdateGatewayRequest(id="some-id"), SPEC, changes)


def test_a_modification_keeps_all_fields_that_it_does_not_name() -> None:
    assert modified(name=None) == types.UpdateGatewayRequest(
        id="some-id",
        name="front",
        zones=["A", "B"],
        core_weave_auth=types.CoreWeaveAuth(),
        endpoint_configuration=types.EndpointConfiguration(additional_dns=["x.example"]),
        path_based_routing=types.PathBasedRouting(),
    )


@pytest.mark.parametrize("zones", [["C"], []])
def test_a_list_is_replaced_as_a_whole_even_by_an_empty_one(zones: list[str]) -> None:
    assert modified(zones=zones).zones == zones


def test_another_member_of_a_oneof_replaces_the_current_one() -> None:
    request = modified(body_based_routing=types.BodyBasedRouting(api_type=types.BodyBasedRouting.API_TYPE_OPENAI))
    assert request.WhichOneof("routing") == "body_based_routing"
    assert request.WhichOneof("auth") == "core_weave_auth"


def test_false_is_a_change_too() -> None:
    spec = types.DeploymentSpec(disabled=True)
    request = replacement(types.UpdateDeploymentRequest(), spec, {"disabled": False})
    assert not request.disabled


def test_fields_that_a_modification_would_reset_are_named() -> None:
    lost = ["gateway.spec.newThing", "gateway.status.harmless", "gateway.spec.pathBasedRouting.depth", "harmless"]
    with pytest.raises(errors.ConfigurationError) as caught:
        check_unknown_fields(lost, "gateway.spec")
    assert "would reset: gateway.spec.newThing, gateway.spec.pathBasedRouting.depth; upgrade" in str(caught.value)


def test_single_fields_of_a_message_are_replaced() -> None:
    resources = types.CapacityClaimResources(instance_id="gb200-4x", instance_count=2, zones=["A"])
    replace_fields(resources, {"instance_count": 3, "zones": ["B"], "instance_id": None})
    assert resources == types.CapacityClaimResources(instance_id="gb200-4x", instance_count=3, zones=["B"])


def test_a_change_of_the_wrong_type_is_refused_and_its_field_is_named() -> None:
    with pytest.raises(errors.ConfigurationError, match="^instance_count: "):
        replace_fields(types.CapacityClaimResources(), {"instance_count": -1})

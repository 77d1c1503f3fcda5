"""The flows that create, delete and modify, performed by hand: what a repeat means, and what a change keeps."""

from collections.abc import Callable
from typing import Any

import pytest

from cwinference import errors, types
from cwinference._calls.attempts import attempts
from cwinference._calls.rpc import one_or_none
from cwinference._calls.flow import Flow
from cwinference.auth import Credentials
from cwinference.resources._changes import check_lost, create, delete, replace_fields, replacement, rest_of
from tests.support.flow_runner import Performance, context, look

GONE = errors.NotFound("gone")
OURS = types.Gateway(spec=types.GatewaySpec(id="some-id", name="front"))


def created(answer: Any, found: Any, attempts: int, *, own_id: bool = True) -> Any:
    """What a create ends in whose last attempt is answered by ALREADY_EXISTS."""
    read_back: Callable[[], Flow[Any]] | None = (lambda: look(30)) if own_id else None
    performance = Performance([answer, found])
    if isinstance(answer, errors.ApiError):
        answer.attempts = attempts
    return performance.of(create(look(30), read_back, lambda each: each.spec.name == "front"))


def taken() -> errors.AlreadyExists:
    return errors.AlreadyExists("taken")


def test_a_repeat_that_finds_its_own_work_is_a_success() -> None:
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
def test_any_other_conflict_is_one(found: Any, attempts: int, own_id: bool) -> None:
    with pytest.raises(errors.AlreadyExists) as caught:
        created(taken(), found, attempts, own_id=own_id)
    assert caught.value.attempts == attempts


def deleted(*answers: Any) -> Any:
    performance = Performance(answers, tokens=[(("authorization", token),) for token in ("old", "new", "newer")])
    shared = context(performance, credentials=Credentials(lambda: "token"))
    call = one_or_none(types.DeleteGatewayRequest(id="some-id"), "gateway", types.Gateway, {})

    def send() -> Flow[types.Gateway | None]:
        return call.result((yield from attempts(call, shared)))

    return performance.of(delete(send()))


@pytest.mark.parametrize("first", [errors.Unavailable("lost"), errors.DeadlineExceeded("slow")])
def test_a_delete_that_finds_nothing_left_after_a_lost_one_is_a_success(first: Exception) -> None:
    assert deleted(first, errors.NotFound("gone")) is None
    assert deleted(first, errors.Unavailable("refused", unprocessed=True), errors.NotFound("gone")) is None


@pytest.mark.parametrize(
    "before",
    [
        [],
        [errors.Unauthenticated("old token")],
        [errors.Unavailable("refused", unprocessed=True)],
        [errors.ResourceExhausted("later", retry_after=0.1)],
    ],
)
def test_a_delete_that_finds_nothing_fails_where_no_attempt_was_processed(before: list[Exception]) -> None:
    with pytest.raises(errors.NotFound) as caught:
        deleted(*before, errors.NotFound("gone"))
    assert caught.value.attempts == len(before) + 1


def test_the_calls_of_one_operation_share_its_timeout() -> None:
    performance = Performance([])
    own = rest_of({"timeout": 10, "retry": None}, context(performance))
    default = rest_of({}, context(performance, timeout=20))
    performance.clock.now += 4
    assert (own(), default()) == ({"timeout": 6, "retry": None}, {"timeout": 16})
    performance.clock.now += 100
    for over in (own, default):
        with pytest.raises(errors.DeadlineExceeded):
            over()


def test_no_limit_stays_no_limit() -> None:
    assert rest_of({"timeout": None}, context(Performance([])))() == {"timeout": None}


SPEC = types.GatewaySpec(
    id="some-id",
    name="front",
    zones=["A", "B"],
    core_weave_auth=types.CoreWeaveAuth(),
    endpoint_configuration=types.EndpointConfiguration(additional_dns=["x.example"]),
    path_based_routing=types.PathBasedRouting(),
)


def modified(**changes: Any) -> types.UpdateGatewayRequest:
    return replacement(types.UpdateGatewayRequest(id="some-id"), SPEC, changes)


def test_a_modification_keeps_everything_that_it_does_not_name() -> None:
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


def test_another_member_of_a_oneof_takes_the_place_of_the_first() -> None:
    request = modified(body_based_routing=types.BodyBasedRouting(api_type=types.BodyBasedRouting.API_TYPE_OPENAI))
    assert request.WhichOneof("routing") == "body_based_routing"
    assert request.WhichOneof("auth") == "core_weave_auth"


def test_a_false_is_a_change_too() -> None:
    spec = types.DeploymentSpec(disabled=True)
    request = replacement(types.UpdateDeploymentRequest(), spec, {"disabled": False})
    assert not request.disabled


def test_what_a_modification_would_lose_is_named() -> None:
    lost = ["gateway.spec.newThing", "gateway.status.harmless", "gateway.spec.pathBasedRouting.depth", "harmless"]
    with pytest.raises(errors.ConfigurationError) as caught:
        check_lost(lost, "gateway.spec")
    assert "would lose: gateway.spec.newThing, gateway.spec.pathBasedRouting.depth; upgrade" in str(caught.value)


def test_single_fields_are_replaced_inside_a_message() -> None:
    resources = types.CapacityClaimResources(instance_id="gb200-4x", instance_count=2, zones=["A"])
    replace_fields(resources, {"instance_count": 3, "zones": ["B"], "instance_id": None})
    assert resources == types.CapacityClaimResources(instance_id="gb200-4x", instance_count=3, zones=["B"])


def test_a_change_that_does_not_fit_is_refused_by_its_name() -> None:
    with pytest.raises(errors.ConfigurationError, match="^instance_count: "):
        replace_fields(types.CapacityClaimResources(), {"instance_count": -1})

"""The lifecycle of resources: their state depends on the clock alone, not on when it is read."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from cwinference import State, errors, types
from cwinference.emulator.behavior import Behavior, Fate
from cwinference.emulator.interfaces import RpcError
from tests.support.emulated_api import CLAIM_ID, DEPLOYMENT_ID, GATEWAY_ID, START, InProcessApi, request


@pytest.fixture
def api() -> InProcessApi:
    return InProcessApi()


@pytest.fixture
def settled(api: InProcessApi) -> InProcessApi:
    """Create a gateway, a deployment and a claim, and wait until all are READY."""
    for kind in ("Gateway", "Deployment", "CapacityClaim"):
        api.sample(f"Create{kind}")
    api.pass_time(10)
    return api


def conditions(resource: Any) -> Sequence[tuple[str, bool, str, str]]:
    return [
        (each.type, each.status == types.Condition.STATUS_TRUE, each.reason, each.message)
        for each in resource.status.conditions
    ]


def test_a_gateway_is_creating_without_an_endpoint_and_then_ready_with_one(api: InProcessApi) -> None:
    created = api.sample("CreateGateway")
    assert State.of(created) is State.CREATING
    assert not created.status.endpoints
    assert not created.status.conditions
    api.pass_time(9.9)
    assert State.of(api.gateway()) is State.CREATING
    assert conditions(api.gateway()) == [("Ready", False, "Reconciling", "Waiting for the load balancer.")]
    api.pass_time(0.1)
    ready = api.gateway()
    assert State.of(ready) is State.READY
    assert conditions(ready) == [("Ready", True, "AsExpected", "Gateway is serving.")]
    assert ready.status.endpoints == [f"http://127.0.0.1:0/gateway/{GATEWAY_ID}"]


def test_without_a_delay_the_response_says_creating_and_the_next_poll_ready() -> None:
    api = InProcessApi(ready_after=0)
    assert State.of(api.sample("CreateGateway")) is State.CREATING
    assert State.of(api.gateway()) is State.READY


def test_a_deployment_applies_its_resources_before_it_is_ready(api: InProcessApi) -> None:
    api.sample("CreateGateway")
    assert not api.sample("CreateDeployment").status.conditions
    api.pass_time(5)
    halfway = api.deployment()
    assert State.of(halfway) is State.CREATING
    assert [each[:3] for each in conditions(halfway)] == [
        ("ResourcesApplied", True, "Applied"),
        ("Ready", False, "Reconciling"),
    ]
    api.pass_time(5)
    ready = api.deployment()
    assert State.of(ready) is State.READY
    assert [each[:3] for each in conditions(ready)] == [
        ("ResourcesApplied", True, "Applied"),
        ("Ready", True, "AsExpected"),
    ]
    applied, serving = ready.status.conditions
    assert applied.last_update_time == halfway.status.updated_at
    assert serving.last_update_time == ready.status.updated_at


def test_a_claim_counts_pending_and_allocated_instances(api: InProcessApi) -> None:
    created = api.sample("CreateCapacityClaim")
    assert (created.status.allocated_instances, created.status.pending_instances) == (0, 2)
    api.pass_time(5)
    halfway = api.claim()
    assert (halfway.status.allocated_instances, halfway.status.pending_instances) == (1, 1)
    assert conditions(halfway) == [("Ready", False, "Reconciling", "Waiting for 1 instance.")]
    api.pass_time(5)
    ready = api.claim()
    assert (ready.status.allocated_instances, ready.status.pending_instances) == (2, 0)
    assert conditions(ready) == [("Ready", True, "AllAllocated", "All instances allocated.")]


def test_a_claim_that_grows_keeps_its_instances(settled: InProcessApi) -> None:
    updated = settled.sample("UpdateCapacityClaim")
    assert State.of(updated) is State.UPDATING
    assert updated.spec.name == "prod-capacity"
    assert (updated.status.allocated_instances, updated.status.pending_instances) == (2, 1)
    assert conditions(updated) == [("Ready", False, "Reconciling", "Waiting for 1 instance.")]
    settled.pass_time(10)
    assert settled.claim().status.allocated_instances == 3


def test_a_claim_that_shrinks_releases_instances_at_once(settled: InProcessApi) -> None:
    smaller = request("UpdateCapacityClaim")
    smaller.resources.instance_count = 1
    updated = settled(smaller)
    assert (updated.status.allocated_instances, updated.status.pending_instances) == (1, 0)


def test_a_claim_for_other_instances_keeps_none(settled: InProcessApi) -> None:
    other = request("UpdateCapacityClaim")
    other.resources.instance_id = "gb200-4x"
    updated = settled(other)
    assert (updated.status.allocated_instances, updated.status.pending_instances) == (0, 3)


def test_a_gateway_serves_during_an_update(settled: InProcessApi) -> None:
    updated = settled.sample("UpdateGateway")
    assert State.of(updated) is State.UPDATING
    assert [each[:2] for each in conditions(updated)] == [("Ready", True)]
    assert updated.status.endpoints
    settled.pass_time(10)
    ready = settled.gateway()
    assert State.of(ready) is State.READY
    assert [each.zone for each in ready.status.conditions] == ["US-EAST-04A", "US-WEST-04A"]


def test_an_updated_deployment_applies_its_resources_again(settled: InProcessApi) -> None:
    updated = settled.sample("UpdateDeployment")
    assert State.of(updated) is State.UPDATING
    assert conditions(updated) == [("ResourcesApplied", False, "Reconciling", "Applying the new spec.")]
    settled.pass_time(10)
    assert State.of(settled.deployment()) is State.READY


def test_a_status_can_lag_behind_an_update() -> None:
    api = InProcessApi(behavior=Behavior(status_lag=3))
    api.sample("CreateGateway")
    api.pass_time(10)
    updated = api.sample("UpdateGateway")
    assert State.of(updated) is State.READY
    assert len(updated.spec.zones) == 2
    api.pass_time(3)
    assert State.of(api.gateway()) is State.UPDATING
    api.pass_time(10)
    assert State.of(api.gateway()) is State.READY


def test_a_deleted_resource_is_deleting_and_then_gone(settled: InProcessApi) -> None:
    deleting = settled.sample("DeleteDeployment")
    assert State.of(deleting) is State.DELETING
    assert not deleting.status.conditions
    assert State.of(settled.sample("DeleteCapacityClaim")) is State.DELETING
    assert settled.claim().status.allocated_instances == 2
    settled.pass_time(9)
    assert settled.sample("DeleteDeployment") == deleting, (
        "a second delete changes nothing, and does not postpone the end"
    )
    settled.pass_time(1)
    for get in (settled.deployment, settled.claim):
        with pytest.raises(RpcError, match="not found"):
            get()


def test_updates_and_deletes_can_have_their_own_delays() -> None:
    api = InProcessApi(behavior=Behavior(update_after=2, delete_after=1))
    api.sample("CreateGateway")
    api.pass_time(10)
    api.sample("UpdateGateway")
    api.pass_time(2)
    assert State.of(api.gateway()) is State.READY
    api.sample("DeleteGateway")
    api.pass_time(1)
    with pytest.raises(RpcError):
        api.gateway()


def test_an_update_replaces_the_steps_of_a_create(api: InProcessApi) -> None:
    api.sample("CreateGateway")
    api.pass_time(8)
    api.sample("UpdateGateway")
    api.pass_time(9)
    assert State.of(api.gateway()) is State.UPDATING
    api.pass_time(1)
    assert State.of(api.gateway()) is State.READY


def disable() -> Any:
    sent = request("UpdateDeployment")
    sent.disabled = True
    return sent


def test_a_disabled_deployment_applies_its_resources_but_does_not_become_ready(settled: InProcessApi) -> None:
    settled(disable())
    settled.pass_time(1000)
    found = settled.deployment()
    assert State.of(found) is State.UPDATING
    assert [each[:3] for each in conditions(found)] == [
        ("ResourcesApplied", True, "Applied"),
        ("Ready", False, "Disabled"),
    ]
    settled.sample("UpdateDeployment")
    settled.pass_time(10)
    assert State.of(settled.deployment()) is State.READY


def test_a_disabled_deployment_becomes_ready_with_a_setting() -> None:
    api = InProcessApi(behavior=Behavior(disabled_becomes_ready=True))
    api.sample("CreateGateway")
    api.sample("CreateDeployment")
    api(disable())
    api.pass_time(10)
    assert State.of(api.deployment()) is State.READY


@pytest.mark.parametrize(
    ("kind", "id", "expected"),
    [
        ("Gateway", GATEWAY_ID, ("Ready", False, "ProvisioningFailed")),
        ("Deployment", DEPLOYMENT_ID, ("ResourcesApplied", False, "ApplyFailed")),
        ("CapacityClaim", CLAIM_ID, ("Ready", False, "InsufficientCapacity")),
    ],
)
def test_a_resource_with_a_fate_fails_until_an_update_without_it(
    kind: str, id: str, expected: tuple[str, bool, str], api: InProcessApi
) -> None:
    api.emulated.fates[id] = Fate()
    api.sample("CreateGateway")
    if kind != "Gateway":
        api.sample(f"Create{kind}")
    api.pass_time(1000)
    get: Any = {"Gateway": api.gateway, "Deployment": api.deployment, "CapacityClaim": api.claim}[kind]
    found = get()
    assert State.of(found) is State.FAILED
    assert [each[:3] for each in conditions(found)] == [expected]
    del api.emulated.fates[id]
    api.sample(f"Update{kind}")
    api.pass_time(10)
    assert State.of(get()) is State.READY


def test_a_fate_can_be_assigned_by_name_and_can_recover(api: InProcessApi) -> None:
    api.emulated.fates["chat-gateway"] = Fate("ERROR", "Flapping", "It comes and goes.", recovers_after=5)
    api.sample("CreateGateway")
    api.pass_time(10)
    assert State.of(api.gateway()) is State.ERROR
    assert conditions(api.gateway()) == [("Ready", False, "Flapping", "It comes and goes.")]
    api.pass_time(5)
    assert State.of(api.gateway()) is State.READY


def test_a_fate_can_strike_a_resource_that_has_been_ready_for_some_time(api: InProcessApi) -> None:
    api.emulated.fates["chat-gateway"] = Fate("ERROR", "Flapping", strikes_after=60, recovers_after=5)
    api.sample("CreateGateway")
    api.pass_time(10 + 59)
    assert State.of(api.gateway()) is State.READY
    api.pass_time(1)
    struck = api.gateway()
    assert State.of(struck) is State.ERROR
    assert [each[:3] for each in conditions(struck)] == [("Ready", False, "Flapping")]
    assert struck.status.updated_at.ToDatetime(START.tzinfo) == START + timedelta(seconds=70)
    api.pass_time(5)
    assert State.of(api.gateway()) is State.READY
    api.pass_time(60)
    assert State.of(api.gateway()) is State.ERROR


def test_a_fate_strikes_a_resource_that_is_ready_already(settled: InProcessApi) -> None:
    settled.emulated.fates[DEPLOYMENT_ID] = Fate(strikes_after=30)
    settled.pass_time(29)
    assert State.of(settled.deployment()) is State.READY
    settled.emulated.fates[DEPLOYMENT_ID] = Fate(strikes_after=20)
    assert State.of(settled.deployment()) is State.FAILED
    settled.sample("UpdateDeployment")
    settled.pass_time(10)
    assert State.of(settled.deployment()) is State.READY, "it became READY again, and is struck only later"
    settled.emulated.fates[DEPLOYMENT_ID] = Fate(strikes_after=40)
    settled.pass_time(39)
    assert State.of(settled.deployment()) is State.READY
    settled.pass_time(1)
    assert State.of(settled.deployment()) is State.FAILED


def test_a_fate_that_was_taken_away_does_not_strike(settled: InProcessApi) -> None:
    settled.emulated.fates[CLAIM_ID] = Fate(strikes_after=30)
    assert State.of(settled.claim()) is State.READY
    del settled.emulated.fates[CLAIM_ID]
    settled.pass_time(1000)
    assert State.of(settled.claim()) is State.READY


def test_every_field_of_a_condition_is_set(settled: InProcessApi) -> None:
    settled.sample("UpdateDeployment")
    for resource in (settled.gateway(), settled.deployment(), settled.claim()):
        assert resource.status.conditions
        for condition in resource.status.conditions:
            assert {field.name for field, _ in condition.ListFields()} == set(condition.DESCRIPTOR.fields_by_name)


def test_a_negative_delay_is_an_error() -> None:
    with pytest.raises(
        errors.ConfigurationError, match="update_after: expected a number of seconds, at least 0, got -1"
    ):
        Behavior(update_after=-1)

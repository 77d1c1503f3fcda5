"""How resources come, change and go: the state is that of the clock, whoever looks and whenever."""

from collections.abc import Sequence
from typing import Any

import pytest

from cwinference import State, errors, types
from cwinference.emulator.behavior import Behavior, Fate
from cwinference.emulator.interfaces import Refusal
from tests.support.emulated_api import CLAIM_ID, DEPLOYMENT_ID, GATEWAY_ID, Emulated, request


@pytest.fixture
def emulated() -> Emulated:
    return Emulated()


@pytest.fixture
def settled(emulated: Emulated) -> Emulated:
    """A gateway, a deployment and a claim, all READY."""
    for kind in ("Gateway", "Deployment", "CapacityClaim"):
        emulated.sample(f"Create{kind}")
    emulated.pass_time(10)
    return emulated


def conditions(resource: Any) -> Sequence[tuple[str, bool, str, str]]:
    return [
        (each.type, each.status == types.Condition.STATUS_TRUE, each.reason, each.message)
        for each in resource.status.conditions
    ]


def test_a_gateway_is_creating_without_an_endpoint_and_then_ready_with_one(emulated: Emulated) -> None:
    created = emulated.sample("CreateGateway")
    assert State.of(created) is State.CREATING
    assert not created.status.endpoints
    assert not created.status.conditions
    emulated.pass_time(9.9)
    assert State.of(emulated.gateway()) is State.CREATING
    assert conditions(emulated.gateway()) == [("Ready", False, "Reconciling", "Waiting for the load balancer.")]
    emulated.pass_time(0.1)
    ready = emulated.gateway()
    assert State.of(ready) is State.READY
    assert conditions(ready) == [("Ready", True, "AsExpected", "Gateway is serving.")]
    assert ready.status.endpoints == [f"http://127.0.0.1:0/gateway/{GATEWAY_ID}"]


def test_without_a_delay_the_reply_says_creating_and_the_next_look_ready() -> None:
    emulated = Emulated(ready_after=0)
    assert State.of(emulated.sample("CreateGateway")) is State.CREATING
    assert State.of(emulated.gateway()) is State.READY


def test_a_deployment_applies_its_resources_before_it_is_ready(emulated: Emulated) -> None:
    emulated.sample("CreateGateway")
    assert not emulated.sample("CreateDeployment").status.conditions
    emulated.pass_time(5)
    halfway = emulated.deployment()
    assert State.of(halfway) is State.CREATING
    assert [each[:3] for each in conditions(halfway)] == [
        ("ResourcesApplied", True, "Applied"),
        ("Ready", False, "Reconciling"),
    ]
    emulated.pass_time(5)
    ready = emulated.deployment()
    assert State.of(ready) is State.READY
    assert [each[:3] for each in conditions(ready)] == [
        ("ResourcesApplied", True, "Applied"),
        ("Ready", True, "AsExpected"),
    ]
    applied, up = ready.status.conditions
    assert applied.last_update_time == halfway.status.updated_at
    assert up.last_update_time == ready.status.updated_at


def test_a_claim_counts_pending_and_allocated_instances(emulated: Emulated) -> None:
    created = emulated.sample("CreateCapacityClaim")
    assert (created.status.allocated_instances, created.status.pending_instances) == (0, 2)
    emulated.pass_time(5)
    halfway = emulated.claim()
    assert (halfway.status.allocated_instances, halfway.status.pending_instances) == (1, 1)
    assert conditions(halfway) == [("Ready", False, "Reconciling", "Waiting for 1 instance.")]
    emulated.pass_time(5)
    ready = emulated.claim()
    assert (ready.status.allocated_instances, ready.status.pending_instances) == (2, 0)
    assert conditions(ready) == [("Ready", True, "AllAllocated", "All instances allocated.")]


def test_a_claim_that_grows_keeps_what_it_holds(settled: Emulated) -> None:
    updated = settled.sample("UpdateCapacityClaim")
    assert State.of(updated) is State.UPDATING
    assert updated.spec.name == "prod-capacity"
    assert (updated.status.allocated_instances, updated.status.pending_instances) == (2, 1)
    assert conditions(updated) == [("Ready", False, "Reconciling", "Waiting for 1 instance.")]
    settled.pass_time(10)
    assert settled.claim().status.allocated_instances == 3


def test_a_claim_that_shrinks_lets_go_at_once(settled: Emulated) -> None:
    smaller = request("UpdateCapacityClaim")
    smaller.resources.instance_count = 1
    updated = settled(smaller)
    assert (updated.status.allocated_instances, updated.status.pending_instances) == (1, 0)


def test_a_claim_to_other_instances_begins_anew(settled: Emulated) -> None:
    other = request("UpdateCapacityClaim")
    other.resources.instance_id = "gb200-4x"
    updated = settled(other)
    assert (updated.status.allocated_instances, updated.status.pending_instances) == (0, 3)


def test_an_updated_gateway_goes_on_serving(settled: Emulated) -> None:
    updated = settled.sample("UpdateGateway")
    assert State.of(updated) is State.UPDATING
    assert [each[:2] for each in conditions(updated)] == [("Ready", True)]
    assert updated.status.endpoints
    settled.pass_time(10)
    ready = settled.gateway()
    assert State.of(ready) is State.READY
    assert [each.zone for each in ready.status.conditions] == ["US-EAST-04A", "US-WEST-04A"]


def test_an_updated_deployment_applies_its_resources_again(settled: Emulated) -> None:
    updated = settled.sample("UpdateDeployment")
    assert State.of(updated) is State.UPDATING
    assert conditions(updated) == [("ResourcesApplied", False, "Reconciling", "Applying the new spec.")]
    settled.pass_time(10)
    assert State.of(settled.deployment()) is State.READY


def test_a_status_may_lag_behind_an_update() -> None:
    emulated = Emulated(behaviour=Behavior(status_lag=3))
    emulated.sample("CreateGateway")
    emulated.pass_time(10)
    updated = emulated.sample("UpdateGateway")
    assert State.of(updated) is State.READY
    assert len(updated.spec.zones) == 2
    emulated.pass_time(3)
    assert State.of(emulated.gateway()) is State.UPDATING
    emulated.pass_time(10)
    assert State.of(emulated.gateway()) is State.READY


def test_what_is_deleted_is_deleting_and_then_gone(settled: Emulated) -> None:
    deleting = settled.sample("DeleteDeployment")
    assert State.of(deleting) is State.DELETING
    assert not deleting.status.conditions
    assert State.of(settled.sample("DeleteCapacityClaim")) is State.DELETING
    assert settled.claim().status.allocated_instances == 2
    settled.pass_time(9)
    assert settled.sample("DeleteDeployment") == deleting, "a repeat changes nothing, the end does not move away"
    settled.pass_time(1)
    for look in (settled.deployment, settled.claim):
        with pytest.raises(Refusal, match="not found"):
            look()


def test_delays_of_their_own_are_kept() -> None:
    emulated = Emulated(behaviour=Behavior(update_after=2, delete_after=1))
    emulated.sample("CreateGateway")
    emulated.pass_time(10)
    emulated.sample("UpdateGateway")
    emulated.pass_time(2)
    assert State.of(emulated.gateway()) is State.READY
    emulated.sample("DeleteGateway")
    emulated.pass_time(1)
    with pytest.raises(Refusal):
        emulated.gateway()


def test_an_update_overtakes_a_create(emulated: Emulated) -> None:
    emulated.sample("CreateGateway")
    emulated.pass_time(8)
    emulated.sample("UpdateGateway")
    emulated.pass_time(9)
    assert State.of(emulated.gateway()) is State.UPDATING
    emulated.pass_time(1)
    assert State.of(emulated.gateway()) is State.READY


def disabled() -> Any:
    off = request("UpdateDeployment")
    off.disabled = True
    return off


def test_a_disabled_deployment_stays_short_of_ready_with_its_resources_applied(settled: Emulated) -> None:
    settled(disabled())
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


def test_a_disabled_deployment_becomes_ready_by_a_setting() -> None:
    emulated = Emulated(behaviour=Behavior(disabled_becomes_ready=True))
    emulated.sample("CreateGateway")
    emulated.sample("CreateDeployment")
    emulated(disabled())
    emulated.pass_time(10)
    assert State.of(emulated.deployment()) is State.READY


@pytest.mark.parametrize(
    ("kind", "id", "expected"),
    [
        ("Gateway", GATEWAY_ID, ("Ready", False, "ProvisioningFailed")),
        ("Deployment", DEPLOYMENT_ID, ("ResourcesApplied", False, "ApplyFailed")),
        ("CapacityClaim", CLAIM_ID, ("Ready", False, "InsufficientCapacity")),
    ],
)
def test_fate_may_hold_a_failure(kind: str, id: str, expected: tuple[str, bool, str], emulated: Emulated) -> None:
    emulated.api.fates[id] = Fate()
    emulated.sample("CreateGateway")
    if kind != "Gateway":
        emulated.sample(f"Create{kind}")
    emulated.pass_time(1000)
    look: Any = {"Gateway": emulated.gateway, "Deployment": emulated.deployment, "CapacityClaim": emulated.claim}[kind]
    found = look()
    assert State.of(found) is State.FAILED
    assert [each[:3] for each in conditions(found)] == [expected]
    del emulated.api.fates[id]
    emulated.sample(f"Update{kind}")
    emulated.pass_time(10)
    assert State.of(look()) is State.READY


def test_fate_is_known_by_name_too_and_may_recover(emulated: Emulated) -> None:
    emulated.api.fates["chat-gateway"] = Fate("ERROR", "Flapping", "It comes and goes.", recovers_after=5)
    emulated.sample("CreateGateway")
    emulated.pass_time(10)
    assert State.of(emulated.gateway()) is State.ERROR
    assert conditions(emulated.gateway()) == [("Ready", False, "Flapping", "It comes and goes.")]
    emulated.pass_time(5)
    assert State.of(emulated.gateway()) is State.READY


def test_every_condition_is_complete(settled: Emulated) -> None:
    settled.sample("UpdateDeployment")
    for resource in (settled.gateway(), settled.deployment(), settled.claim()):
        assert resource.status.conditions
        for condition in resource.status.conditions:
            assert {field.name for field, _ in condition.ListFields()} == set(condition.DESCRIPTOR.fields_by_name)


def test_a_negative_delay_is_refused() -> None:
    with pytest.raises(errors.ConfigurationError, match="update_after: expected a number of seconds from 0, got -1"):
        Behavior(update_after=-1)

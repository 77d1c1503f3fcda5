"""Ensuring that a resource is as it is described: created, changed, or left alone."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf.message import Message

from cwinference import AsyncClient, State, errors, types
from cwinference.emulator import Behavior, Emulator, EmulatorClock
from tests.support.client_kinds import open_client
from tests.support.connected_client import connected
from tests.support.fake_clock import FakeClock
from tests.support.scripted_server import Failure, ReceivedRequest, containing
from tests.support.specs import CLAIM, FRONT, LLAMA

HOT_LOAD = {"bucket": "snapshots", "transition_mode": "ASYNC"}


def writes(calls: list[str]) -> list[str]:
    return [each for each in calls if each.startswith(("Create", "Update"))]


async def test_each_kind_is_created_then_left_alone_then_changed(client: AsyncClient, calls: list[str]) -> None:
    front = await client.gateways.ensure("front", **FRONT, zones=["US-EAST-04A"], wait=True)
    assert State.of(front) is State.READY
    llama = await client.deployments.ensure("llama", gateway_ids=[front.spec.id], **LLAMA, wait=True)
    claim = await client.capacity_claims.ensure("claim", resources=CLAIM, wait=True)
    assert writes(calls) == ["CreateGateway", "CreateDeployment", "CreateCapacityClaim"]
    calls.clear()

    assert await client.gateways.ensure("front", **FRONT, zones=["US-EAST-04A"], wait=True) == front
    assert await client.deployments.ensure("llama", gateway_ids=[front.spec.id], **LLAMA, wait=True) == llama
    assert await client.capacity_claims.ensure("claim", resources=CLAIM) == claim
    assert await client.deployments.ensure("llama") == llama
    assert calls == ["ListGateways", "ListDeployments", "ListCapacityClaims", "ListDeployments"]

    wide = await client.gateways.ensure("front", zones=["US-EAST-04A", "US-WEST-04A"], path_based_routing={}, wait=True)
    assert (len(wide.spec.zones), wide.spec.WhichOneof("routing")) == (2, "path_based_routing")
    large = await client.deployments.ensure("llama", autoscaling={"max": 8}, disabled=False, wait=True)
    assert (large.spec.autoscaling.min, large.spec.autoscaling.max) == (1, 8)
    assert large.spec.model == llama.spec.model
    more = await client.capacity_claims.ensure("claim", resources={"instance_count": 3}, wait=True)
    assert (State.of(more), more.status.allocated_instances) == (State.READY, 3)
    assert {front.spec.id, llama.spec.id, claim.spec.id} == {wide.spec.id, large.spec.id, more.spec.id}
    assert writes(calls) == ["UpdateGateway", "UpdateDeployment", "UpdateCapacityClaim"]


async def test_a_whole_spec_can_be_ensured(client: AsyncClient, calls: list[str]) -> None:
    front = await client.gateways.ensure("front", spec={"name": "other", **FRONT}, wait=True)
    assert front.spec.name == "front"
    copy = await client.gateways.ensure("copy", spec=front.spec, zones=["US-EAST-04A"], wait=True)
    assert (copy.spec.name, [*copy.spec.zones]) == ("copy", ["US-EAST-04A"])
    assert await client.gateways.ensure("copy", spec=front.spec) == copy
    assert writes(calls) == ["CreateGateway", "CreateGateway"]


async def test_what_only_json_shows_is_compared_too(client: AsyncClient, calls: list[str]) -> None:
    ranges = {"allowed_source_ip_ranges": ["10.0.0.0/8", "192.0.2.7/32"]}
    front = await client.gateways.ensure(
        "front", **FRONT, zones=["US-EAST-04A"], endpoint_configuration=ranges, wait=True
    )
    served: dict[str, Any] = {"gateway_ids": [front.spec.id], **LLAMA, "hot_load": HOT_LOAD}
    await client.deployments.ensure("llama", **served, wait=True)
    await client.deployments.ensure("llama", **served)
    await client.gateways.ensure(
        "front", endpoint_configuration={"allowed_source_ip_ranges": ["192.0.2.7", "10.0.0.0/8"]}
    )
    assert writes(calls) == ["CreateGateway", "CreateDeployment"]
    await client.gateways.ensure("front", endpoint_configuration={"allowed_source_ip_ranges": []}, wait=True)
    with pytest.raises(errors.ConfigurationError, match=r"^hot_load cannot change once Deployment llama exists"):
        await client.deployments.ensure("llama", hot_load={"bucket": "other"}, autoscaling={"max": 8})
    assert writes(calls)[2:] == ["UpdateGateway"]


async def test_what_is_missing_to_create_one_is_named_before_anything_is_written(
    client: AsyncClient, calls: list[str]
) -> None:
    with pytest.raises(
        errors.ConfigurationError,
        match="no deployment has the name 'llama', and to create it gateway_ids, autoscaling must be given",
    ):
        await client.deployments.ensure(
            "llama", **{name: value for name, value in LLAMA.items() if name != "autoscaling"}
        )
    assert writes(calls) == []


async def test_wrong_arguments_are_refused_before_anything_is_sent(client: AsyncClient, calls: list[str]) -> None:
    wrong: list[Mapping[str, Any]] = [
        {"zones": "US-EAST-04A"},
        {"endpoint_configuration": {"dns": []}},
        {"core_weave_auth": {}, "weights_and_biases_auth": {}},
        {"spec": types.DeploymentSpec()},
        {"on_change": print},
        {"wait": 1},
    ]
    for arguments in wrong:
        with pytest.raises(errors.ConfigurationError):
            await client.gateways.ensure("front", **arguments)
    with pytest.raises(errors.ConfigurationError, match="name must not be empty"):
        await client.gateways.ensure("")
    with pytest.raises(TypeError, match="gateways.ensure: unexpected keyword argument 'zone'; did you mean 'zones'"):
        await client.gateways.ensure("front", zone=[])  # type: ignore[call-arg]  # pyright: ignore
    assert calls == []


async def test_a_message_that_would_reset_something_is_refused_as_by_modify(
    client: AsyncClient, calls: list[str]
) -> None:
    front = await client.gateways.ensure("front", **FRONT, wait=True)
    await client.deployments.ensure("llama", gateway_ids=[front.spec.id], **LLAMA, wait=True)
    await client.deployments.ensure("llama", runtime={"engine_config": {"max-model-len": "8192"}}, wait=True)
    calls.clear()
    same = types.DeploymentRuntime(engine="dynamo-vllm", version="0.22.0")
    await client.deployments.ensure("llama", runtime=same)
    with pytest.raises(errors.ConfigurationError, match="runtime: this message would reset engine_config"):
        await client.deployments.ensure("llama", runtime=types.DeploymentRuntime(engine="vllm", version="0.22.0"))
    assert writes(calls) == []


async def test_one_that_is_being_deleted_is_refused_without_wait(kind: str) -> None:
    with Emulator(behavior=Behavior(delete_after=60), clock=EmulatorClock(running=False)) as emulator:
        async with open_client(kind, emulator.endpoint, emulator.token) as client:
            front = await client.gateways.ensure("front", **FRONT)
            await client.gateways.delete(front.spec.id)
            with pytest.raises(errors.FailedPrecondition, match="Gateway front is being deleted") as caught:
                await client.gateways.ensure("front", **FRONT)
    assert caught.value.resource_id == front.spec.id


async def test_one_that_is_being_deleted_is_awaited_and_created_anew_with_wait(kind: str) -> None:
    with Emulator(behavior=Behavior(delete_after=60), clock=EmulatorClock(running=False)) as emulator:
        clock = FakeClock(on_sleep=emulator.clock.advance).clock
        async with open_client(kind, emulator.endpoint, emulator.token, clock=clock) as client:
            front = await client.gateways.ensure("front", **FRONT, wait=True)
            await client.gateways.delete(front.spec.id)
            again = await client.gateways.ensure("front", **FRONT, wait=True)
    assert State.of(again) is State.READY
    assert again.spec.id != front.spec.id


async def test_processes_that_ensure_the_same_name_at_once_all_succeed(kind: str, emulator: Emulator) -> None:
    async with (
        open_client(kind, emulator.endpoint, emulator.token) as one,
        open_client(kind, emulator.endpoint, emulator.token) as other,
    ):
        found = await asyncio.gather(*(each.gateways.ensure("front", **FRONT) for each in [one, other] * 4))
        assert len({each.spec.id for each in found}) == 1
        changed = await asyncio.gather(
            *(each.gateways.ensure("front", zones=["US-EAST-04A"], wait=True) for each in [one, other] * 4)
        )
    assert [each.spec.zones for each in changed] == [["US-EAST-04A"]] * 8


async def test_changes_are_logged_a_line_for_each(client: AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    front = await client.gateways.ensure("front", **FRONT, wait=True)
    with caplog.at_level(logging.INFO, "cwinference"):
        await client.deployments.ensure("llama", gateway_ids=[front.spec.id], **LLAMA)
        await client.deployments.wait((await client.deployments.find("llama")).spec.id)
        caplog.clear()
        await client.deployments.ensure("llama", autoscaling={"max": 8}, traffic={"weight": 7})
        await client.deployments.ensure("llama", autoscaling={"max": 8}, traffic={"weight": 7})
    assert [each.getMessage() for each in caplog.records] == [
        "Deployment llama: autoscaling.max: 4 -> 8",
        "Deployment llama: traffic.weight: 0 -> 7",
    ]


def gateway(state: str = "READY", *zones: str) -> types.Gateway:
    spec = types.GatewaySpec(id="some-id", name="front", zones=zones, core_weave_auth=types.CoreWeaveAuth())
    return types.Gateway(spec=spec, status=types.GatewayStatus(status=types.Status.Value(f"STATUS_{state}")))


class Script:
    """A server that responds to each method with prepared resources, one after the other, then always the last one."""

    def __init__(self, **responses: list[Any]) -> None:
        self._responses = responses

    def __call__(self, received: ReceivedRequest) -> Message | Failure:
        prepared = self._responses[received.method.name]
        found = prepared.pop(0) if len(prepared) > 1 else prepared[0]
        return found if isinstance(found, Failure) else containing(received.method, found)


async def ensured(kind: str, script: Script, **arguments: Any) -> tuple[Any, list[str]]:
    """Return what ensuring a gateway in a zone returns or raises, and the methods that were called."""
    async with connected(kind, script, clock=FakeClock().clock, retry=None) as (client, server):
        try:
            result: Any = await client.gateways.ensure("front", zones=["RNO2A"], **arguments)
        except errors.InferenceError as error:
            result = error
        return result, [each.method.name for each in server.received]


TAKEN, REFUSED, GONE = (Failure(code, code) for code in ("already_exists", "failed_precondition", "not_found"))
OLD, NEW = gateway(), gateway("READY", "RNO2A")


async def test_one_that_another_process_creates_is_found_even_if_the_list_lags(kind: str) -> None:
    script = Script(ListGateways=[[], [], [NEW]], CreateGateway=[TAKEN])
    assert await ensured(kind, script) == (
        NEW,
        ["ListGateways", "CreateGateway", "ListGateways", "CreateGateway", "ListGateways"],
    )


async def test_a_name_that_stays_taken_without_being_listed_is_an_error(kind: str) -> None:
    found, _ = await ensured(kind, Script(ListGateways=[[]], CreateGateway=[TAKEN]))
    assert isinstance(found, errors.AlreadyExists)


@pytest.mark.parametrize("conflict", [REFUSED, GONE, Failure("aborted", "conflict")])
async def test_a_conflict_is_resolved_by_reading_again(kind: str, conflict: Failure) -> None:
    script = Script(ListGateways=[[OLD], [NEW]], GetGateway=[OLD], UpdateGateway=[conflict])
    assert await ensured(kind, script) == (NEW, ["ListGateways", "GetGateway", "UpdateGateway", "ListGateways"])


async def test_a_change_that_stays_refused_is_an_error(kind: str) -> None:
    found, calls = await ensured(kind, Script(ListGateways=[[OLD]], GetGateway=[OLD], UpdateGateway=[REFUSED]))
    assert isinstance(found, errors.FailedPrecondition)
    assert calls.count("UpdateGateway") == 2


async def test_one_that_is_deleted_between_the_list_and_the_write_is_created_anew(kind: str) -> None:
    script = Script(ListGateways=[[OLD], []], GetGateway=[OLD], UpdateGateway=[GONE], CreateGateway=[NEW])
    assert (await ensured(kind, script))[0] == NEW
    script = Script(
        ListGateways=[[OLD], []], GetGateway=[gateway("DELETING"), GONE, NEW], CreateGateway=[gateway("CREATING")]
    )
    assert (await ensured(kind, script, wait=True))[0] == NEW


async def test_what_another_process_has_changed_by_then_is_not_written_again(kind: str) -> None:
    assert await ensured(kind, Script(ListGateways=[[OLD]], GetGateway=[NEW])) == (NEW, ["ListGateways", "GetGateway"])


async def test_one_that_is_as_described_but_not_ready_is_awaited(kind: str) -> None:
    script = Script(ListGateways=[[gateway("UPDATING", "RNO2A")]], GetGateway=[gateway("UPDATING", "RNO2A"), NEW])
    assert await ensured(kind, script, wait=True) == (NEW, ["ListGateways", "GetGateway", "GetGateway"])


async def test_a_write_whose_response_is_lost_keeps_the_id(kind: str) -> None:
    script = Script(ListGateways=[[OLD]], GetGateway=[OLD], UpdateGateway=[Failure("unavailable", "lost")])
    found, _ = await ensured(kind, script)
    assert (type(found), found.resource_id, found.may_have_succeeded) == (errors.Unavailable, "some-id", True)

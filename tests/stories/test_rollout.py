"""A rollout from one deployment to another: traffic moves step by step, and goes back when something is wrong."""

import asyncio
import functools
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import pytest

from cwinference import AsyncClient, Client, Rollout, errors, types
from cwinference._calls.drivers import SyncDriver
from cwinference.emulator import Fate
from cwinference.rollout import Step
from tests.support.client_kinds import open_client
from tests.support.ready_gateways import MODEL, ReadyGateway, deploy, ready_gateway

MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def ready() -> Generator[ReadyGateway]:
    with ready_gateway() as opened:
        deploy(opened.client, opened.gateway, "v2", wait=True)
        opened.client.deployments.modify(opened.deployment.spec.id, traffic={"weight": 100}, wait=True)
        yield opened


@pytest.fixture
async def client(kind: str, ready: ReadyGateway) -> AsyncGenerator[AsyncClient]:
    async with open_client(kind, ready.emulator.endpoint, ready.emulator.token) as opened:
        yield opened


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "rollout.json"


async def done(rollout: Any, method: str, **options: Any) -> str:
    """Call a method of a rollout of either client."""
    call = functools.partial(getattr(rollout, method), **options)
    result: str = await (asyncio.to_thread(call) if isinstance(rollout._driver, SyncDriver) else call())
    return result


def weights(ready: ReadyGateway) -> dict[str, int]:
    return {each.spec.name: each.spec.traffic.weight for each in ready.client.deployments.list()}


async def test_traffic_moves_and_comes_back(client: AsyncClient, ready: ReadyGateway, journal: Path) -> None:
    former = [each.spec for each in ready.client.deployments.list()]
    steps = list[Step]()
    rollout = await client.rollout("v2", replaces="one", journal=journal, soak=0.01)
    assert await done(rollout, "run", on_step=steps.append) == "promoted"
    assert [(each.new_weight, each.old_weight) for each in steps] == [(1, 99), (5, 95), (25, 75), (100, 0)]
    assert weights(ready) == {"one": 0, "v2": 100}
    with ready.client.inference(ready.gateway) as inference:
        served = {inference.chat.completions.create(model=MODEL, messages=MESSAGES).headers["x-emulator-deployment"]}
    assert served == {steps[-1].new.spec.id}
    assert await done(Rollout.resume(client, journal), "run") == "promoted"
    assert await done(rollout, "revert") == "reverted"
    assert await done(Rollout.resume(client, journal), "revert") == "reverted"
    assert [each.spec for each in ready.client.deployments.list()] == former


async def test_it_is_paused_and_resumed_by_another_client(
    client: AsyncClient, ready: ReadyGateway, journal: Path
) -> None:
    rollout = await client.rollout("v2", replaces="one", journal=journal, soak=0, patience=0, gate=lambda step: "wait")
    assert await done(rollout, "run") == "paused"
    assert weights(ready) == {"one": 99, "v2": 1}
    with pytest.raises(errors.ConfigurationError, match="exists already"):
        await client.rollout("v2", replaces="one", journal=journal)
    assert await done(Rollout.resume(client, journal), "run") == "promoted"


async def test_a_change_by_somebody_else_stops_it(client: AsyncClient, ready: ReadyGateway, journal: Path) -> None:
    def gate(step: Step) -> Any:
        ready.client.deployments.modify(step.old.spec.id, autoscaling={"max": 7})
        return "pass"

    rollout = await client.rollout("v2", replaces="one", journal=journal, soak=0, gate=gate)
    with pytest.raises(errors.Conflict, match="Deployment one: somebody else has changed autoscaling") as caught:
        await done(rollout, "run")
    assert isinstance(caught.value.resource, types.Deployment)
    assert weights(ready) == {"one": 99, "v2": 1}
    assert await done(rollout, "revert") == "reverted"
    assert ready.client.deployments.find("one").spec.autoscaling.max == 1


async def test_a_new_one_that_gets_ill_is_reverted(client: AsyncClient, ready: ReadyGateway, journal: Path) -> None:
    ready.emulator.fates["v2"] = Fate("ERROR")
    rollout = await client.rollout("v2", replaces="one", journal=journal, soak=0, patience=0.2)
    assert await done(rollout, "run") == "reverted"
    assert weights(ready) == {"one": 100, "v2": 0}


async def test_lost_responses_do_no_harm(client: AsyncClient, ready: ReadyGateway, journal: Path) -> None:
    for when in ("after", "before"):
        ready.emulator.faults.add("cut", when=when, method="UpdateDeployment", nth=(1, 4))
    rollout = await client.rollout("v2", replaces="one", journal=journal, soak=0)
    assert await done(rollout, "run") == "promoted"
    assert await done(rollout, "revert") == "reverted"
    assert weights(ready) == {"one": 100, "v2": 0}


async def test_fields_that_binary_responses_do_not_show_are_kept(
    client: AsyncClient, ready: ReadyGateway, journal: Path
) -> None:
    gateway = ready.client.gateways.create(
        "zoned", zones=["US-EAST-04A"], core_weave_auth={}, path_based_routing={}, wait=True
    )
    hot = {
        "runtime": {"engine": "dynamo-vllm", "version": "0.22.0"},
        "hot_load": {"bucket": "models", "transition_mode": "TRANSITION_MODE_ASYNC"},
    }
    deploy(ready.client, gateway, "h1", **hot, traffic={"weight": 10}, wait=True)
    deploy(ready.client, gateway, "h2", **hot, wait=True)
    rollout = await client.rollout("h2", replaces="h1", journal=journal, soak=0)
    assert await done(rollout, "run") == "promoted"
    with Client(ready.emulator.token, endpoint=ready.emulator.endpoint, transport="rest") as reader:
        assert [reader.deployments.find(each).spec.hot_load.bucket for each in ("h1", "h2")] == ["models", "models"]


async def test_a_gate_may_be_async_on_an_async_client(
    kind: str, client: AsyncClient, ready: ReadyGateway, journal: Path
) -> None:
    async def gate(step: Step) -> Any:
        await asyncio.sleep(0)
        return "fail" if step.percent == 25 else "pass"

    if kind.endswith("-sync"):
        with pytest.raises(errors.ConfigurationError, match="gate: an async one needs AsyncClient"):
            await client.rollout("v2", replaces="one", journal=journal, gate=gate)
        return
    rollout = await client.rollout("v2", replaces="one", journal=journal, soak=0, gate=gate)
    assert await rollout.run() == "reverted"
    rollout = client.rollout("v2", replaces="one", journal=f"{journal}2", soak=0, gate=lambda step: gate(step))
    assert await rollout.run() == "reverted", "without a first await, and a plain function that returns a coroutine"


async def test_a_canceled_run_can_be_resumed(
    kind: str, client: AsyncClient, ready: ReadyGateway, journal: Path
) -> None:
    if kind.endswith("-sync"):
        return
    began = asyncio.Event()
    rollout = client.rollout("v2", replaces="one", journal=journal, soak=60)
    running = asyncio.create_task(rollout.run(on_step=lambda step: began.set()))
    await began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await rollout.revert() == "reverted"
    assert weights(ready) == {"one": 100, "v2": 0}

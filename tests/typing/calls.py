"""The public API as type checkers see it: checked by mypy and basedpyright in strict mode, never run.

A comment that ignores an error is itself an error if the checker finds none.
"""

from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, assert_type

from cwinference import (
    TLS,
    AsyncClient,
    Change,
    Client,
    HotLoadState,
    Plan,
    Retry,
    Stack,
    State,
    auth,
    describe,
    doctor,
    errors,
    from_json,
    to_dict,
    to_json,
    types,
)
from cwinference.following import AsyncCache, AsyncWatch, Cache, Watch
from cwinference.inference import BatchResult, Chunk, Completion, Inference, Model
from cwinference.rollout import Outcome, Rollout, Step, Verdict, gates
from cwinference.stacks import PlanStep

RUNTIME = types.DeploymentRuntime(engine="vllm")
RESOURCES = types.DeploymentResources(instance_type="gd-8xh100ib-i128", gpu_count=8)
MODEL = types.DeploymentModel(name="org/model", bucket="models", path="model")
SCALING = types.DeploymentAutoscaling(min=1, max=2)
CLAIM = types.CapacityClaimResources(instance_id="gb200-4x", capacity_type=types.CapacityType.CAPACITY_TYPE_MANAGED)
FULL = types.SnapshotType.SNAPSHOT_TYPE_FULL


def gateways(client: Client) -> None:
    created = client.gateways.create("front", zones=["US-EAST-04A"], core_weave_auth=types.CoreWeaveAuth(), wait=True)
    assert_type(created, types.Gateway)
    assert_type(client.gateways.get("id", timeout=5), types.Gateway)
    assert_type(client.gateways.list(updated_after=datetime.now(UTC)), Sequence[types.Gateway])
    assert_type(client.gateways.list(updated_after=types.Timestamp(), retry=None), Sequence[types.Gateway])
    assert_type(client.gateways.update("id", name="front", zones=()), types.Gateway)
    assert_type(client.gateways.modify("id", zones=[]), types.Gateway)
    assert_type(client.gateways.delete("id"), types.Gateway | None)
    assert_type(client.gateways.parameters(), types.GetGatewayParametersResponse)
    assert_type(from_json(types.Gateway, to_json(created)), types.Gateway)
    assert_type(to_dict(created), dict[str, Any])
    assert_type(client.gateways.wait("id", after=created, on_change=print), types.Gateway)
    assert_type(client.gateways.wait_deleted("id", timeout=None), None)


def deployments(client: Client) -> None:
    created = client.deployments.create(
        "chat", gateway_ids=["id"], runtime=RUNTIME, resources=RESOURCES, model=MODEL, autoscaling=SCALING
    )
    assert_type(created, types.Deployment)
    assert_type(client.deployments.get("id"), types.Deployment)
    assert_type(client.deployments.list(parent_gateway_id="id"), Sequence[types.Deployment])
    assert_type(client.deployments.modify("id", disabled=True, wait=True), types.Deployment)
    assert_type(client.deployments.delete("id"), types.Deployment | None)
    assert_type(client.deployments.parameters(gateway_ids=["id"]), types.GetDeploymentParametersResponse)
    assert_type(client.deployments.wait("id", after=created), types.Deployment)
    assert_type(client.deployments.wait_deleted("id"), None)


def capacity_claims(client: Client) -> None:
    created = client.capacity_claims.create("claim", resources=CLAIM)
    assert_type(created, types.CapacityClaim)
    assert_type(client.capacity_claims.get("id"), types.CapacityClaim)
    assert_type(client.capacity_claims.list(), Sequence[types.CapacityClaim])
    assert_type(client.capacity_claims.update("id", resources=CLAIM), types.CapacityClaim)
    assert_type(client.capacity_claims.modify("id", instance_count=3), types.CapacityClaim)
    assert_type(client.capacity_claims.delete("id"), types.CapacityClaim | None)
    assert_type(client.capacity_claims.parameters(), types.GetCapacityClaimParametersResponse)
    assert_type(client.capacity_claims.wait("id", after=created), types.CapacityClaim)


def parts_and_specs(client: Client, spec: types.DeploymentSpec, written: types.Deployment) -> None:
    client.deployments.create(spec=spec, name="other")
    client.deployments.create(spec={"name": "chat", "runtime": {"engine": "vllm"}})
    client.deployments.update("id", spec=spec, autoscaling={"max": 8})
    client.deployments.modify("id", runtime={"engine_config": {"max-model-len": "4096"}}, traffic={"weight": 0})
    client.deployments.modify("id", edit=lambda spec: spec.runtime.engine_config.pop("max-model-len"))
    client.gateways.create("front", core_weave_auth={}, body_based_routing={"api_type": "OPENAI"})
    client.gateways.modify("id", endpoint_configuration={"additional_dns": []}, wait=True, on_change=print)
    client.capacity_claims.modify("id", resources={"instance_count": 3}, wait=True, error_after=60)
    client.hot_loads.create("id", identity="x", type=FULL, incremental_snapshot_metadata={})
    assert_type(client.gateways.find("front"), types.Gateway)
    assert_type(client.deployments.find("chat", timeout=5), types.Deployment)
    assert_type(client.capacity_claims.find("claim"), types.CapacityClaim)
    assert_type(client.deployments.wait("id", after=written, error_after=30), types.Deployment)
    assert_type(errors.WaitTimeout("late", None).resource_id, str | None)


def ensured(client: Client, spec: types.GatewaySpec) -> None:
    assert_type(client.gateways.ensure("front", core_weave_auth={}, zones=["RNO2A"], wait=True), types.Gateway)
    assert_type(client.gateways.ensure("front", spec=spec), types.Gateway)
    assert_type(client.deployments.ensure("chat", autoscaling={"max": 8}, model=MODEL), types.Deployment)
    assert_type(client.capacity_claims.ensure("claim", resources=CLAIM, timeout=5), types.CapacityClaim)
    client.gateways.ensure(zones=["RNO2A"])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.gateways.ensure("x", id="y")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def waits_for_many(client: Client) -> None:
    found = client.deployments.wait_all(["id"], timeout=5, on_change=print)
    assert_type(found, Mapping[str, types.Deployment | errors.InferenceError])
    assert_type(client.gateways.wait_all(["id"]), Mapping[str, types.Gateway | errors.InferenceError])


def watches(client: Client) -> None:
    assert_type(client.gateways.watch(interval=(1, 5), relist=60, on_error=print), Watch[types.Gateway])
    assert_type(client.deployments.watch(parent_gateway_id="id"), Watch[types.Deployment])
    assert_type(next(client.capacity_claims.watch()), Change[types.CapacityClaim])
    for change in client.watch(kinds=["gateway"]):
        assert_type(change, Change[types.Gateway | types.Deployment | types.CapacityClaim])
        assert_type(change.kind, Literal["gateway", "deployment", "capacity_claim"])
        assert_type(change.type, Literal["added", "changed", "removed", "synced"])
        assert_type(change.before, types.Gateway | types.Deployment | types.CapacityClaim | None)
    client.watch(kinds=["cluster"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    client.gateways.watch(parent_gateway_id="id")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def caches(client: Client) -> None:
    with client.cache(kinds=["deployment"], interval=(1, 5)) as cache:
        assert_type(cache, Cache)
        assert_type(cache.wait_synced(timeout=5), None)
        assert_type(cache.gateways["id"], types.Gateway)
        assert_type(cache.deployments.named("chat"), types.Deployment | None)
        assert_type(cache.deployments.of_gateway("id"), Sequence[types.Deployment])
        assert_type(cache.deployments.of_model("org/model"), Sequence[types.Deployment])
        assert_type([*cache.capacity_claims.values()], list[types.CapacityClaim])
        assert_type(cache.wait_for(lambda cache: cache.deployments.named("chat")), types.Deployment | None)
        assert_type((cache.age, cache.error), tuple[float, Exception | None])
        unsubscribe = cache.subscribe(print)
        unsubscribe()


async def async_caches(client: AsyncClient) -> None:
    async with client.cache() as cache:
        assert_type(cache, AsyncCache)
        assert_type(await cache.wait_synced(), None)
        assert_type(await cache.wait_for(lambda cache: len(cache.gateways), timeout=None), int)
        assert_type(cache.deployments["id"], types.Deployment)


async def async_watches(client: AsyncClient) -> None:
    assert_type(client.deployments.watch(), AsyncWatch[types.Deployment])
    async for change in client.gateways.watch():
        assert_type(change, Change[types.Gateway])


def stacks(client: Client) -> None:
    plan = client.plan(Stack.load("stack.yaml"), prune="team-a-", secrets=True)
    assert_type(plan, Plan)
    assert_type(Plan.from_json(plan.to_json()), Plan)
    assert_type(client.apply(plan, wait=False, on_step=print, allow_replace=True, timeout=60), Sequence[PlanStep])
    assert_type(client.export(["front"]), Stack)
    client.apply(client.export())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.plan("stack.yaml")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.export(name="front")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def async_stacks(client: AsyncClient) -> None:
    assert_type(await client.export(), Stack)
    assert_type(await client.plan(Stack.parse({})), Plan)
    assert_type(await client.apply(await client.plan(Stack.parse({}))), Sequence[PlanStep])


def hot_loads(client: Client) -> None:
    assert_type(client.hot_loads.create("id", identity="step-1", type=FULL), types.HotLoad)
    assert_type(client.hot_loads.get("id"), types.HotLoad)
    assert_type(client.hot_loads.list("id"), Iterator[types.HotLoad])
    assert_type(client.hot_loads.list(), Iterator[types.HotLoad])
    assert_type(client.hot_loads.replicas("id"), Iterator[types.HotLoadReplica])
    assert_type(client.hot_loads.cancel("id"), types.HotLoad)
    assert_type(client.hot_loads.wait("id", on_change=print), types.HotLoad)


def client_and_states(client: Client, gateway: types.Gateway, hot_load: types.HotLoad) -> None:
    assert_type(client.with_options(timeout=None, retry=None), Client)
    assert_type(client.close(), None)
    with client as opened:
        assert_type(opened, Client)
    assert_type(State.of(gateway), State)
    assert_type(HotLoadState.of(hot_load), HotLoadState)
    assert_type(describe(gateway), str)


async def async_calls(client: AsyncClient) -> None:
    later: Coroutine[Any, Any, types.Gateway] = client.gateways.get("id")
    assert_type(await later, types.Gateway)
    created = await client.gateways.create("front", core_weave_auth=types.CoreWeaveAuth(), wait=True)
    assert_type(created, types.Gateway)
    assert_type(await client.gateways.list(), Sequence[types.Gateway])
    assert_type(await client.gateways.modify("id", name="x"), types.Gateway)
    assert_type(await client.gateways.ensure("front", zones=[]), types.Gateway)
    assert_type(await client.gateways.delete("id"), types.Gateway | None)
    assert_type(await client.gateways.parameters(), types.GetGatewayParametersResponse)
    assert_type(await client.gateways.wait_deleted("id"), None)
    assert_type(await client.deployments.wait("id", timeout=None), types.Deployment)
    assert_type(await client.deployments.list(), Sequence[types.Deployment])
    assert_type(await client.capacity_claims.update("id", resources=CLAIM), types.CapacityClaim)
    assert_type(client.hot_loads.list(), AsyncIterator[types.HotLoad])
    assert_type([each async for each in client.hot_loads.replicas("id")], list[types.HotLoadReplica])
    assert_type(await client.hot_loads.cancel("id"), types.HotLoad)
    assert_type(client.with_options(timeout=1), AsyncClient)
    assert_type(await client.close(), None)
    async with client as opened:
        assert_type(opened, AsyncClient)


async def ask_vault() -> str:
    return "token"


def count(method: str, code: str, attempts: int, seconds: float) -> None: ...


def settings() -> None:
    Client("token")
    Client(lambda: "token")
    Client(auth.from_file("token"), timeout=None, retry=Retry(max_attempts=2), tls=TLS(ca=b"PEM"))
    Client(transport="connect", codec="json", http_version=1, on_call=count)
    AsyncClient(auth.from_command(["vault", "token"]))
    AsyncClient(ask_vault)


def mistakes(client: Client) -> None:
    client.gateways.get()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.gateways.get("id", tiemout=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.gateways.get(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.gateways.get("id", retry=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.gateways.create("x", ["zone"])  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]
    client.gateways.create("x", core_weave_auth=MODEL)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.gateways.list(updated_after="today")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.gateways.wait("id", after=MODEL)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.gateways.cancel("id")  # type: ignore[attr-defined]  # pyright: ignore
    client.deployments.create("name", runtime=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.deployments.create(spec=MODEL)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.deployments.update("id", runtime="vllm")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.gateways.modify("id", edit=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.deployments.list("id")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.hot_loads.create("id", identity="x", type="FULL")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.with_options(tiemout=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Client("token", transport="soap")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Client("token", http_version=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Client(b"token")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Client("token", "https://api.example")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def async_mistakes(client: AsyncClient, sync_client: Client) -> None:
    print(client.gateways.get("id").spec)  # type: ignore[attr-defined]  # pyright: ignore
    await client.gateways.get()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await client.gateways.get("id", tiemout=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await client.deployments.create("name", runtime=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.hot_loads.list()  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    await sync_client.gateways.get("id")  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    for _ in client.hot_loads.list():  # type: ignore[attr-defined]  # pyright: ignore
        pass
    with client:  # type: ignore[attr-defined]  # pyright: ignore
        pass


def failures(error: errors.ApiError) -> None:
    assert_type(error.code, str)
    assert_type(error.attempts, int)
    assert_type(error.http_status, int | None)
    assert_type(error.retry_after, float | None)
    assert_type(error.retryable, bool)
    assert_type(error.may_have_succeeded, bool)
    print(error.cod)  # type: ignore[attr-defined]  # pyright: ignore


def rollouts(client: Client) -> None:
    rollout = client.rollout("v2", replaces="v1", journal="rollout.json", steps=[1, 100], gate=gates.ready())
    assert_type(rollout.run(on_step=print), Outcome)
    assert_type(rollout.revert(), Outcome)
    assert_type(Rollout.resume(client, Path("rollout.json"), gates.command(["true"])).run(), Outcome)
    client.rollout("v2", "v1", journal="j")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.rollout("v2", replaces="v1", journal="j", gate="ready")  # type: ignore[arg-type]  # pyright: ignore


async def async_rollouts(client: AsyncClient) -> None:
    async def gate(step: Step) -> Verdict:
        return "pass" if step.new_weight else "wait"

    rollout = await client.rollout("v2", replaces="v1", journal="rollout.json", gate=gate)
    assert_type(await rollout.run(), Outcome)
    assert_type(await Rollout.resume(client, "rollout.json").revert(), Outcome)
    client.rollout("v2", replaces="v1", journal="j", gate=gates.probe(client.inference("id"), [], min_samples=3))


def completions(client: Client, gateway: types.Gateway) -> None:
    inference = client.inference(gateway, timeout=5, limit=3)
    assert_type(inference, Inference)
    assert_type(inference.chat.completions.create(model="m", messages=[], temperature=0), Completion)
    assert_type(inference.completions.create(model="m", prompt="p", timeout=None).text, str)
    assert_type(inference.models.list(), Sequence[Model])
    assert_type(inference.batch("in.jsonl", out="out.jsonl"), BatchResult)
    with inference.chat.completions.stream(model="m", messages=[], idle_timeout=3) as stream:
        for chunk in stream:
            assert_type(chunk, Chunk)
    assert_type(inference.chat.completions.create(body={"model": "m", "messages": []}), Completion)
    inference.chat.completions.create("m")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    inference.completions.stream(model=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.inference(gateway, limits=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def async_completions(client: AsyncClient) -> None:
    inference = client.inference("id")
    assert_type(await inference.chat.completions.create(model="m", messages=[]), Completion)
    assert_type(await inference.batch([], out="out.jsonl"), BatchResult)
    async with inference.completions.stream(model="m", prompt=[1, 2]) as stream:
        async for chunk in stream:
            assert_type(chunk.text, str)
    with inference.completions.stream(model="m", prompt="p"):  # type: ignore[attr-defined]  # pyright: ignore
        pass


async def examinations(client: Client, async_client: AsyncClient) -> None:
    assert_type(doctor.examine(client, names=True), doctor.Report)
    assert_type(await doctor.examine(async_client, timeout=5), doctor.Report)
    assert_type(doctor.examine(client).findings, Sequence[doctor.Finding])

"""A stack from a file to what runs, and back: planned, applied, changed, pruned and exported."""

import json
from pathlib import Path
from typing import Any

import pytest

from cwinference import AsyncClient, Plan, Stack, State, errors
from tests.support.connected_client import connected
from tests.support.scripted_server import Raw, ReceivedRequest

STACK = """
version: 1
capacity_claims:
  prod: {resources: {instance_id: gd-8xh100ib-i128, instance_count: 2, capacity_type: MANAGED, zones: [US-EAST-04A]}}
gateways:
  front:
    zones: [US-EAST-04A]
    core_weave_auth: {}
    body_based_routing: {api_type: OPENAI}
    endpoint_configuration: {allowed_source_ip_ranges: [10.0.0.0/8, 192.0.2.7/32]}
deployments:
  llama:
    gateways: [front]
    runtime: {engine: dynamo-vllm, version: 0.22.0}
    resources: {instance_type: gd-8xh100ib-i128, gpu_count: 8}
    model: {name: org/llama, bucket: models, path: llama}
    autoscaling: {min: 1, max: 4}
    traffic: {weight: 100}
    hot_load: {bucket: snapshots, transition_mode: ASYNC}
"""


def writes(calls: list[str]) -> list[str]:
    return [each for each in calls if each.startswith(("Create", "Update", "Delete"))]


async def test_a_stack_is_planned_applied_changed_exported_and_pruned(
    client: AsyncClient, calls: list[str], tmp_path: Path
) -> None:
    (tmp_path / "stack.yaml").write_text(STACK)
    stack = Stack.load(tmp_path / "stack.yaml")
    plan = await client.plan(stack)
    assert writes(calls) == []
    assert [each.title for each in plan.steps] == [
        "create capacity claim prod",
        "create gateway front",
        "create deployment llama",
    ]
    steps = list[Any]()
    done = await client.apply(plan, on_step=steps.append)
    assert done == steps
    front, llama = await client.gateways.find("front"), await client.deployments.find("llama")
    assert (State.of(front), State.of(llama)) == (State.READY, State.READY)
    assert [each.id for each in done][1:] == [front.spec.id, llama.spec.id]
    assert not await client.plan(stack)
    calls.clear()

    exported = await client.export()
    assert exported.gateways["front"] == stack.gateways["front"]
    assert exported.deployments["llama"]["hot_load"] == stack.deployments["llama"]["hot_load"]
    assert not await client.plan(exported)
    changed = Stack.parse({"deployments": {"llama": {"autoscaling": {"max": 8}, "traffic": {"weight": 50}}}})
    plan = Plan.from_json((await client.plan(changed)).to_json())
    await client.apply(plan)
    llama = await client.deployments.find("llama")
    assert (llama.spec.autoscaling.min, llama.spec.autoscaling.max, llama.spec.traffic.weight) == (1, 8, 50)
    assert writes(calls) == ["UpdateDeployment"]
    with pytest.raises(errors.PlanOutdated, match="deployment llama was changed"):
        await client.apply(plan)

    await client.apply(await client.plan(Stack.parse({}), prune="llama"), wait=False)
    await client.apply(await client.plan(Stack.parse({}), prune="front"))
    await client.apply(await client.plan(Stack.parse({}), prune="pro"))
    assert writes(calls)[1:] == ["DeleteDeployment", "DeleteGateway", "DeleteCapacityClaim"]
    assert (await client.export()).to_dict() == {"version": 1}


async def test_what_cannot_change_is_replaced_if_that_is_allowed(client: AsyncClient, calls: list[str]) -> None:
    document = Stack._of(parsed(STACK)).to_dict()
    await client.apply(await client.plan(Stack.parse(document)))
    document["deployments"]["llama"]["hot_load"]["bucket"] = "other"
    plan = await client.plan(Stack.parse(document))
    with pytest.raises(errors.ConfigurationError, match="allow_replace=True"):
        await client.apply(plan)
    before = await client.deployments.find("llama")
    await client.apply(plan, allow_replace=True)
    after = await client.deployments.find("llama")
    assert after.spec.id != before.spec.id
    assert not await client.plan(Stack.parse(document))


def parsed(text: str) -> Any:
    from cwinference.stacks._files import parse_document

    return parse_document(text)


async def test_a_field_that_only_the_service_knows_is_seen_on_every_transport(kind: str) -> None:
    """Plans read JSON: a binary response cannot name a field that this release does not know."""
    spec = {
        "id": "3f0e6c0a-6f0b-4c5e-9a53-0f6f2f6f7a11",
        "name": "front",
        "coreWeaveAuth": {},
        "pathBasedRouting": {},
        "burstPolicy": {"seconds": 30},
    }
    gateway = {"spec": spec, "status": {"status": "STATUS_READY"}}
    responses = {"GetGateway": {"gateway": gateway}, "ListGateways": {"items": [gateway]}}

    def respond(received: ReceivedRequest) -> Raw:
        body = json.dumps(responses.get(received.method.name, {})).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        return Raw(head.encode() + body)

    async with connected(kind, respond) as (client, server):
        plan = await client.plan(Stack.parse({"gateways": {"front": {"zones": ["US-EAST-04A"]}}}))
        assert "spec.burstPolicy" in (plan.steps[0].refusal or "")
        with pytest.raises(errors.ConfigurationError, match="fields that this release does not know"):
            await client.apply(plan)
    assert {each.method.name for each in server.received} == {
        *("ListCapacityClaims", "ListGateways", "ListDeployments", "GetGateway")
    }

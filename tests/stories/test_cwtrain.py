"""CoreWeave's cwtrain against the emulator: a model is deployed for a trainer, gets new weights, and is removed."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from pyqwest import SyncClient

from cwinference.emulator import Behavior, Emulator, EmulatorClock, Fate
from tests.support.cwtrain_requests import CwTrain, Failed

ZONE = "US-EAST-04A"
GATEWAY = {
    "name": "rollouts",
    "zones": [ZONE],
    "coreWeaveAuth": {},
    "bodyBasedRouting": {"apiType": "API_TYPE_OPENAI"},
}


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Run an emulator on whose clock creates take 12 s, deletes 7 and hot-loads 20."""
    behavior = Behavior(ready_after=12, delete_after=7, hot_load_after=20)
    with Emulator(behavior=behavior, clock=EmulatorClock(running=False)) as emulator:
        yield emulator


@pytest.fixture
def cwtrain(emulator: Emulator) -> Iterator[CwTrain]:
    client = CwTrain(emulator)
    yield client
    client.close()


def deployment(gateway_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": "policy",
        "gatewayIds": [gateway_id],
        "runtime": {"engine": "dynamo-vllm", "version": "0.22.0", "engineConfig": {"max-model-len": "8192"}},
        "resources": {"instanceType": "gd-8xh100ib-i128", "gpuCount": 8},
        "model": {"name": "org/policy", "bucket": "weights", "path": "base"},
        "autoscaling": {"min": 1, "max": 1},
        "traffic": {"weight": 100},
        "hotLoad": {"bucket": "weights", "pathPrefix": "steps", "transitionMode": "TRANSITION_MODE_ASYNC"},
        **changes,
    }


def serving(cwtrain: CwTrain) -> tuple[Any, Any]:
    """Create a gateway and a deployment that can be hot-loaded, both READY."""
    gateway_id = cwtrain.create("gateways", GATEWAY)["spec"]["id"]
    gateway = cwtrain.wait("gateways", gateway_id, 5)
    deployment_id = cwtrain.create("deployments", deployment(gateway_id))["spec"]["id"]
    return gateway, cwtrain.wait("deployments", deployment_id, 10)


def full(deployed: Any, identity: str) -> dict[str, Any]:
    return {
        "deploymentId": deployed["spec"]["id"],
        "identity": identity,
        "type": "SNAPSHOT_TYPE_FULL",
        "promptCachePolicy": "PROMPT_CACHE_POLICY_RESET_ALL",
    }


def delta(deployed: Any, identity: str, base: str) -> dict[str, Any]:
    metadata = {
        "previousSnapshotIdentity": base,
        "compressionFormat": "COMPRESSION_FORMAT_ZSTD",
        "checksumFormat": "CHECKSUM_FORMAT_ADLER32",
    }
    kind = {"type": "SNAPSHOT_TYPE_INCREMENTAL", "incrementalSnapshotMetadata": metadata}
    return {"deploymentId": deployed["spec"]["id"], "identity": identity, **kind}


def completed(emulator: Emulator, cwtrain: CwTrain, body: dict[str, Any]) -> Any:
    """Start a hot-load and return it when it is completed."""
    hot_load = cwtrain.hot_load(body)["spec"]["id"]
    while (found := cwtrain.get("hotLoads", hot_load))["status"]["state"] != "HOT_LOAD_STATE_COMPLETED":
        assert found["status"]["state"] in ("HOT_LOAD_STATE_PENDING", "HOT_LOAD_STATE_IN_PROGRESS")
        emulator.clock.advance(5)
    return found


def test_a_model_is_served_and_removed_again(emulator: Emulator, cwtrain: CwTrain) -> None:
    assert ZONE in cwtrain.parameters("gateways")["zones"]
    gateway, deployed = serving(cwtrain)
    offered = cwtrain.parameters("deployments", gatewayIds=[gateway["spec"]["id"]])
    assert "dynamo-vllm" in offered["runtimeParameters"]["runtimeVersions"]
    assert deployed["spec"]["hotLoad"] == deployment("")["hotLoad"]
    assert all(each["status"].startswith("STATUS_") for each in deployed["status"]["conditions"])
    assert cwtrain.list("deployments", parentGatewayId=gateway["spec"]["id"]) == [deployed]

    response = SyncClient().post(
        f"{gateway['status']['endpoints'][0]}/v1/completions",
        {"authorization": f"Bearer {emulator.token}", "content-type": "application/json"},
        b'{"model": "org/policy", "prompt": [1, 2, 3], "max_tokens": 4, "stream": false}',
    )
    body: Any = response.json()
    assert body["choices"]

    cwtrain.delete("deployments", deployed["spec"]["id"])
    cwtrain.delete("gateways", gateway["spec"]["id"])
    assert cwtrain.list("gateways") == cwtrain.list("deployments") == []


def test_a_gateway_is_deleted_as_soon_as_no_deployment_uses_it(emulator: Emulator, cwtrain: CwTrain) -> None:
    gateway, deployed = serving(cwtrain)
    other = CwTrain(emulator)
    other._send("DELETE", f"/deployments/{deployed['spec']['id']}")
    other._send("DELETE", f"/deployments/{deployed['spec']['id']}")
    other.close()
    cwtrain.delete("gateways", gateway["spec"]["id"])
    assert cwtrain.list("deployments") == []


def test_a_create_is_retried_safely_and_a_taken_name_is_reported(emulator: Emulator, cwtrain: CwTrain) -> None:
    emulator.faults.add("cut", method="CreateGateway", nth=1, when="after")
    chosen = str(uuid.uuid4())
    assert cwtrain.create("gateways", GATEWAY, chosen)["spec"]["id"] == chosen
    with pytest.raises(Failed, match="name taken"):
        cwtrain.create("gateways", GATEWAY)
    with pytest.raises(Failed, match="id taken"):
        cwtrain.create("gateways", {**GATEWAY, "name": "other"}, chosen)
    assert len(cwtrain.list("gateways")) == 1


@pytest.mark.parametrize("kind", ["error", "page", "refuse"])
def test_transient_failures_are_retried(emulator: Emulator, cwtrain: CwTrain, kind: Any) -> None:
    emulator.faults.add(kind, path="/v1alpha1/*", nth=(1, 2, 3))
    assert cwtrain.list("gateways") == []


def test_waiting_ends_when_the_resource_has_failed(emulator: Emulator, cwtrain: CwTrain) -> None:
    emulator.fates["rollouts"] = Fate()
    gateway_id = cwtrain.create("gateways", GATEWAY)["spec"]["id"]
    with pytest.raises(Failed, match="STATUS_FAILED"):
        cwtrain.wait("gateways", gateway_id, 5)


def test_weights_are_replaced_in_full_and_by_deltas(emulator: Emulator, cwtrain: CwTrain) -> None:
    _, deployed = serving(cwtrain)
    completed(emulator, cwtrain, full(deployed, "step-1"))
    last = completed(emulator, cwtrain, delta(deployed, "step-2", "step-1"))
    assert [each["identity"] for each in last["spec"]["snapshotChain"]] == ["step-1", "step-2"]
    assert last["status"]["finishedAt"]

    replicas = list(cwtrain.pages(f"/hotLoads/{last['spec']['id']}/replicas", "replicas", maxPageSize=1000))
    assert {(each["state"], each["currentSnapshotIdentity"]) for each in replicas} == {("READY", "step-2")}
    of_deployment = {"parentDeploymentId": deployed["spec"]["id"], "maxPageSize": 1}
    found = [each["spec"]["identity"] for each in cwtrain.pages("/hotLoads", "hotLoads", **of_deployment)]
    assert found == ["step-2", "step-1"]


def test_a_second_hot_load_is_refused_while_the_first_is_in_progress(emulator: Emulator, cwtrain: CwTrain) -> None:
    _, deployed = serving(cwtrain)
    chosen = str(uuid.uuid4())
    first = cwtrain.hot_load(full(deployed, "step-1"), chosen)
    assert cwtrain.hot_load(full(deployed, "step-1"), chosen)["spec"] == first["spec"]
    with pytest.raises(Failed, match="already in progress") as caught:
        cwtrain.hot_load(full(deployed, "step-2"))
    assert caught.value.code == "failed_precondition"
    with pytest.raises(Failed) as caught:
        cwtrain.cancel(chosen)
    assert caught.value.code == "unimplemented"


def test_a_token_without_the_role_is_reported(emulator: Emulator) -> None:
    for token, code in ((emulator.viewer_token, "permission_denied"), ("CW-SECRET-of-nobody", "unauthenticated")):
        client = CwTrain(emulator, token)
        with pytest.raises(Failed) as caught:
            client.create("gateways", GATEWAY)
        assert caught.value.code == code
        client.close()

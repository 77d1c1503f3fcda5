"""Creating and updating with a whole spec, and what a spec that was read in a binary codec cannot show."""

from typing import Any

import pytest

from cwinference import errors, types
from tests.stories.test_modify import changed_by
from tests.support.client_kinds import KINDS
from tests.support.connected_client import connected
from tests.support.scripted_server import ReceivedRequest

HOT_LOAD = types.DeploymentHotLoad(bucket="b")
UNSEEN: dict[str, Any] = {
    "allowed_source_ip_ranges": ["10.0.0.0/8"],
    "edge_proxy_mode": types.EdgeProxyMode.EDGE_PROXY_MODE_DIRECT,
}
"""What a response in a binary codec does not show of a gateway."""
BINARY = [kind for kind in KINDS if kind.startswith(("grpc", "connect-sync", "connect-async"))]
JSON = [kind for kind in KINDS if kind not in BINARY]


def deployment(**more: Any) -> types.DeploymentSpec:
    return types.DeploymentSpec(
        id="d",
        organization_id="org",
        name="chat",
        gateway_ids=["g"],
        runtime=types.DeploymentRuntime(engine="vllm", version="1", engine_config={"a": "1"}),
        model=types.DeploymentModel(name="org/model"),
        disabled=True,
        **more,
    )


def gateway(**configuration: Any) -> types.GatewaySpec:
    return types.GatewaySpec(
        id="g",
        organization_id="org",
        name="front",
        zones=["A"],
        core_weave_auth=types.CoreWeaveAuth(),
        endpoint_configuration=types.EndpointConfiguration(additional_dns=["x.example"], **configuration),
        path_based_routing=types.PathBasedRouting(),
    )


CLAIM = types.CapacityClaimSpec(
    id="c", organization_id="org", name="claim", resources=types.CapacityClaimResources(instance_count=2)
)


def respond(received: ReceivedRequest) -> Any:
    """Send the resources with everything that only JSON can show."""
    found: dict[str, Any] = {
        "gateway": types.Gateway(spec=gateway(**UNSEEN)),
        "deployment": types.Deployment(spec=deployment(hot_load=HOT_LOAD)),
        "capacity_claim": types.CapacityClaim(spec=CLAIM),
    }
    field = received.method.response.DESCRIPTOR.fields[0].name
    return received.method.response(**{field: found[field]})


def fields_of(spec: Any) -> dict[str, Any]:
    return {each.name: value for each, value in spec.ListFields() if each.name not in ("id", "organization_id")}


async def test_a_whole_spec_creates_a_copy_under_a_new_id(kind: str) -> None:
    async with connected(kind, respond) as (client, server):
        await client.deployments.create(spec=deployment(hot_load=HOT_LOAD), name="copy")
        await client.gateways.create(spec=gateway())
        await client.capacity_claims.create("more", spec=CLAIM, resources={"zones": ["B"]})
    first, second, third = [each.request for each in server.received]
    assert first.id not in ("", "d")
    expected: Any = fields_of(deployment(hot_load=HOT_LOAD)) | {"id": first.id, "name": "copy", "traffic": {}}
    assert first == types.CreateDeploymentRequest(**expected)
    assert second == types.CreateGatewayRequest(id=second.id, **fields_of(gateway()))
    assert (third.name, third.resources) == ("more", types.CapacityClaimResources(instance_count=2, zones=["B"]))


async def test_a_spec_may_be_a_mapping(kind: str) -> None:
    spec = {"id": "d", "organization_id": "org", "name": "chat", "runtime": {"engine": "vllm"}, "disabled": True}
    async with connected(kind, respond) as (client, server):
        await client.deployments.create(spec=spec, disabled=False, gateway_ids=["g"])
    request: Any = server.received[0].request
    assert request == types.CreateDeploymentRequest(
        id=request.id,
        name="chat",
        gateway_ids=["g"],
        runtime=types.DeploymentRuntime(engine="vllm"),
        traffic=types.DeploymentTraffic(),
    )


async def test_arguments_next_to_a_spec_win(kind: str) -> None:
    auth, routing = types.WeightsAndBiasesAuth(api_key="key"), {"api_type": "OPENAI"}
    async with connected(kind, respond) as (client, server):
        await client.gateways.create(spec=gateway(), zones=[], weights_and_biases_auth=auth, body_based_routing=routing)
    request: Any = server.received[0].request
    assert (request.WhichOneof("auth"), request.WhichOneof("routing")) == (
        "weights_and_biases_auth",
        "body_based_routing",
    )
    assert list(request.zones) == []


async def test_an_update_with_a_whole_spec_keeps_what_a_binary_codec_hides(kind: str) -> None:
    async with connected(kind, respond) as (client, server):
        await client.deployments.update("d", spec=deployment(), autoscaling={"max": 8})
        await client.gateways.update("g", spec=gateway(), zones=["B"])
    updates: Any = [each.request for each in server.received if each.method.name.startswith("Update")]
    reads = [each.path for each in server.received if each.method.name.startswith("Get")]
    if kind in JSON:
        assert reads == []
        return
    assert reads == ["/v1alpha1/inference/deployments/d", "/v1alpha1/inference/gateways/g"]
    assert (updates[0].hot_load, updates[0].autoscaling.max) == (HOT_LOAD, 8)
    assert updates[1].endpoint_configuration == types.EndpointConfiguration(additional_dns=["x.example"], **UNSEEN)
    assert updates[1].zones == ["B"]


async def test_an_update_reads_nothing_if_the_spec_shows_everything(kind: str) -> None:
    configuration = types.EndpointConfiguration(additional_dns=["y.example"])
    async with connected(kind, respond) as (client, server):
        await client.deployments.update("d", spec=deployment(hot_load=HOT_LOAD))
        await client.deployments.update("d", spec=deployment(), hot_load={"bucket": "b"})
        await client.gateways.update("g", spec=gateway(**UNSEEN))
        await client.gateways.update("g", spec=gateway(), endpoint_configuration=configuration)
        emptied = {"allowed_source_ip_ranges": [], "edge_proxy_mode": 0}
        await client.gateways.update("g", spec=gateway(), endpoint_configuration=emptied)
        await client.capacity_claims.update("c", spec=CLAIM)
    assert [each.method.name for each in server.received if not each.method.name.startswith("Update")] == []
    last: Any = [each.request for each in server.received if each.method.name == "UpdateGateway"][-1]
    assert last.endpoint_configuration == types.EndpointConfiguration(additional_dns=["x.example"])


@pytest.mark.parametrize("kind", BINARY)
async def test_an_update_refuses_what_this_release_would_reset(kind: str) -> None:
    def newer(value: Any) -> None:
        value["deployment"]["spec"]["newer"] = 1

    async with connected(kind, changed_by(newer)) as (client, server):
        with pytest.raises(errors.ConfigurationError, match=r"deployment\.spec\.newer"):
            await client.deployments.update("d", spec=deployment())
    assert len(server.received) == 1


@pytest.mark.parametrize("kind", BINARY)
async def test_a_spec_with_unknown_fields_in_binary_is_read_as_json_first(kind: str) -> None:
    unknown = b"\xfa\x3f\x03new"  # field 1023
    claim = types.CapacityClaimSpec.FromString(CLAIM.SerializeToString() + unknown)
    whole = types.DeploymentSpec.FromString(deployment(hot_load=HOT_LOAD).SerializeToString() + unknown)
    async with connected(kind, respond) as (client, server):
        await client.capacity_claims.update("c", spec=claim)
        await client.deployments.update("d", spec=whole)
    names = [each.method.name for each in server.received]
    assert names == ["GetCapacityClaim", "UpdateCapacityClaim", "GetDeployment", "UpdateDeployment"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"spec": types.Deployment()}, "spec: expected a types.DeploymentSpec or a mapping, got Deployment; use its s"),
        ({"spec": types.GatewaySpec()}, "spec: expected a types.DeploymentSpec or a mapping, got GatewaySpec"),
        ({"spec": 5}, "spec: expected a types.DeploymentSpec or a mapping, got int"),
        ({"spec": {"nmae": "x"}}, "spec.nmae: there is no such field; did you mean 'name'?"),
        ({"spec": {"runtime": {"engine": 5}}}, "spec.runtime.engine: expected a string, got int"),
        ({"spec": {}}, "name must not be empty"),
        ({"spec": {}, "name": "x", "runtime": {"enigne": 1}}, "runtime.enigne: there is no such field"),
    ],
)  # fmt: skip
async def test_a_spec_that_cannot_be_right_is_refused(kind: str, arguments: dict[str, Any], problem: str) -> None:
    async with connected(kind, respond) as (client, server):
        for call in (client.deployments.create(**arguments), client.deployments.update("d", **arguments)):
            with pytest.raises(errors.ConfigurationError) as caught:
                await call
            assert str(caught.value).startswith(problem)
    assert server.received == []


async def test_without_a_spec_what_is_missing_is_named_after_what_is_wrong(kind: str) -> None:
    async with connected(kind, respond) as (client, server):
        with pytest.raises(TypeError, match="^deployments.update: missing argument: gateway_ids, runtime, resources, "):
            await client.deployments.update("d", name="x")
        with pytest.raises(TypeError, match=r"^gateways.update: missing argument: name \(or a whole spec=\)$"):
            await client.gateways.update("g")
        with pytest.raises(TypeError, match="unexpected keyword argument 'runtme'; did you mean 'runtime'"):
            await client.deployments.create("x", runtme={})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert server.received == []

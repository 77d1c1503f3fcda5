"""The emulated API returns the sample responses to the sample requests, except for times and endpoints."""

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from cwinference import types
from cwinference._wire.methods import METHODS, Method
from cwinference.emulator.interfaces import RpcError
from tests.support import samples
from tests.support.emulated_api import OURS, InProcessApi, request


def normalized(value: Any) -> Any:
    """Replace times and endpoints in JSON by a placeholder, and remove empty lists."""
    if isinstance(value, dict):
        kept = {key: normalized(item) for key, item in value.items()}
        return {
            key: "..." if key == "endpoints" or key.endswith(("At", "Time")) else item
            for key, item in kept.items()
            if item != []
        }
    return [normalized(each) for each in value] if isinstance(value, list) else value


def response(api: InProcessApi, sent: Any) -> Any:
    return normalized(MessageToDict(api.emulated.call(METHODS[type(sent)], sent, OURS)))


def sample(name: str) -> Any:
    return normalized(samples.value(f"{name}.json"))


@pytest.fixture
def api() -> InProcessApi:
    return InProcessApi()


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_every_method_is_implemented(api: InProcessApi, method: Method) -> None:
    try:
        api.emulated.call(method, method.request(), OURS)
    except RpcError as error:
        assert "does not implement" not in error.message  # noqa: PT017 - any other error is fine


def test_responses_about_a_gateway(api: InProcessApi) -> None:
    assert response(api, request("CreateGateway")) == sample("GatewayService.CreateGateway.response")
    api.pass_time(10)
    assert response(api, request("GetGateway")) == sample("GatewayService.GetGateway.response")
    assert response(api, request("UpdateGateway")) == sample("GatewayService.UpdateGateway.response")


def test_the_response_to_the_deletion_of_a_gateway(api: InProcessApi) -> None:
    api.sample("CreateGateway")
    api.pass_time(10)
    assert response(api, request("DeleteGateway")) == sample("GatewayService.DeleteGateway.response")


def test_responses_about_a_gateway_with_newer_fields(api: InProcessApi) -> None:
    sent = request("CreateGateway")
    sent.endpoint_configuration.allowed_source_ip_ranges.append("203.0.113.0/24")
    sent.endpoint_configuration.edge_proxy_mode = types.EdgeProxyMode.EDGE_PROXY_MODE_DIRECT
    api(sent)
    api.pass_time(10)
    assert response(api, request("GetGateway")) == sample("GatewayService.GetGateway.response.newer")


def test_responses_about_a_deployment(api: InProcessApi) -> None:
    api.sample("CreateGateway")
    assert response(api, request("CreateDeployment")) == sample("DeploymentService.CreateDeployment.response")
    api.pass_time(10)
    assert response(api, request("GetDeployment")) == sample("DeploymentService.GetDeployment.response")
    assert response(api, request("UpdateDeployment")) == sample("DeploymentService.UpdateDeployment.response")
    api.sample("DeleteDeployment")
    api.pass_time(10)
    api.sample("CreateDeployment")
    assert response(api, request("DeleteDeployment")) == sample("DeploymentService.DeleteDeployment.response")


def test_responses_about_a_deployment_with_hot_load(api: InProcessApi) -> None:
    api.sample("CreateGateway")
    api.sample("CreateDeployment.newer")
    api.pass_time(10)
    assert response(api, request("GetDeployment")) == sample("DeploymentService.GetDeployment.response.newer")


def test_responses_about_a_capacity_claim(api: InProcessApi) -> None:
    created = response(api, request("CreateCapacityClaim"))
    assert created == sample("CapacityClaimService.CreateCapacityClaim.response")
    api.pass_time(10)
    assert response(api, request("GetCapacityClaim")) == sample("CapacityClaimService.GetCapacityClaim.response")
    listed = response(api, types.ListCapacityClaimsRequest())
    assert listed == sample("CapacityClaimService.ListCapacityClaims.response")
    updated = response(api, request("UpdateCapacityClaim"))
    assert updated == sample("CapacityClaimService.UpdateCapacityClaim.response")


def test_the_response_to_the_deletion_of_a_claim(api: InProcessApi) -> None:
    api.sample("CreateCapacityClaim")
    api.pass_time(10)
    deleted = response(api, request("DeleteCapacityClaim"))
    assert deleted == sample("CapacityClaimService.DeleteCapacityClaim.response")


def test_responses_about_hot_loads(api: InProcessApi) -> None:
    api.sample("CreateGateway")
    api.sample("CreateDeployment.newer")
    api.pass_time(10)
    api.sample("CreateHotLoad.full")
    api.pass_time(10)
    assert response(api, request("CreateHotLoad")) == sample("HotLoadService.CreateHotLoad.response")
    api.pass_time(4)
    listed, expected = response(api, types.ListHotLoadsRequest()), sample("HotLoadService.ListHotLoads.response")
    assert listed["hotLoads"] == expected["hotLoads"]
    api.pass_time(6)
    assert response(api, request("GetHotLoad")) == sample("HotLoadService.GetHotLoad.response")
    replicas = response(api, request("ListHotLoadReplicas"))["replicas"]
    assert replicas == sample("HotLoadService.ListHotLoadReplicas.response")["replicas"][:1]

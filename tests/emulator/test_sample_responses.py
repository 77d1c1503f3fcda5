"""The emulated API answers the sample requests with the sample replies, but for times and endpoints."""

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from cwinference import types
from cwinference._wire.methods import METHODS
from tests.support import samples
from tests.support.emulated_api import OURS, Emulated, request


def faceless(value: Any) -> Any:
    """JSON without the moments and addresses in it; what is empty counts as absent."""
    if isinstance(value, dict):
        kept = {key: faceless(item) for key, item in value.items()}
        return {
            key: "..." if key == "endpoints" or key.endswith(("At", "Time")) else item
            for key, item in kept.items()
            if item != []
        }
    return [faceless(each) for each in value] if isinstance(value, list) else value


def answer(emulated: Emulated, sent: Any) -> Any:
    return faceless(MessageToDict(emulated.api.call(METHODS[type(sent)], sent, OURS)))


def sample(name: str) -> Any:
    return faceless(samples.value(f"{name}.json"))


@pytest.fixture
def emulated() -> Emulated:
    return Emulated()


def test_replies_about_a_gateway(emulated: Emulated) -> None:
    assert answer(emulated, request("CreateGateway")) == sample("GatewayService.CreateGateway.response")
    emulated.pass_time(10)
    assert answer(emulated, request("GetGateway")) == sample("GatewayService.GetGateway.response")
    assert answer(emulated, request("UpdateGateway")) == sample("GatewayService.UpdateGateway.response")


def test_the_reply_to_a_gateways_deletion(emulated: Emulated) -> None:
    emulated.sample("CreateGateway")
    emulated.pass_time(10)
    assert answer(emulated, request("DeleteGateway")) == sample("GatewayService.DeleteGateway.response")


def test_replies_about_a_gateway_with_newer_fields(emulated: Emulated) -> None:
    sent = request("CreateGateway")
    sent.endpoint_configuration.allowed_source_ip_ranges.append("203.0.113.0/24")
    emulated(sent)
    emulated.pass_time(10)
    assert answer(emulated, request("GetGateway")) == sample("GatewayService.GetGateway.response.newer")


def test_replies_about_a_deployment(emulated: Emulated) -> None:
    emulated.sample("CreateGateway")
    assert answer(emulated, request("CreateDeployment")) == sample("DeploymentService.CreateDeployment.response")
    emulated.pass_time(10)
    assert answer(emulated, request("GetDeployment")) == sample("DeploymentService.GetDeployment.response")
    assert answer(emulated, request("UpdateDeployment")) == sample("DeploymentService.UpdateDeployment.response")
    emulated.sample("DeleteDeployment")
    emulated.pass_time(10)
    emulated.sample("CreateDeployment")
    assert answer(emulated, request("DeleteDeployment")) == sample("DeploymentService.DeleteDeployment.response")


def test_replies_about_a_hot_loading_deployment(emulated: Emulated) -> None:
    emulated.sample("CreateGateway")
    emulated.sample("CreateDeployment.newer")
    emulated.pass_time(10)
    assert answer(emulated, request("GetDeployment")) == sample("DeploymentService.GetDeployment.response.newer")


def test_replies_about_a_capacity_claim(emulated: Emulated) -> None:
    created = answer(emulated, request("CreateCapacityClaim"))
    assert created == sample("CapacityClaimService.CreateCapacityClaim.response")
    emulated.pass_time(10)
    assert answer(emulated, request("GetCapacityClaim")) == sample("CapacityClaimService.GetCapacityClaim.response")
    listed = answer(emulated, types.ListCapacityClaimsRequest())
    assert listed == sample("CapacityClaimService.ListCapacityClaims.response")
    updated = answer(emulated, request("UpdateCapacityClaim"))
    assert updated == sample("CapacityClaimService.UpdateCapacityClaim.response")


def test_the_reply_to_a_claims_deletion(emulated: Emulated) -> None:
    emulated.sample("CreateCapacityClaim")
    emulated.pass_time(10)
    deleted = answer(emulated, request("DeleteCapacityClaim"))
    assert deleted == sample("CapacityClaimService.DeleteCapacityClaim.response")


def test_replies_about_hot_loads(emulated: Emulated) -> None:
    emulated.sample("CreateGateway")
    emulated.sample("CreateDeployment.newer")
    emulated.pass_time(10)
    emulated.sample("CreateHotLoad.full")
    emulated.pass_time(10)
    assert answer(emulated, request("CreateHotLoad")) == sample("HotLoadService.CreateHotLoad.response")
    emulated.pass_time(4)
    listed, expected = answer(emulated, types.ListHotLoadsRequest()), sample("HotLoadService.ListHotLoads.response")
    assert listed["hotLoads"] == expected["hotLoads"]
    emulated.pass_time(6)
    assert answer(emulated, request("GetHotLoad")) == sample("HotLoadService.GetHotLoad.response")
    replicas = answer(emulated, request("ListHotLoadReplicas"))["replicas"]
    assert replicas == sample("HotLoadService.ListHotLoadReplicas.response")["replicas"][:1]

"""CoreWeave's Terraform provider against the emulator: apply, plan, change, destroy, and failures."""

from collections.abc import Iterator
from typing import Any

import pytest

from cwinference import types
from cwinference.emulator import Behavior, Emulator, EmulatorClock, Fate
from tests.support.terraform_requests import Diagnostic, Terraform

ZONE = "US-EAST-04A"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Run an emulator on whose clock creates take 12 s, updates 3 and deletes 7."""
    behavior = Behavior(ready_after=12, update_after=3, delete_after=7)
    with Emulator(behavior=behavior, clock=EmulatorClock(running=False)) as emulator:
        yield emulator


@pytest.fixture
def terraform(emulator: Emulator) -> Terraform:
    return Terraform(emulator)


def gateway_config(**changes: Any) -> dict[str, Any]:
    routing = types.BodyBasedRouting(api_type=types.BodyBasedRouting.API_TYPE_OPENAI)
    defaults = {"core_weave_auth": types.CoreWeaveAuth(), "body_based_routing": routing}
    return {"name": "test-acc-inf-gateway", "zones": [ZONE], **defaults, **changes}


def deployment_config(gateway_id: str, **changes: Any) -> dict[str, Any]:
    runtime = types.DeploymentRuntime(
        engine="vllm",
        version="0.22.0",
        engine_config={"max-model-len": "4096"},
        engine_env={"VLLM_USE_FLASHINFER_MOE_FP4": "0"},
    )
    autoscaling = types.DeploymentAutoscaling(
        min=1, max=2, priority=100, capacity_classes=[types.DeploymentAutoscaling.CAPACITY_CLASS_RESERVED]
    )
    return {
        "name": "test-acc-inf-deployment",
        "gateway_ids": [gateway_id],
        "runtime": runtime,
        "resources": types.DeploymentResources(instance_type="gd-8xh100ib-i128", gpu_count=1),
        "model": types.DeploymentModel(name="meta-llama/Llama-3.1-8B-Instruct", bucket="models", path="llama"),
        "autoscaling": autoscaling,
        "traffic": types.DeploymentTraffic(),
        **changes,
    }


def claim_resources(count: int = 1) -> types.CapacityClaimResources:
    return types.CapacityClaimResources(
        instance_id="gd-8xh100ib-i128",
        instance_count=count,
        capacity_type=types.CapacityType.CAPACITY_TYPE_MANAGED,
        zones=[ZONE],
    )


def matches(spec: Any, config: dict[str, Any]) -> bool:
    """Return whether a spec has exactly the values of the configuration."""
    return all(getattr(spec, name) == value for name, value in config.items())


def test_a_gateway_from_apply_to_destroy(terraform: Terraform) -> None:
    config = gateway_config()
    gateway = terraform.apply(types.CreateGatewayRequest(**config))
    assert terraform.pauses == [5, 10]
    assert matches(gateway.spec, config)
    assert terraform.read(gateway) == gateway

    config = gateway_config(endpoint_configuration=types.EndpointConfiguration(additional_dns=["models.example.com"]))
    gateway = terraform.apply(types.UpdateGatewayRequest(id=gateway.spec.id, **config))
    assert matches(gateway.spec, config)

    terraform.destroy(gateway)
    terraform.destroy(gateway)
    with pytest.raises(Diagnostic, match="Not Found"):
        terraform.read(gateway)


def test_a_deployment_from_plan_to_destroy(terraform: Terraform) -> None:
    gateway = terraform.apply(types.CreateGatewayRequest(**gateway_config()))
    parameters = terraform.call(types.GetDeploymentParametersRequest())
    assert "vllm" in parameters.runtime_parameters.runtime_versions
    assert "gd-8xh100ib-i128" in parameters.resource_parameters.instance_types

    config = deployment_config(gateway.spec.id)
    deployment = terraform.apply(types.CreateDeploymentRequest(**config))
    assert matches(deployment.spec, config)
    assert deployment.spec.HasField("traffic")

    autoscaling = types.DeploymentAutoscaling(min=2, max=4)
    config = deployment_config(gateway.spec.id, autoscaling=autoscaling, traffic=types.DeploymentTraffic(weight=50))
    deployment = terraform.apply(types.UpdateDeploymentRequest(id=deployment.spec.id, **config))
    assert matches(deployment.spec, config)

    terraform.destroy(deployment)
    terraform.destroy(gateway)


def test_parameters_list_no_instance_types_while_there_is_no_gateway(terraform: Terraform) -> None:
    parameters = terraform.call(types.GetDeploymentParametersRequest())
    assert not parameters.resource_parameters.instance_types


def test_newer_providers_wait_for_the_condition_of_a_disabled_deployment(terraform: Terraform) -> None:
    gateway = terraform.apply(types.CreateGatewayRequest(**gateway_config()))
    deployment = terraform.apply(types.CreateDeploymentRequest(**deployment_config(gateway.spec.id)))
    disabled = types.UpdateDeploymentRequest(id=deployment.spec.id, **deployment_config(gateway.spec.id), disabled=True)
    deployment = terraform.apply(disabled, ready=False)
    assert deployment.spec.disabled
    assert deployment.status.status != types.Status.STATUS_READY


def test_older_providers_wait_until_a_disabled_deployment_is_ready() -> None:
    behavior = Behavior(ready_after=12, disabled_becomes_ready=True)
    with Emulator(behavior=behavior, clock=EmulatorClock(running=False)) as emulator:
        terraform = Terraform(emulator)
        gateway = terraform.apply(types.CreateGatewayRequest(**gateway_config()))
        deployment = terraform.apply(types.CreateDeploymentRequest(**deployment_config(gateway.spec.id)))
        disabled = types.UpdateDeploymentRequest(
            id=deployment.spec.id, **deployment_config(gateway.spec.id), disabled=True
        )
        assert terraform.apply(disabled).spec.disabled


def test_a_capacity_claim_from_apply_to_destroy(terraform: Terraform) -> None:
    offered = terraform.call(types.GetCapacityClaimParametersRequest()).zone_instance_types
    assert "gd-8xh100ib-i128" in offered[ZONE].instance_ids
    claim = terraform.apply(types.CreateCapacityClaimRequest(name="test-acc-inf-claim", resources=claim_resources()))
    assert claim.spec.resources == claim_resources()
    claim = terraform.apply(types.UpdateCapacityClaimRequest(id=claim.spec.id, resources=claim_resources(2)))
    assert (claim.spec.resources.instance_count, claim.status.allocated_instances) == (2, 2)
    terraform.destroy(claim)


def test_sweepers_find_and_remove_resources_left_by_tests(terraform: Terraform) -> None:
    gateway = terraform.apply(types.CreateGatewayRequest(**gateway_config()))
    terraform.apply(types.CreateDeploymentRequest(**deployment_config(gateway.spec.id)))
    terraform.apply(types.CreateCapacityClaimRequest(name="test-acc-inf-claim", resources=claim_resources()))
    terraform.apply(types.CreateCapacityClaimRequest(name="kept", resources=claim_resources()))
    for resource in (
        *terraform.call(types.ListDeploymentsRequest()).items,
        *terraform.call(types.ListCapacityClaimsRequest()).capacity_claims,
        *terraform.call(types.ListGatewaysRequest()).items,
    ):
        if resource.spec.name.startswith("test-acc-inf-"):
            terraform.destroy(resource)
    assert not terraform.call(types.ListGatewaysRequest()).items
    assert [each.spec.name for each in terraform.call(types.ListCapacityClaimsRequest()).capacity_claims] == ["kept"]


def diagnostic_of(terraform: Terraform, request: Any) -> Diagnostic:
    """Make a call that fails; return what the user reads."""
    with pytest.raises(Diagnostic) as caught:
        terraform.call(request)
    return caught.value


def test_errors_become_diagnostics_by_their_details(terraform: Terraform) -> None:
    gateway = terraform.apply(types.CreateGatewayRequest(**gateway_config()))
    terraform.apply(types.CreateDeploymentRequest(**deployment_config(gateway.spec.id)))

    taken = diagnostic_of(terraform, types.CreateGatewayRequest(**gateway_config()))
    assert (taken.title, taken.text) == ("Already Exists", "test-acc-inf-gateway")
    in_use = diagnostic_of(terraform, types.DeleteGatewayRequest(id=gateway.spec.id))
    assert in_use.title == "Failed Precondition"
    wrong = diagnostic_of(terraform, types.CreateGatewayRequest(**gateway_config(name="-", zones=["us-east-04a"])))
    assert (wrong.title, [line.partition(":")[0] for line in wrong.text.splitlines()]) == (
        "Bad Request",
        ["name", "zones[0]"],
    )


def test_insufficient_tokens_are_reported(emulator: Emulator) -> None:
    assert (
        diagnostic_of(Terraform(emulator, "CW-SECRET-of-nobody"), types.ListGatewaysRequest()).title
        == "Unauthenticated"
    )
    viewer = Terraform(emulator, emulator.viewer_token)
    assert diagnostic_of(viewer, types.CreateGatewayRequest(**gateway_config())).title == "Unauthorized"


def test_a_failed_create_ends_the_apply_and_can_be_destroyed(emulator: Emulator, terraform: Terraform) -> None:
    emulator.fates["test-acc-inf-gateway"] = Fate()
    with pytest.raises(Diagnostic, match="FAILED"):
        terraform.apply(types.CreateGatewayRequest(**gateway_config()))
    (tainted,) = terraform.call(types.ListGatewaysRequest()).items
    terraform.destroy(tainted)
    emulator.fates.clear()
    terraform.apply(types.CreateGatewayRequest(**gateway_config()))


@pytest.mark.parametrize("code", ["unavailable", "internal", "resource_exhausted"])
def test_two_failures_are_retried(emulator: Emulator, terraform: Terraform, code: str) -> None:
    emulator.faults.add("error", method="CreateGateway", nth=(1, 2), code=code)
    terraform.call(types.CreateGatewayRequest(**gateway_config()))
    assert terraform.pauses == [0.2, 0.4]


def test_retries_of_a_service_that_stays_down_end(emulator: Emulator, terraform: Terraform) -> None:
    emulator.faults.add("error", method="CreateGateway", code="unavailable")
    with pytest.raises(Diagnostic, match="giving up after 11 attempts"):
        terraform.call(types.CreateGatewayRequest(**gateway_config()))


def test_a_create_whose_response_is_lost_makes_no_second_gateway(emulator: Emulator, terraform: Terraform) -> None:
    emulator.faults.add("cut", method="CreateGateway", nth=1, when="after")
    assert diagnostic_of(terraform, types.CreateGatewayRequest(**gateway_config())).title == "Already Exists"
    assert len(terraform.call(types.ListGatewaysRequest()).items) == 1

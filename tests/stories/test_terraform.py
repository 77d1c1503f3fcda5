"""CoreWeave's Terraform provider against the emulator, call by call: apply, plan, change, destroy, failures."""

from collections.abc import Iterator
from typing import Any

import pytest

from cwinference import types
from cwinference.emulator import Behavior, Emulator, EmulatorClock, Fate
from tests.support.terraform_requests import Diagnostic, Terraform

ZONE = "US-EAST-04A"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Creates take 12 s on its clock, updates 3 and deletes 7."""
    behavior = Behavior(ready_after=12, update_after=3, delete_after=7)
    with Emulator(behavior=behavior, clock=EmulatorClock(running=False)) as emulator:
        yield emulator


@pytest.fixture
def terraform(emulator: Emulator) -> Terraform:
    return Terraform(emulator)


def gateway(**changes: Any) -> dict[str, Any]:
    routing = types.BodyBasedRouting(api_type=types.BodyBasedRouting.API_TYPE_OPENAI)
    plain = {"core_weave_auth": types.CoreWeaveAuth(), "body_based_routing": routing}
    return {"name": "test-acc-inf-gateway", "zones": [ZONE], **plain, **changes}


def deployment(gateway_id: str, **changes: Any) -> dict[str, Any]:
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


def claim(count: int = 1) -> types.CapacityClaimResources:
    return types.CapacityClaimResources(
        instance_id="gd-8xh100ib-i128",
        instance_count=count,
        capacity_type=types.CapacityType.CAPACITY_TYPE_MANAGED,
        zones=[ZONE],
    )


def echoes(spec: Any, config: dict[str, Any]) -> bool:
    """Whether a spec says exactly what the configuration said."""
    return all(getattr(spec, name) == value for name, value in config.items())


def test_a_gateway_from_apply_to_destroy(terraform: Terraform) -> None:
    config = gateway()
    front = terraform.apply(types.CreateGatewayRequest(**config))
    assert terraform.pauses == [5, 10]
    assert echoes(front.spec, config)
    assert terraform.read(front) == front

    named = gateway(endpoint_configuration=types.EndpointConfiguration(additional_dns=["models.example.com"]))
    front = terraform.apply(types.UpdateGatewayRequest(id=front.spec.id, **named))
    assert echoes(front.spec, named)

    terraform.destroy(front)
    terraform.destroy(front)
    with pytest.raises(Diagnostic, match="Not Found"):
        terraform.read(front)


def test_a_deployment_from_plan_to_destroy(terraform: Terraform) -> None:
    front = terraform.apply(types.CreateGatewayRequest(**gateway()))
    parameters = terraform.call(types.GetDeploymentParametersRequest())
    assert "vllm" in parameters.runtime_parameters.runtime_versions
    assert "gd-8xh100ib-i128" in parameters.resource_parameters.instance_types

    config = deployment(front.spec.id)
    made = terraform.apply(types.CreateDeploymentRequest(**config))
    assert echoes(made.spec, config)
    assert made.spec.HasField("traffic")

    autoscaling = types.DeploymentAutoscaling(min=2, max=4)
    config = deployment(front.spec.id, autoscaling=autoscaling, traffic=types.DeploymentTraffic(weight=50))
    made = terraform.apply(types.UpdateDeploymentRequest(id=made.spec.id, **config))
    assert echoes(made.spec, config)

    terraform.destroy(made)
    terraform.destroy(front)


def test_parameters_name_no_instance_types_while_there_is_no_gateway(terraform: Terraform) -> None:
    parameters = terraform.call(types.GetDeploymentParametersRequest())
    assert not parameters.resource_parameters.instance_types


def test_newer_providers_wait_for_a_disabled_deployment_by_its_condition(terraform: Terraform) -> None:
    front = terraform.apply(types.CreateGatewayRequest(**gateway()))
    made = terraform.apply(types.CreateDeploymentRequest(**deployment(front.spec.id)))
    off = types.UpdateDeploymentRequest(id=made.spec.id, **deployment(front.spec.id), disabled=True)
    made = terraform.apply(off, ready=False)
    assert made.spec.disabled
    assert made.status.status != types.Status.STATUS_READY


def test_older_providers_wait_for_a_disabled_deployment_to_be_ready() -> None:
    behavior = Behavior(ready_after=12, disabled_becomes_ready=True)
    with Emulator(behavior=behavior, clock=EmulatorClock(running=False)) as emulator:
        terraform = Terraform(emulator)
        front = terraform.apply(types.CreateGatewayRequest(**gateway()))
        made = terraform.apply(types.CreateDeploymentRequest(**deployment(front.spec.id)))
        off = types.UpdateDeploymentRequest(id=made.spec.id, **deployment(front.spec.id), disabled=True)
        assert terraform.apply(off).spec.disabled


def test_a_capacity_claim_from_apply_to_destroy(terraform: Terraform) -> None:
    offered = terraform.call(types.GetCapacityClaimParametersRequest()).zone_instance_types
    assert "gd-8xh100ib-i128" in offered[ZONE].instance_ids
    made = terraform.apply(types.CreateCapacityClaimRequest(name="test-acc-inf-claim", resources=claim()))
    assert made.spec.resources == claim()
    more = types.UpdateCapacityClaimRequest(id=made.spec.id, resources=claim(2))
    made = terraform.apply(more)
    assert (made.spec.resources.instance_count, made.status.allocated_instances) == (2, 2)
    terraform.destroy(made)


def test_sweepers_find_and_remove_what_tests_left(terraform: Terraform) -> None:
    front = terraform.apply(types.CreateGatewayRequest(**gateway()))
    terraform.apply(types.CreateDeploymentRequest(**deployment(front.spec.id)))
    terraform.apply(types.CreateCapacityClaimRequest(name="test-acc-inf-claim", resources=claim()))
    terraform.apply(types.CreateCapacityClaimRequest(name="kept", resources=claim()))
    for resource in (
        *terraform.call(types.ListDeploymentsRequest()).items,
        *terraform.call(types.ListCapacityClaimsRequest()).capacity_claims,
        *terraform.call(types.ListGatewaysRequest()).items,
    ):
        if resource.spec.name.startswith("test-acc-inf-"):
            terraform.destroy(resource)
    assert not terraform.call(types.ListGatewaysRequest()).items
    assert [each.spec.name for each in terraform.call(types.ListCapacityClaimsRequest()).capacity_claims] == ["kept"]


def told(terraform: Terraform, request: Any) -> Diagnostic:
    with pytest.raises(Diagnostic) as caught:
        terraform.call(request)
    return caught.value


def test_errors_become_diagnostics_by_their_details(terraform: Terraform) -> None:
    front = terraform.apply(types.CreateGatewayRequest(**gateway()))
    terraform.apply(types.CreateDeploymentRequest(**deployment(front.spec.id)))

    taken = told(terraform, types.CreateGatewayRequest(**gateway()))
    assert (taken.title, taken.text) == ("Already Exists", "test-acc-inf-gateway")
    in_use = told(terraform, types.DeleteGatewayRequest(id=front.spec.id))
    assert in_use.title == "Failed Precondition"
    wrong = told(terraform, types.CreateGatewayRequest(**gateway(name="-", zones=["us-east-04a"])))
    assert (wrong.title, [line.partition(":")[0] for line in wrong.text.splitlines()]) == (
        "Bad Request",
        ["name", "zones[0]"],
    )


def test_tokens_that_do_not_suffice_are_told(emulator: Emulator) -> None:
    assert told(Terraform(emulator, "CW-SECRET-of-nobody"), types.ListGatewaysRequest()).title == "Unauthenticated"
    viewer = Terraform(emulator, emulator.viewer_token)
    assert told(viewer, types.CreateGatewayRequest(**gateway())).title == "Unauthorized"


def test_a_create_that_fails_ends_the_apply_and_can_be_destroyed(emulator: Emulator, terraform: Terraform) -> None:
    emulator.fates["test-acc-inf-gateway"] = Fate()
    with pytest.raises(Diagnostic, match="FAILED"):
        terraform.apply(types.CreateGatewayRequest(**gateway()))
    (tainted,) = terraform.call(types.ListGatewaysRequest()).items
    terraform.destroy(tainted)
    emulator.fates.clear()
    terraform.apply(types.CreateGatewayRequest(**gateway()))


@pytest.mark.parametrize("code", ["unavailable", "internal", "resource_exhausted"])
def test_two_failures_and_a_success_are_a_success(emulator: Emulator, terraform: Terraform, code: str) -> None:
    emulator.faults.add("error", method="CreateGateway", nth=(1, 2), code=code)
    terraform.call(types.CreateGatewayRequest(**gateway()))
    assert terraform.pauses == [0.2, 0.4]


def test_a_service_that_stays_down_is_given_up(emulator: Emulator, terraform: Terraform) -> None:
    emulator.faults.add("error", method="CreateGateway", code="unavailable")
    with pytest.raises(Diagnostic, match="giving up after 11 attempts"):
        terraform.call(types.CreateGatewayRequest(**gateway()))


def test_a_create_whose_answer_is_lost_makes_no_second_gateway(emulator: Emulator, terraform: Terraform) -> None:
    emulator.faults.add("cut", method="CreateGateway", nth=1, when="after")
    assert told(terraform, types.CreateGatewayRequest(**gateway())).title == "Already Exists"
    assert len(terraform.call(types.ListGatewaysRequest()).items) == 1

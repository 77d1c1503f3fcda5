"""Requests that the state does not allow: taken ids and names, resources of others or in use, unknown options."""

from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, PreconditionFailure, QuotaFailure, ResourceInfo

from cwinference import types
from cwinference.emulator.behavior import Behavior
from cwinference.emulator.interfaces import RpcError, Violation
from tests.support.emulated_api import CLAIM_ID, DEPLOYMENT_ID, GATEWAY_ID, OURS, STRANGER, InProcessApi, request


@pytest.fixture
def api() -> InProcessApi:
    """Create one resource of each kind; they are READY at the next poll."""
    api = InProcessApi(ready_after=0)
    for kind in ("Gateway", "Deployment", "CapacityClaim"):
        api.sample(f"Create{kind}")
    return api


def rejection(api: InProcessApi, sent: Message, **options: Any) -> RpcError:
    with pytest.raises(RpcError) as caught:
        api(sent, **options)
    return caught.value


def another(kind: str) -> Any:
    """Return a sample create request with another id and name."""
    sent = request(f"Create{kind}")
    sent.id, sent.name = str(uuid4()), "another"
    return sent


@pytest.mark.parametrize("kind", ["Gateway", "Deployment", "CapacityClaim"])
@pytest.mark.parametrize("taken", ["id", "name"])
def test_ids_and_names_are_unique(kind: str, taken: str, api: InProcessApi) -> None:
    original, conflicting = request(f"Create{kind}"), another(kind)
    setattr(conflicting, taken, getattr(original, taken))
    error = rejection(api, conflicting)
    assert error.code == "already_exists"
    assert taken in error.message
    (detail,) = error.details
    assert isinstance(detail, ResourceInfo)
    assert detail.resource_name == getattr(original, taken)


def test_a_create_with_a_taken_name_creates_nothing(api: InProcessApi) -> None:
    conflicting = another("Gateway")
    conflicting.name = "chat-gateway"
    rejection(api, conflicting)
    assert rejection(api, types.GetGatewayRequest(id=conflicting.id)).code == "not_found"


@pytest.mark.parametrize("kind", ["Deployment", "CapacityClaim"])
def test_a_name_is_free_again_once_its_resource_is_gone(kind: str) -> None:
    api = InProcessApi()
    api.sample("CreateGateway")
    api.sample(f"Create{kind}")
    api.sample(f"Delete{kind}")
    assert rejection(api, request(f"Create{kind}")).code == "already_exists"
    api.pass_time(10)
    api.sample(f"Create{kind}")


def test_a_resource_can_be_renamed_to_a_free_name(api: InProcessApi) -> None:
    api(another("Gateway"))
    sent = request("UpdateGateway")
    sent.name = "another"
    assert rejection(api, sent).code == "already_exists"
    sent.name = "renamed"
    assert api(sent).spec.name == "renamed"
    freed = another("Gateway")
    freed.name = "chat-gateway"
    api(freed)


REQUESTS_BY_ID = [
    types.GetGatewayRequest(id=GATEWAY_ID),
    request("UpdateGateway"),
    types.DeleteGatewayRequest(id=GATEWAY_ID),
    types.GetDeploymentRequest(id=DEPLOYMENT_ID),
    request("UpdateDeployment"),
    types.DeleteDeploymentRequest(id=DEPLOYMENT_ID),
    types.GetCapacityClaimRequest(id=CLAIM_ID),
    request("UpdateCapacityClaim"),
    types.DeleteCapacityClaimRequest(id=CLAIM_ID),
    types.GetDeploymentParametersRequest(gateway_ids=[GATEWAY_ID]),
]


@pytest.mark.parametrize("sent", REQUESTS_BY_ID, ids=lambda sent: str(sent.DESCRIPTOR.name))
def test_a_resource_of_another_organization_is_not_found(sent: Message, api: InProcessApi) -> None:
    error = rejection(api, sent, caller=STRANGER)
    assert error.code == "not_found"
    assert error.details == rejection(InProcessApi(), sent).details, "as if it did not exist"


def test_organizations_do_not_see_each_other_and_have_separate_names(api: InProcessApi) -> None:
    assert not api(types.ListGatewaysRequest(), STRANGER).items
    assert not api(types.ListDeploymentsRequest(parent_gateway_id=GATEWAY_ID), STRANGER).items
    assert not api(types.ListCapacityClaimsRequest(), STRANGER).capacity_claims
    same_name = another("Gateway")
    same_name.name = "chat-gateway"
    assert api(same_name, STRANGER).spec.organization_id == STRANGER.organization
    theirs = another("Deployment")
    assert rejection(api, theirs, caller=STRANGER).code == "not_found", "its gateway belongs to us"


def test_a_gateway_cannot_be_deleted_until_its_last_deployment_is_gone() -> None:
    api = InProcessApi()
    api.sample("CreateGateway")
    api.sample("CreateDeployment")
    error = rejection(api, types.DeleteGatewayRequest(id=GATEWAY_ID))
    assert error.code == "failed_precondition"
    (detail,) = error.details
    assert isinstance(detail, PreconditionFailure)
    assert detail.violations[0].type == "GATEWAY_IN_USE"
    assert GATEWAY_ID in detail.violations[0].subject
    assert "llama-31-8b" in detail.violations[0].description
    api.sample("DeleteDeployment")
    assert rejection(api, types.DeleteGatewayRequest(id=GATEWAY_ID)).code == "failed_precondition"
    api.pass_time(10)
    api.sample("DeleteGateway")


def test_a_deployment_can_move_to_another_gateway(api: InProcessApi) -> None:
    other = api(another("Gateway"))
    sent = request("UpdateDeployment")
    sent.gateway_ids[:] = [other.spec.id]
    api(sent)
    api.sample("DeleteGateway")
    assert [each.spec.id for each in api.emulated.deployments(other.spec.id)] == [DEPLOYMENT_ID]
    assert not api.emulated.deployments(GATEWAY_ID)


def test_a_deployment_needs_gateways_that_exist(api: InProcessApi) -> None:
    sent = another("Deployment")
    sent.gateway_ids.append(str(uuid4()))
    error = rejection(api, sent)
    assert error.code == "not_found"
    assert error.message == "gateway not found"


def test_a_gateway_that_is_being_deleted_accepts_no_update_and_no_deployment() -> None:
    api = InProcessApi()
    api.sample("CreateGateway")
    api.sample("DeleteGateway")
    assert rejection(api, request("UpdateGateway")).code == "failed_precondition"
    assert rejection(api, request("CreateDeployment")).code == "failed_precondition"


def test_unknown_engine_options_are_rejected_together(api: InProcessApi) -> None:
    sent = another("Deployment")
    sent.runtime.engine_config["fast"] = "very"
    sent.runtime.engine_env["PATH"] = "/"
    error = rejection(api, sent)
    assert error.code == "invalid_argument"
    (detail,) = error.details
    assert isinstance(detail, BadRequest)
    assert [(each.field, each.reason) for each in detail.field_violations] == [
        ('runtime.engine_config["fast"]', "engine_config.allowed"),
        ('runtime.engine_env["PATH"]', "engine_env.allowed"),
    ]
    update = request("UpdateDeployment")
    update.runtime.engine_env["PATH"] = "/"
    assert rejection(api, update).code == "invalid_argument"


def test_zones_types_and_versions_are_checked_only_if_parameters_are_enforced() -> None:
    strict, gateway = InProcessApi(behavior=Behavior(enforce_parameters=True)), another("Gateway")
    gateway.zones[:] = ["US-EAST-04A", "RNO2A"]
    claim = another("CapacityClaim")
    claim.resources.instance_id = "gb200-4x"
    InProcessApi()(gateway)
    InProcessApi()(claim)
    assert rejection(strict, gateway).message.startswith("zones[1]: RNO2A is not")
    assert rejection(strict, claim).message == "resources.instance_id: gb200-4x is not on offer in US-EAST-04A"
    claim.resources.zones[:] = ["RNO2A"]
    assert rejection(strict, claim).message.startswith("resources.zones[0]: RNO2A is not")
    strict.sample("CreateGateway")
    deployment = another("Deployment")
    deployment.runtime.version = "9.9.9"
    deployment.resources.instance_type = "abacus"
    assert [each.split(":")[0] for each in rejection(strict, deployment).message.split("; ")] == [
        "runtime.version",
        "resources.instance_type",
    ]


def test_a_quota_applies_to_each_kind_and_organization() -> None:
    api = InProcessApi(behavior=Behavior(quota=1))
    api.sample("CreateGateway")
    api.sample("CreateCapacityClaim")
    error = rejection(api, another("Gateway"))
    assert error.code == "resource_exhausted"
    (detail,) = error.details
    assert isinstance(detail, QuotaFailure)
    assert detail.violations[0].description == "the organization's quota of 1 gateways is used up"
    assert rejection(api, request("CreateGateway")).code == "already_exists"
    api(another("Gateway"), STRANGER)
    api.sample("DeleteGateway")
    api.pass_time(10)
    api.sample("CreateGateway")


def test_rules_are_checked_before_the_state(api: InProcessApi) -> None:
    violations = (Violation("name", "string.x", "is bad"), Violation("auth", "required", "exactly one is required"))
    validating = InProcessApi(check=lambda request: violations)
    error = rejection(validating, types.GetGatewayRequest(id=GATEWAY_ID))
    assert (error.code, error.message) == ("invalid_argument", "name: is bad; auth: exactly one is required")
    (detail,) = error.details
    assert isinstance(detail, BadRequest)
    assert [(each.field, each.reason, each.description) for each in detail.field_violations] == [
        ("name", "string.x", "is bad"),
        ("auth", "required", "exactly one is required"),
    ]


def test_deployments_of_a_gateway_are_listed_in_the_order_of_their_creation(api: InProcessApi) -> None:
    second = api(another("Deployment"))
    api.sample("UpdateDeployment")
    assert [each.spec.id for each in api.emulated.deployments(GATEWAY_ID)] == [DEPLOYMENT_ID, second.spec.id]
    assert [each.spec.id for each in api(types.ListDeploymentsRequest(parent_gateway_id=GATEWAY_ID)).items] == [
        DEPLOYMENT_ID,
        second.spec.id,
    ]
    assert api.emulated.gateway(str(uuid4())) is None
    assert api(types.GetGatewayRequest(id=GATEWAY_ID), OURS).spec.id == GATEWAY_ID

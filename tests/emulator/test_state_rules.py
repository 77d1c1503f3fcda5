"""What the state forbids: taken ids and names, strangers, resources in use, options that no engine has."""

from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, PreconditionFailure, QuotaFailure, ResourceInfo

from cwinference import types
from cwinference.emulator.behavior import Behavior
from cwinference.emulator.interfaces import Refusal, Violation
from tests.support.emulated_api import CLAIM_ID, DEPLOYMENT_ID, GATEWAY_ID, OURS, STRANGER, Emulated, request


@pytest.fixture
def emulated() -> Emulated:
    """One of each, READY at the next look."""
    emulated = Emulated(ready_after=0)
    for kind in ("Gateway", "Deployment", "CapacityClaim"):
        emulated.sample(f"Create{kind}")
    return emulated


def refusal(emulated: Emulated, sent: Message, **options: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        emulated(sent, **options)
    return caught.value


def another(kind: str) -> Any:
    """A sample create under another id and name."""
    sent = request(f"Create{kind}")
    sent.id, sent.name = str(uuid4()), "another"
    return sent


@pytest.mark.parametrize("kind", ["Gateway", "Deployment", "CapacityClaim"])
@pytest.mark.parametrize("taken", ["id", "name"])
def test_an_id_and_a_name_are_given_once(kind: str, taken: str, emulated: Emulated) -> None:
    original, repeat = request(f"Create{kind}"), another(kind)
    setattr(repeat, taken, getattr(original, taken))
    found = refusal(emulated, repeat)
    assert found.code == "already_exists"
    assert taken in found.message
    (detail,) = found.details
    assert isinstance(detail, ResourceInfo)
    assert detail.resource_name == getattr(original, taken)


def test_a_name_clash_leaves_the_sent_id_not_found(emulated: Emulated) -> None:
    clash = another("Gateway")
    clash.name = "chat-gateway"
    refusal(emulated, clash)
    assert refusal(emulated, types.GetGatewayRequest(id=clash.id)).code == "not_found"


@pytest.mark.parametrize("kind", ["Deployment", "CapacityClaim"])
def test_a_name_is_free_again_once_its_bearer_is_gone(kind: str) -> None:
    emulated = Emulated()
    emulated.sample("CreateGateway")
    emulated.sample(f"Create{kind}")
    emulated.sample(f"Delete{kind}")
    assert refusal(emulated, request(f"Create{kind}")).code == "already_exists"
    emulated.pass_time(10)
    emulated.sample(f"Create{kind}")


def test_a_resource_may_be_renamed_to_a_free_name(emulated: Emulated) -> None:
    emulated(another("Gateway"))
    sent = request("UpdateGateway")
    sent.name = "another"
    assert refusal(emulated, sent).code == "already_exists"
    sent.name = "renamed"
    assert emulated(sent).spec.name == "renamed"
    freed = another("Gateway")
    freed.name = "chat-gateway"
    emulated(freed)


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
def test_what_belongs_to_another_organization_is_not_found(sent: Message, emulated: Emulated) -> None:
    found = refusal(emulated, sent, caller=STRANGER)
    assert found.code == "not_found"
    assert found.details == refusal(Emulated(), sent).details, "as if it did not exist"


def test_organizations_do_not_see_each_other_and_share_no_names(emulated: Emulated) -> None:
    assert not emulated(types.ListGatewaysRequest(), STRANGER).items
    assert not emulated(types.ListDeploymentsRequest(parent_gateway_id=GATEWAY_ID), STRANGER).items
    assert not emulated(types.ListCapacityClaimsRequest(), STRANGER).capacity_claims
    same_name = another("Gateway")
    same_name.name = "chat-gateway"
    assert emulated(same_name, STRANGER).spec.organization_id == STRANGER.organization
    theirs = another("Deployment")
    assert refusal(emulated, theirs, caller=STRANGER).code == "not_found", "their gateway is ours"


def test_a_gateway_in_use_stays_until_the_last_deployment_is_gone() -> None:
    emulated = Emulated()
    emulated.sample("CreateGateway")
    emulated.sample("CreateDeployment")
    found = refusal(emulated, types.DeleteGatewayRequest(id=GATEWAY_ID))
    assert found.code == "failed_precondition"
    (detail,) = found.details
    assert isinstance(detail, PreconditionFailure)
    assert detail.violations[0].type == "GATEWAY_IN_USE"
    assert GATEWAY_ID in detail.violations[0].subject
    assert "llama-31-8b" in detail.violations[0].description
    emulated.sample("DeleteDeployment")
    assert refusal(emulated, types.DeleteGatewayRequest(id=GATEWAY_ID)).code == "failed_precondition"
    emulated.pass_time(10)
    emulated.sample("DeleteGateway")


def test_a_deployment_may_move_to_another_gateway(emulated: Emulated) -> None:
    other = emulated(another("Gateway"))
    sent = request("UpdateDeployment")
    sent.gateway_ids[:] = [other.spec.id]
    emulated(sent)
    emulated.sample("DeleteGateway")
    assert [each.spec.id for each in emulated.api.deployments(other.spec.id)] == [DEPLOYMENT_ID]
    assert not emulated.api.deployments(GATEWAY_ID)


def test_a_deployment_needs_gateways_that_exist_and_stay(emulated: Emulated) -> None:
    sent = another("Deployment")
    sent.gateway_ids.append(str(uuid4()))
    found = refusal(emulated, sent)
    assert found.code == "not_found"
    assert found.message == "gateway not found"


def test_what_is_being_deleted_takes_no_update_and_no_deployment() -> None:
    emulated = Emulated()
    emulated.sample("CreateGateway")
    emulated.sample("DeleteGateway")
    assert refusal(emulated, request("UpdateGateway")).code == "failed_precondition"
    assert refusal(emulated, request("CreateDeployment")).code == "failed_precondition"


def test_options_that_the_engine_does_not_have_are_refused_together(emulated: Emulated) -> None:
    sent = another("Deployment")
    sent.runtime.engine_config["fast"] = "very"
    sent.runtime.engine_env["PATH"] = "/"
    found = refusal(emulated, sent)
    assert found.code == "invalid_argument"
    (detail,) = found.details
    assert isinstance(detail, BadRequest)
    assert [(each.field, each.reason) for each in detail.field_violations] == [
        ('runtime.engine_config["fast"]', "engine_config.allowed"),
        ('runtime.engine_env["PATH"]', "engine_env.allowed"),
    ]
    update = request("UpdateDeployment")
    update.runtime.engine_env["PATH"] = "/"
    assert refusal(emulated, update).code == "invalid_argument"


def test_zones_types_and_versions_are_taken_as_they_come_unless_the_parameters_are_enforced() -> None:
    strict, gateway = Emulated(behaviour=Behavior(enforce_parameters=True)), another("Gateway")
    gateway.zones[:] = ["US-EAST-04A", "RNO2A"]
    claim = another("CapacityClaim")
    claim.resources.instance_id = "gb200-4x"
    Emulated()(gateway)
    Emulated()(claim)
    assert refusal(strict, gateway).message.startswith("zones[1]: RNO2A is not")
    assert refusal(strict, claim).message == "resources.instance_id: gb200-4x is not on offer in US-EAST-04A"
    claim.resources.zones[:] = ["RNO2A"]
    assert refusal(strict, claim).message.startswith("resources.zones[0]: RNO2A is not")
    strict.sample("CreateGateway")
    deployment = another("Deployment")
    deployment.runtime.version = "9.9.9"
    deployment.resources.instance_type = "abacus"
    assert [each.split(":")[0] for each in refusal(strict, deployment).message.split("; ")] == [
        "runtime.version",
        "resources.instance_type",
    ]


def test_a_quota_holds_for_each_kind_and_organization() -> None:
    emulated = Emulated(behaviour=Behavior(quota=1))
    emulated.sample("CreateGateway")
    emulated.sample("CreateCapacityClaim")
    found = refusal(emulated, another("Gateway"))
    assert found.code == "resource_exhausted"
    (detail,) = found.details
    assert isinstance(detail, QuotaFailure)
    assert detail.violations[0].description == "the organization's quota of 1 gateways is used up"
    assert refusal(emulated, request("CreateGateway")).code == "already_exists"
    emulated(another("Gateway"), STRANGER)
    emulated.sample("DeleteGateway")
    emulated.pass_time(10)
    emulated.sample("CreateGateway")


def test_rules_come_before_the_state(emulated: Emulated) -> None:
    violations = (Violation("name", "string.x", "is bad"), Violation("auth", "required", "exactly one is required"))
    ruled = Emulated(check=lambda request: violations)
    found = refusal(ruled, types.GetGatewayRequest(id=GATEWAY_ID))
    assert (found.code, found.message) == ("invalid_argument", "name: is bad; auth: exactly one is required")
    (detail,) = found.details
    assert isinstance(detail, BadRequest)
    assert [(each.field, each.reason, each.description) for each in detail.field_violations] == [
        ("name", "string.x", "is bad"),
        ("auth", "required", "exactly one is required"),
    ]


def test_deployments_of_a_gateway_come_in_the_order_of_their_creation(emulated: Emulated) -> None:
    second = emulated(another("Deployment"))
    emulated.sample("UpdateDeployment")
    assert [each.spec.id for each in emulated.api.deployments(GATEWAY_ID)] == [DEPLOYMENT_ID, second.spec.id]
    assert [each.spec.id for each in emulated(types.ListDeploymentsRequest(parent_gateway_id=GATEWAY_ID)).items] == [
        DEPLOYMENT_ID,
        second.spec.id,
    ]
    assert emulated.api.gateway(str(uuid4())) is None
    assert emulated(types.GetGatewayRequest(id=GATEWAY_ID), OURS).spec.id == GATEWAY_ID

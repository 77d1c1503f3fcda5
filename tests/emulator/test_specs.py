"""What is sent comes back as it was sent, but for the little that the service changes."""

from typing import Any

import pytest

from cwinference import types
from cwinference.emulator.behavior import Fate
from tests.support.emulated_api import GATEWAY_ID, OURS, Emulated, request


@pytest.fixture
def emulated() -> Emulated:
    emulated = Emulated(ready_after=0)
    emulated.sample("CreateGateway")
    return emulated


def sent_fields(message: Any, *apart: str) -> dict[str, Any]:
    """The populated fields by name, without what the server adds."""
    return {field.name: value for field, value in message.ListFields() if field.name not in apart}


@pytest.mark.parametrize(
    "variant",
    ["", ".newer", ".header-routing-wandb", ".path-routing"],
)
def test_a_gateway_is_echoed(variant: str) -> None:
    sent = request(f"CreateGateway{variant}")
    created = Emulated()(sent)
    assert sent_fields(created.spec, "organization_id", "id") == sent_fields(sent, "id")
    assert created.spec.organization_id == OURS.organization


@pytest.mark.parametrize("variant", ["", ".newer"])
def test_a_deployment_is_echoed_with_its_capacity_classes_in_order(variant: str, emulated: Emulated) -> None:
    sent = request(f"CreateDeployment{variant}")
    sent.autoscaling.capacity_classes.reverse()
    created = emulated(sent)
    assert sent_fields(created.spec, "organization_id") == sent_fields(sent)


def test_messages_that_are_present_but_empty_stay_present(emulated: Emulated) -> None:
    sent = request("CreateDeployment")
    sent.traffic.Clear()
    sent.traffic.SetInParent()
    created = emulated(sent)
    assert created.spec.HasField("traffic")
    assert created.spec.traffic.weight == 0


@pytest.mark.parametrize("kind", ["CreateGateway", "CreateDeployment", "CreateCapacityClaim"])
def test_an_id_is_made_when_none_is_sent(kind: str) -> None:
    emulated = Emulated()
    if kind != "CreateGateway":
        emulated.sample("CreateGateway")
    sent = request(kind)
    sent.id = ""
    created = emulated(sent)
    assert len(created.spec.id) == 36
    assert created.status.created_at == created.status.updated_at


def test_an_update_replaces_the_whole_spec_but_id_and_owner(emulated: Emulated) -> None:
    emulated.sample("CreateDeployment")
    sent = request("UpdateDeployment")
    sent.runtime.engine_env.clear()
    sent.ClearField("disabled")
    before = emulated.deployment()
    updated = emulated(sent)
    assert sent_fields(updated.spec, "organization_id") == sent_fields(sent)
    assert updated.spec.organization_id == before.spec.organization_id
    assert updated.status.created_at == before.status.created_at


def update_dns(*names: str) -> types.UpdateGatewayRequest:
    sent: types.UpdateGatewayRequest = request("UpdateGateway")
    sent.endpoint_configuration.additional_dns[:] = names
    return sent


def test_names_in_the_dns_are_merged_on_update(emulated: Emulated) -> None:
    merged = emulated(update_dns("b.example.com", "llm.example.com", "a.example.com"))
    expected = ["llm.example.com", "b.example.com", "a.example.com"]
    assert merged.spec.endpoint_configuration.additional_dns == expected
    without = request("UpdateGateway")
    without.ClearField("endpoint_configuration")
    assert emulated(without).spec.endpoint_configuration.additional_dns == expected


def test_an_update_may_change_auth_and_routing(emulated: Emulated) -> None:
    sent = request("UpdateGateway")
    sent.weights_and_biases_auth.SetInParent()
    sent.path_based_routing.SetInParent()
    updated = emulated(sent)
    assert updated.spec.WhichOneof("auth") == "weights_and_biases_auth"
    assert updated.spec.WhichOneof("routing") == "path_based_routing"


def test_a_key_for_weights_and_biases_never_comes_back() -> None:
    emulated = Emulated()
    sent = request("CreateGateway")
    sent.weights_and_biases_auth.api_key = "wandb-secret"
    sent.weights_and_biases_auth.server_url = "https://wandb.example.com"
    answers = [emulated(sent), emulated.gateway(), emulated(types.ListGatewaysRequest())]
    update = request("UpdateGateway")
    update.weights_and_biases_auth.api_key = "wandb-secret"
    answers += [emulated(update), emulated(types.DeleteGatewayRequest(id=GATEWAY_ID))]
    assert b"wandb-secret" not in b"".join(each.SerializeToString() for each in answers)
    assert answers[0].spec.weights_and_biases_auth.server_url == "https://wandb.example.com"


def test_the_endpoint_follows_the_public_url(emulated: Emulated) -> None:
    before = emulated.gateway()
    emulated.api.fates["failing"] = Fate()
    failing = request("CreateGateway")
    failing.id, failing.name = "", "failing"
    emulated(failing)
    emulated.api.public_url = "https://front.example.com/"
    after = emulated.gateway()
    assert after.status.endpoints == [f"https://front.example.com/gateway/{GATEWAY_ID}"]
    assert after.status.updated_at.ToNanoseconds() > before.status.updated_at.ToNanoseconds()


def test_an_answer_is_a_copy(emulated: Emulated) -> None:
    emulated.gateway().spec.name = "changed"
    found = emulated.api.gateway(GATEWAY_ID)
    assert found is not None
    found.spec.name = "changed"
    assert emulated.gateway().spec.name == "chat-gateway"

"""Specs are returned as they were sent, except for the few things that the service changes."""

from typing import Any

import pytest

from cwinference import types
from cwinference.emulator.behavior import Fate
from tests.support.emulated_api import GATEWAY_ID, OURS, InProcessApi, request


@pytest.fixture
def api() -> InProcessApi:
    api = InProcessApi(ready_after=0)
    api.sample("CreateGateway")
    return api


def fields_of(message: Any, *excluded: str) -> dict[str, Any]:
    """Return the populated fields by name, without those that the server sets."""
    return {field.name: value for field, value in message.ListFields() if field.name not in excluded}


@pytest.mark.parametrize(
    "variant",
    ["", ".newer", ".header-routing-wandb", ".path-routing"],
)
def test_the_spec_of_a_gateway_is_returned_as_sent(variant: str) -> None:
    sent = request(f"CreateGateway{variant}")
    created = InProcessApi()(sent)
    assert fields_of(created.spec, "organization_id", "id") == fields_of(sent, "id")
    assert created.spec.organization_id == OURS.organization


@pytest.mark.parametrize("variant", ["", ".newer"])
def test_the_spec_of_a_deployment_is_returned_as_sent_with_its_capacity_classes_in_order(
    variant: str, api: InProcessApi
) -> None:
    sent = request(f"CreateDeployment{variant}")
    sent.autoscaling.capacity_classes.reverse()
    created = api(sent)
    assert fields_of(created.spec, "organization_id") == fields_of(sent)


def test_messages_that_are_present_but_empty_stay_present(api: InProcessApi) -> None:
    sent = request("CreateDeployment")
    sent.traffic.Clear()
    sent.traffic.SetInParent()
    created = api(sent)
    assert created.spec.HasField("traffic")
    assert created.spec.traffic.weight == 0


@pytest.mark.parametrize("kind", ["CreateGateway", "CreateDeployment", "CreateCapacityClaim"])
def test_an_id_is_generated_if_none_is_sent(kind: str) -> None:
    api = InProcessApi()
    if kind != "CreateGateway":
        api.sample("CreateGateway")
    sent = request(kind)
    sent.id = ""
    created = api(sent)
    assert len(created.spec.id) == 36
    assert created.status.created_at == created.status.updated_at


def test_an_update_replaces_the_whole_spec_except_id_and_organization(api: InProcessApi) -> None:
    api.sample("CreateDeployment")
    sent = request("UpdateDeployment")
    sent.runtime.engine_env.clear()
    sent.ClearField("disabled")
    before = api.deployment()
    updated = api(sent)
    assert fields_of(updated.spec, "organization_id") == fields_of(sent)
    assert updated.spec.organization_id == before.spec.organization_id
    assert updated.status.created_at == before.status.created_at


def update_dns(*names: str) -> types.UpdateGatewayRequest:
    sent: types.UpdateGatewayRequest = request("UpdateGateway")
    sent.endpoint_configuration.additional_dns[:] = names
    return sent


def test_an_update_merges_additional_dns_names(api: InProcessApi) -> None:
    merged = api(update_dns("b.example.com", "llm.example.com", "a.example.com"))
    expected = ["llm.example.com", "b.example.com", "a.example.com"]
    assert merged.spec.endpoint_configuration.additional_dns == expected
    without = request("UpdateGateway")
    without.ClearField("endpoint_configuration")
    assert api(without).spec.endpoint_configuration.additional_dns == expected


def test_an_update_can_change_auth_and_routing(api: InProcessApi) -> None:
    sent = request("UpdateGateway")
    sent.weights_and_biases_auth.SetInParent()
    sent.path_based_routing.SetInParent()
    updated = api(sent)
    assert updated.spec.WhichOneof("auth") == "weights_and_biases_auth"
    assert updated.spec.WhichOneof("routing") == "path_based_routing"


def test_a_weights_and_biases_key_is_never_returned() -> None:
    api = InProcessApi()
    sent = request("CreateGateway")
    sent.weights_and_biases_auth.api_key = "wandb-secret"
    sent.weights_and_biases_auth.server_url = "https://wandb.example.com"
    responses = [api(sent), api.gateway(), api(types.ListGatewaysRequest())]
    update = request("UpdateGateway")
    update.weights_and_biases_auth.api_key = "wandb-secret"
    responses += [api(update), api(types.DeleteGatewayRequest(id=GATEWAY_ID))]
    assert b"wandb-secret" not in b"".join(each.SerializeToString() for each in responses)
    assert responses[0].spec.weights_and_biases_auth.server_url == "https://wandb.example.com"


def test_the_endpoint_follows_the_public_url(api: InProcessApi) -> None:
    before = api.gateway()
    api.emulated.fates["failing"] = Fate()
    failing = request("CreateGateway")
    failing.id, failing.name = "", "failing"
    api(failing)
    api.emulated.public_url = "https://front.example.com/"
    after = api.gateway()
    assert after.status.endpoints == [f"https://front.example.com/gateway/{GATEWAY_ID}"]
    assert after.status.updated_at.ToNanoseconds() > before.status.updated_at.ToNanoseconds()


def test_a_response_is_a_copy(api: InProcessApi) -> None:
    api.gateway().spec.name = "changed"
    gateway = api.emulated.gateway(GATEWAY_ID)
    assert gateway is not None
    gateway.spec.name = "changed"
    assert api.gateway().spec.name == "chat-gateway"

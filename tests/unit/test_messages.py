"""Messages as JSON and back: in the API's own form, strict about what is read, without what is write-only."""

import json
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

import cwinference
from cwinference import errors, from_json, to_dict, to_json, types
from cwinference._wire.methods import METHODS
from tests.support import samples
from tests.support.random_messages import messages_of

SAMPLES = [name for part in ("request", "response") for name in samples.names(part)]
KINDS = sorted(
    {kind for method in METHODS.values() for kind in (method.request, method.response)},
    key=lambda kind: str(kind.DESCRIPTOR.full_name),
)
SECRET = "sk-canary"
WITH_SECRET = types.Gateway(
    spec=types.GatewaySpec(name="front", weights_and_biases_auth=types.WeightsAndBiasesAuth(api_key=SECRET))
)


def sample(name: str) -> Message:
    return samples.request(name) if ".request" in name else samples.response(name)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_becomes_the_json_that_it_was_and_is_read_again(name: str) -> None:
    message = sample(name)
    text = to_json(message, secrets=True)
    assert json.loads(text) == to_dict(message, secrets=True)
    assert from_json(type(message), text) == message
    assert from_json(type(message), samples.value(name)) == message


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_random_message_is_the_same_after_a_round_trip(data: st.DataObject) -> None:
    message = data.draw(messages_of(data.draw(st.sampled_from(KINDS))))
    text = to_json(message, secrets=True, indent=None)
    assert "\n" not in text
    assert from_json(type(message), text) == message
    assert from_json(type(message), to_dict(message, secrets=True)) == message


def test_json_has_the_names_of_the_api() -> None:
    deployment = types.Deployment(
        spec=types.DeploymentSpec(
            name="café",
            gateway_ids=["g"],
            runtime=types.DeploymentRuntime(engine="vllm", engine_env={"HF_TOKEN": "hf"}),
            traffic=types.DeploymentTraffic(weight=0),
        ),
        status=types.DeploymentStatus(
            status=types.Status.STATUS_READY, created_at=types.Timestamp(seconds=1_700_000_000, nanos=5_000_000)
        ),
    )
    assert to_dict(deployment) == {
        "spec": {
            "name": "café",
            "gatewayIds": ["g"],
            "runtime": {"engine": "vllm", "engineEnv": {"HF_TOKEN": "hf"}},
            "traffic": {},
        },
        "status": {"status": "STATUS_READY", "createdAt": "2023-11-14T22:13:20.005Z"},
    }
    assert '"café"' in to_json(deployment)


def test_what_is_write_only_is_left_out_unless_it_is_asked_for() -> None:
    listed = types.ListGatewaysResponse(items=[WITH_SECRET])
    for message in (WITH_SECRET, listed):
        assert SECRET not in to_json(message)
        assert SECRET in to_json(message, secrets=True)
    assert to_dict(WITH_SECRET) == {"spec": {"name": "front", "weightsAndBiasesAuth": {}}}
    assert WITH_SECRET.spec.weights_and_biases_auth.api_key == SECRET


def test_field_names_in_snake_case_are_read_too() -> None:
    assert from_json(types.Deployment, {"spec": {"gateway_ids": ["g"]}}).spec.gateway_ids == ["g"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("{", "data is not JSON"),
        (b"\xff", "data is not JSON"),
        ("[]", "data is not the JSON of a types.Deployment"),
        (5, "data: expected JSON text or a mapping, got int"),
        ({"spec": {"name": object()}}, "data has values that JSON does not have"),
        ({"spec": {"autoscaling": {"min": SECRET}}}, "types.Deployment: spec.autoscaling.min is wrong"),
        ({"spec": {"name": [SECRET]}}, "data is not the JSON of a types.Deployment"),
        ({"spec": {"nam\x1be": 1}}, r"this release does not know spec.nam\x1be; ignore_unknown=True leaves it out"),
        ({"status": {"status": "STATUS_TIRED"}}, "this release does not know status.status=STATUS_TIRED"),
    ],
    ids=[
        "no JSON", "no text", "a list", "a number", "no JSON value", "a wrong number", "a wrong string",
        "an unknown field", "an unknown value",
    ],
)  # fmt: skip
def test_what_is_not_the_json_of_a_message_is_refused_without_its_values(data: Any, text: str) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        from_json(types.Deployment, data)
    assert text in str(caught.value)
    assert SECRET not in str(caught.value)


def test_two_members_of_a_oneof_are_refused() -> None:
    both: Any = {"items": [{"spec": {"coreWeaveAuth": {}, "weights_and_biases_auth": {}}}]}
    with pytest.raises(errors.ConfigurationError, match="data: items.spec.auth: core_weave_auth and weights_and"):
        from_json(types.ListGatewaysResponse, both)


def test_what_this_release_does_not_know_can_be_left_out() -> None:
    newer = {"spec": {"name": "a", "mood": "fine"}, "status": {"status": "STATUS_TIRED"}}
    assert from_json(types.Gateway, newer, ignore_unknown=True).spec.name == "a"


@pytest.mark.parametrize("wrong", [None, {"spec": SECRET}, types.Timestamp()], ids=["None", "dict", "Timestamp"])
def test_only_messages_of_the_api_become_json(wrong: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="expected a message of cwinference.types, got") as caught:
        to_dict(wrong)
    assert SECRET not in str(caught.value)
    with pytest.raises(errors.ConfigurationError, match="kind: expected a message class of cwinference.types"):
        from_json(type(wrong), "{}")


def test_they_are_public() -> None:
    assert {"to_dict", "to_json", "from_json"} <= {*cwinference.__all__}

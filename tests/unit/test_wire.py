"""Samples and their published bytes, encoded and decoded by our protos."""

import json
from base64 import b64decode
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

from cwinference._wire.methods import METHODS, contains_placeholder
from tests.support import samples

VECTORS: dict[str, dict[str, str]] = json.loads((samples.DIRECTORY / "wire-vectors.json").read_text("utf-8"))
PARTS = {"request": samples.request, "response": samples.response}
SAMPLES = [*samples.names("request"), *samples.names("response")]
PLACEHOLDERS = {name for name in SAMPLES if name.startswith("HotLoadService")} | {
    "DeploymentService.CreateDeployment.request.newer.json",
    "DeploymentService.GetDeployment.response.newer.json",
    "GatewayService.CreateGateway.request.newer.json",
    "GatewayService.GetGateway.response.newer.json",
}

WITHOUT_BYTES = frozenset[str]()
"""Samples without an entry in `wire-vectors.json`: no other implementation has encoded them yet.

An entry proves something only if its bytes are not ours: those of the service, or of code that CoreWeave generated.
"""


def sample(name: str) -> Message:
    return PARTS[name.split(".")[2]](name)


def encoded(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


def lower_camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def without_defaults(value: Any) -> Any:
    """Return JSON as protobuf writes it: `false` and empty lists are left out."""
    if isinstance(value, dict):
        items = ((key, without_defaults(each)) for key, each in value.items())
        return {key: each for key, each in items if each is not False and each != []}
    return [without_defaults(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", VECTORS)
def test_published_bytes_decode_to_the_sample_with_nothing_unknown(name: str) -> None:
    expected = sample(name)
    decoded = type(expected).FromString(b64decode(VECTORS[name]["binary"]))
    known = type(expected)()
    known.CopyFrom(decoded)
    known.DiscardUnknownFields()

    assert decoded.DESCRIPTOR.full_name == VECTORS[name]["message"]
    assert decoded == expected
    assert encoded(known) == encoded(decoded)


@pytest.mark.parametrize("name", VECTORS)
def test_a_sample_encodes_to_the_published_bytes(name: str) -> None:
    assert encoded(sample(name)) == b64decode(VECTORS[name]["binary"])


def test_every_sample_without_a_placeholder_or_a_refused_value_has_published_bytes() -> None:
    expected = {name for name in SAMPLES if ".newer." not in name and name not in PLACEHOLDERS}
    assert expected - VECTORS.keys() == WITHOUT_BYTES, "add their bytes, or their names to WITHOUT_BYTES"
    assert VECTORS.keys() <= expected


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_survives_json(name: str) -> None:
    message = sample(name)
    value = MessageToDict(message)

    assert value == without_defaults(samples.value(name))
    assert ParseDict(value, type(message)()) == message


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_survives_binary(name: str) -> None:
    message = sample(name)

    assert type(message).FromString(message.SerializeToString()) == message


@pytest.mark.parametrize("name", SAMPLES)
def test_exactly_the_samples_with_an_unpublished_field_contain_a_placeholder(name: str) -> None:
    message = sample(name)

    assert contains_placeholder(message) == (name in PLACEHOLDERS and message.ByteSize() > 0)


def test_json_names_are_the_lower_camel_case_of_field_names() -> None:
    for method in METHODS.values():
        for descriptor in (method.request.DESCRIPTOR, method.response.DESCRIPTOR):
            assert all(field.json_name == lower_camel(field.name) for field in descriptor.fields)


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_every_method_has_samples_of_its_request_and_response(method: Any) -> None:
    service = method.service.rpartition(".")[2]
    for part in PARTS:
        assert f"{service}.{method.name}.{part}.json" in SAMPLES

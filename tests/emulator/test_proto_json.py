"""Messages in JSON: what Go's ProtoJSON parser accepts is accepted, with the same result, and nothing else is."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from cwinference import types
from cwinference.emulator.interfaces import RpcError
from cwinference.emulator.protocols.codecs import JSON
from tests.support.emulated_protocols import ROOT, ApiServer

from .json_spellings import digest, spellings

GOLDEN = Path(__file__).with_name("json_spellings.golden.json")
"""Written by `make protojson`."""
NOT_JSON = (b":1e}", b":1e,", b":1e+,", b"[1,1e]", b",1e]")
"""Numbers without the digits of their exponent: Go's parser accepts them, although they are not JSON."""
NOT_RFC_3339 = (b'"updatedAfter":"2026-01-31T12:00:00,5Z"',)
"""A comma before the fraction of a second, which Go's parser accepts too."""


def in_go_and_here() -> list[tuple[str, bytes, Any]]:
    golden = json.loads(GOLDEN.read_text("utf-8"))
    assert golden["spellings"] == digest(), "run `make protojson`"
    return [(kind, text, result) for (kind, text), result in zip(spellings(), golden["results"], strict=True)]


def decode(kind: str, text: bytes) -> Any:
    try:
        return JSON.decode(text, getattr(types, kind))
    except RpcError:
        return None


def has_enum_number_in_quotes(text: bytes) -> bool:
    """Return whether an enum has a number as a string: Go ignores it, Python and C++ read it."""
    return (b'"capacityType":"' in text or b"capacityClasses" in text) and b'"capacityType":"CAP' not in text


def test_every_spelling_has_the_result_that_it_has_in_go() -> None:
    wrong: list[tuple[bytes, Any, Any]] = []
    for kind, text, in_go in in_go_and_here():
        here = decode(kind, text)
        expected = None if in_go is None else ParseDict(in_go, getattr(types, kind)())
        if any(each in text for each in (*NOT_JSON, *NOT_RFC_3339)):
            expected = None
        if here != expected and not (here is not None and expected is not None and has_enum_number_in_quotes(text)):
            wrong.append((text, in_go, here))
    assert wrong == []


@pytest.mark.parametrize(
    ("kind", "text", "problem"),
    [
        ("CreateCapacityClaimRequest", '{"resources":[]}', "resources: expected an object, got a list"),
        ("CreateCapacityClaimRequest", '{"resources":"x"}', "resources: expected an object, got 'x'"),
        (
            "CreateCapacityClaimRequest",
            '{"resources":{"capacityType":true}}',
            "resources.capacity_type: expected the name of a CapacityType, or its number, got true",
        ),
        (
            "CreateDeploymentRequest",
            '{"autoscaling":{"capacityClasses":[1,1.5]}}',
            "autoscaling.capacity_classes[1]: expected the name of a CapacityClass, or its number, got 1.5",
        ),
        (
            "CreateCapacityClaimRequest",
            '{"resources":{"instanceCount":"1_0"}}',
            "resources.instance_count: expected an integer from 0 to 4294967295, got '1_0'",
        ),
        ("CreateCapacityClaimRequest", '{"name":"a","name":"b"}', "name: given more than once"),
        (
            "CreateDeploymentRequest",
            '{"runtime":{"engineConfig":{"max-model-len":4096}}}',
            'runtime.engine_config["max-model-len"]: expected a string, got 4096',
        ),
        (
            "CreateGatewayRequest",
            '{"coreWeaveAuth":{},"weightsAndBiasesAuth":{}}',
            "weights_and_biases_auth: core_weave_auth is given too, and only one may be",
        ),
        ("CreateGatewayRequest", '{"zones":NaN}', "the body is not JSON: NaN is not valid in JSON"),
    ],
)
def test_an_error_names_the_field_and_what_it_expects(kind: str, text: str, problem: str) -> None:
    with pytest.raises(RpcError) as caught:
        JSON.decode(text.encode(), getattr(types, kind))
    assert caught.value.message == problem


@pytest.mark.parametrize("number", ["3", "3.0", "30e-1", '"3"', '"3.0"', '"3e0"'])
def test_an_integer_can_have_any_notation(number: str) -> None:
    request = decode("CreateCapacityClaimRequest", b'{"resources":{"instanceCount":%s}}' % number.encode())
    assert request.resources.instance_count == 3


@pytest.mark.parametrize("number", ["3", '"3"', '"CAPACITY_TYPE_MANAGED"'])
def test_an_enum_value_can_be_a_name_or_a_number_also_in_quotes(number: str) -> None:
    request = decode("CreateCapacityClaimRequest", b'{"resources":{"capacityType":%s}}' % number.encode())
    assert request.resources.capacity_type == types.CapacityType.CAPACITY_TYPE_MANAGED


@pytest.mark.parametrize(
    ("verb", "path", "body", "kind"),
    [
        ("POST", f"{ROOT}/capacityclaims", b'{"resources":[]}', "application/json"),
        (
            "POST",
            "/coreweave.inference.v1alpha1.CapacityClaimService/CreateCapacityClaim",
            b'{"resources":[]}',
            "application/json",
        ),
        (
            "POST",
            "/coreweave.inference.v1alpha1.CapacityClaimService/CreateCapacityClaim",
            b'\0\0\0\0\x10{"resources":[]}',
            "application/grpc-web+json",
        ),
        ("GET", f"{ROOT}/hotLoads?maxPageSize=1_0", None, ""),
        ("GET", f"{ROOT}/hotLoads?maxPageSize=%D9%A3", None, ""),
    ],
)
def test_every_protocol_is_as_strict(server: ApiServer, verb: str, path: str, body: bytes | None, kind: str) -> None:
    response = server.http(verb, path, body, content_type=kind)
    assert b"expected an" in response.body
    assert server.api.calls == []

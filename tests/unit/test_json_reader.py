"""The tables that decode JSON return what protobuf's own json_format returns."""

import json
from typing import Any, TypeVar, cast

import pytest
from google.protobuf.json_format import MessageToDict, MessageToJson, Parse, ParseDict
from google.protobuf.json_format import ParseError as JsonError
from google.protobuf.message import Message
from google.rpc.context.attribute_context_pb2 import AttributeContext
from hypothesis import given, settings
from hypothesis import strategies as st

from cwinference import errors, types
from cwinference._wire.json_reader import _read_typed, parse
from cwinference._wire.methods import METHODS
from tests.support import samples
from tests.support.random_messages import messages_of

M = TypeVar("M", bound=Message)
RESPONSES = sorted({method.response for method in METHODS.values()}, key=lambda kind: kind.DESCRIPTOR.full_name)


def parse_value(value: object, kind: type[M], lost: list[str] | None = None) -> M:
    return parse(json.dumps(value).encode(), kind, lost)


@pytest.mark.parametrize("name", samples.names("response"))
def test_a_sample_is_decoded_as_json_format_decodes_it(name: str) -> None:
    body = json.dumps(samples.value(name)).encode()

    assert parse(body, samples.method_of(name).response) == samples.response(name)


@pytest.mark.parametrize("name", ["ListDeployments", "GetGateway", "ListCapacityClaims"])
def test_the_usual_json_is_read_in_the_fastest_way(name: str) -> None:
    method = samples.BY_NAME[name]
    body = MessageToJson(samples.response_to(method)).encode()

    assert _read_typed(method.response, cast(Any, method.response.DESCRIPTOR), body) == samples.response_to(method)


def test_what_the_fastest_way_does_not_know_is_left_to_the_others() -> None:
    for text in ('{"spec": {"organization_id": "o"}}', '{"spec": {"newField": 1}}', '{"status": {"status": 6.5}}'):
        assert _read_typed(types.Gateway, types.Gateway.DESCRIPTOR, text.encode()) is None


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_random_message_is_decoded_as_json_format_decodes_it(data: st.DataObject) -> None:
    message = data.draw(messages_of(data.draw(st.sampled_from(RESPONSES))))
    for form in (MessageToJson(message), MessageToJson(message, preserving_proto_field_name=True)):
        assert _bytes(parse(form.encode(), type(message))) == _bytes(Parse(form, type(message)()))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_json_of_the_wrong_shape_is_decoded_as_json_format_decodes_it_or_refused(data: st.DataObject) -> None:
    message = data.draw(messages_of(types.ListDeploymentsResponse))
    value = _with_a_wrong_value(MessageToDict(message), data)
    try:
        found = parse_value(value, types.ListDeploymentsResponse)
        expected = ParseDict(value, types.ListDeploymentsResponse(), ignore_unknown_fields=True)
    except (errors.ProtocolError, JsonError, TypeError):  # json_format raises TypeError for a null at the top
        return
    assert _bytes(found) == _bytes(expected)


def _with_a_wrong_value(value: Any, data: st.DataObject) -> Any:
    """Return the JSON with one value somewhere in it replaced by one of another type."""
    if isinstance(value, dict) and value and data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(value)))
        return {**value, key: _with_a_wrong_value(value[key], data)}
    if isinstance(value, list) and value and data.draw(st.booleans()):
        return [_with_a_wrong_value(value[0], data), *value[1:]]
    return data.draw(st.sampled_from([None, True, 1, 1.0, 1.5, "1", "x", "STATUS_READY", [], ["x"], {}, {"x": 1}]))


def test_unknown_fields_are_dropped_and_their_names_are_returned() -> None:
    lost: list[str] = []
    value = {
        "gateway": {"spec": {"name": "front", "newer": 1, "zones": ["A"]}, "status": {"status": "STATUS_DREAMING"}},
        "extra": {},
    }

    found = parse_value(value, types.GetGatewayResponse, lost)

    assert found.gateway.spec.name == "front"
    assert found.gateway.spec.zones == ["A"]
    assert found.gateway.status.status == 0
    assert sorted(lost) == ["extra", "gateway.spec.newer", "gateway.status.status=STATUS_DREAMING"]


def test_unknown_fields_inside_lists_are_dropped_and_their_names_are_returned_too() -> None:
    lost: list[str] = []
    value = {"items": [{"spec": {"name": "one"}}, {"spec": {"name": "two", "newer": True}}]}

    found = parse_value(value, types.ListGatewaysResponse, lost)

    assert [item.spec.name for item in found.items] == ["one", "two"]
    assert lost == ["items.spec.newer"]


def test_unknown_fields_are_also_found_in_messages_that_contain_well_known_types() -> None:
    lost: list[str] = []
    auth = {"claims": {"of": {"any": "kind"}}, "newer": 2}

    found = parse_value({"request": {"auth": auth, "newer": 1}}, AttributeContext, lost)

    assert MessageToDict(found.request.auth.claims) == auth["claims"]
    assert lost == ["request.auth.newer", "request.newer"]


@pytest.mark.parametrize("text", ["True", "False", "STATUS_TRUE", "STATUS_FALSE"])
def test_a_conditions_status_is_also_accepted_as_the_documentation_spells_it(text: str) -> None:
    found = parse_value({"status": text}, types.Condition)

    assert types.Condition.Status.Name(found.status) == f"STATUS_{text.removeprefix('STATUS_').upper()}"


@pytest.mark.parametrize(
    "time",
    ["2026-10-01T09:00:00Z", "2026-10-01T09:00:00.000000001Z", "2026-10-01T11:00:00.5+02:00", "0001-01-01T00:00:00Z"],
)
def test_times_are_exact_to_the_nanosecond(time: str) -> None:
    value = {"status": {"updatedAt": time}}

    assert parse_value(value, types.Gateway) == ParseDict(value, types.Gateway())


@pytest.mark.parametrize("time", ["2026-02-30T09:00:00Z", "2026-10-01T25:00:00Z", "2026-10-01", 5, "yesterday"])
def test_a_value_that_is_not_a_time_is_refused(time: object) -> None:
    with pytest.raises(errors.ProtocolError, match="not a Gateway"):
        parse_value({"status": {"updatedAt": time}}, types.Gateway)


@pytest.mark.parametrize("value", [{"spec": {"gatewayIds": "abc"}}, {"spec": []}, [], "x", 5, None, {"status": 1}])
def test_json_of_the_wrong_type_is_refused(value: object) -> None:
    with pytest.raises(errors.ProtocolError, match="not a Deployment"):
        parse_value(value, types.Deployment)


def test_an_error_does_not_quote_a_refused_response_at_length() -> None:
    with pytest.raises(errors.ProtocolError) as caught:
        parse_value({"spec": {"name": ["x" * 10_000]}}, types.Deployment)
    assert len(str(caught.value)) < 400


def _bytes(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)

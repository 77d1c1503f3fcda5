"""Whatever json_format reads, the tables that decode JSON read too, and as the same message."""

import json
from typing import Any

import pytest
from google.protobuf.json_format import Parse
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from cwinference import errors, types
from cwinference._wire.json_reader import parse
from cwinference._wire.methods import METHODS
from tests.support.json_spellings import spelled
from tests.support.random_messages import messages_of

RESPONSES = sorted({method.response for method in METHODS.values()}, key=lambda kind: kind.DESCRIPTOR.full_name)


def bytes_of(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_spelling_of_a_message_is_read_as_json_format_reads_it(data: st.DataObject) -> None:
    message = data.draw(messages_of(data.draw(st.sampled_from(RESPONSES))))
    text = json.dumps(spelled(message, data))
    expected = Parse(text, type(message)(), ignore_unknown_fields=True)

    lost: list[str] = []
    assert bytes_of(parse(text.encode(), type(message), lost)) == bytes_of(expected) == bytes_of(message)
    assert lost == []


@pytest.mark.parametrize("number", ["8", "8.0", "8e0", "80e-1", "+8", "008", 8, 8.0])
def test_a_whole_number_may_be_written_as_a_float_or_a_string(number: object) -> None:
    text = json.dumps({"spec": {"autoscaling": {"max": number}}}).encode()
    assert parse(text, types.Deployment).spec.autoscaling.max == 8


@pytest.mark.parametrize("number", ["8.5", 8.5, "", "x", "8 ", True, "1e400", 1e400, "nan", -1, "-1", 2**32, [], {}])
def test_what_is_no_whole_number_is_refused_as_by_json_format(number: object) -> None:
    text = json.dumps({"spec": {"autoscaling": {"max": number}}}).encode()
    with pytest.raises(errors.ProtocolError):
        parse(text, types.Deployment)
    with pytest.raises(Exception, match=r".*"):
        Parse(text, types.Deployment())


@pytest.mark.parametrize("value", [2, "2", 2.0, "CAPACITY_CLASS_ON_DEMAND"])
def test_an_enum_value_may_be_written_as_a_number_in_a_string(value: object) -> None:
    text = json.dumps({"spec": {"autoscaling": {"capacityClasses": [value]}}}).encode()
    lost: list[str] = []
    found: Any = parse(text, types.Deployment, lost).spec.autoscaling.capacity_classes
    assert list(found) == [types.DeploymentAutoscaling.CAPACITY_CLASS_ON_DEMAND]
    assert lost == []


@pytest.mark.parametrize("status", ["7", "77", 77, "2.0", "NEWER", "", True, 1.5])
def test_unknown_and_odd_enum_values_are_read_as_json_format_reads_them(status: object) -> None:
    text = json.dumps({"status": {"status": status}}).encode()
    assert parse(text, types.Gateway) == Parse(text, types.Gateway(), ignore_unknown_fields=True)


def test_unknown_names_in_a_list_are_dropped_and_named() -> None:
    text = json.dumps({"spec": {"autoscaling": {"capacityClasses": ["CAPACITY_CLASS_SPOT", "1"]}}}).encode()
    lost: list[str] = []
    found = parse(text, types.Deployment, lost)
    assert found == Parse(text, types.Deployment(), ignore_unknown_fields=True)
    assert list(found.spec.autoscaling.capacity_classes) == [1]
    assert lost == ["spec.autoscaling.capacity_classes=CAPACITY_CLASS_SPOT"]

"""The table of methods, and the rule of placeholder numbers."""

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given, settings
from hypothesis import strategies as st

from cwinference import types
from cwinference._wire.methods import FIRST_PLACEHOLDER, METHODS, HttpRule, Method, contains_placeholder
from tests.support import samples
from tests.support.random_messages import messages_of

KINDS = [kind for method in METHODS.values() for kind in (method.request, method.response)]

# Messages that may contain a placeholder at any depth: in a map, in a list, in a oneof, in themselves.
STRANGE = """
name: "strange.proto" package: "strange" syntax: "proto3"
message_type {
  name: "Inner"
  field { name: "plain" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "unpublished" number: 60001 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "last_published" number: 60000 type: TYPE_STRING label: LABEL_OPTIONAL }
}
message_type {
  name: "Outer"
  field { name: "one" number: 1 type: TYPE_MESSAGE type_name: "Inner" label: LABEL_OPTIONAL }
  field { name: "many" number: 2 type: TYPE_MESSAGE type_name: "Inner" label: LABEL_REPEATED }
  field { name: "mapped" number: 3 type: TYPE_MESSAGE type_name: "MappedEntry" label: LABEL_REPEATED }
  field { name: "words" number: 4 type: TYPE_MESSAGE type_name: "WordsEntry" label: LABEL_REPEATED }
  field { name: "chosen" number: 5 type: TYPE_MESSAGE type_name: "Inner" label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "deeper" number: 6 type: TYPE_MESSAGE type_name: "Outer" label: LABEL_OPTIONAL }
  field { name: "listed" number: 60001 type: TYPE_INT32 label: LABEL_REPEATED }
  oneof_decl { name: "choice" }
  nested_type {
    name: "MappedEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_MESSAGE type_name: "Inner" label: LABEL_OPTIONAL }
  }
  nested_type {
    name: "WordsEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
  }
}
"""


@pytest.fixture(scope="module")
def outer() -> Any:
    """Return the class `Outer`, whose constructor takes nested messages as dicts."""
    file = text_format.Parse(STRANGE, descriptor_pb2.FileDescriptorProto())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("strange.Outer"))


WITH_PLACEHOLDER: Any = {"unpublished": "x"}
PUBLISHED: Any = {"plain": "x", "last_published": "y"}


@pytest.mark.parametrize(
    "fields",
    [
        {"one": WITH_PLACEHOLDER},
        {"many": [PUBLISHED, WITH_PLACEHOLDER]},
        {"mapped": {"a": PUBLISHED, "b": WITH_PLACEHOLDER}},
        {"chosen": WITH_PLACEHOLDER},
        {"deeper": {"deeper": {"mapped": {"a": WITH_PLACEHOLDER}}}},
        {"listed": [0]},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_placeholder_is_found_wherever_it_is(outer: Any, fields: dict[str, Any]) -> None:
    assert contains_placeholder(outer(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"one": {}, "many": [{}, PUBLISHED], "chosen": PUBLISHED},
        {"mapped": {"60001": PUBLISHED, "unpublished": {}}, "words": {"60001": "60001"}},
        {"deeper": {"deeper": {"mapped": {"a": PUBLISHED}}}, "listed": []},
    ],
)
def test_nothing_else_is_mistaken_for_a_placeholder(outer: Any, fields: dict[str, Any]) -> None:
    assert not contains_placeholder(outer(**fields))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_message_contains_a_placeholder_exactly_if_stripping_placeholders_changes_it(data: st.DataObject) -> None:
    message = data.draw(st.sampled_from(KINDS).flatmap(messages_of))
    stripped = type(message)()
    stripped.CopyFrom(message)
    _strip(stripped)

    assert contains_placeholder(message) == (stripped != message)


def _strip(message: Message) -> None:
    for field, value in message.ListFields():
        if field.number >= FIRST_PLACEHOLDER:
            message.ClearField(field.name)
        elif field.message_type is not None:
            values = value.values() if field.message_type.GetOptions().map_entry else value
            for each in values if field.is_repeated else [value]:
                if isinstance(each, Message):
                    _strip(each)


def test_there_is_a_method_for_each_rpc_that_is_written_down() -> None:
    blocks = (samples.DIRECTORY / "wire.txt").read_text("utf-8").split("\n\n")
    services = [block.splitlines() for block in blocks if block.startswith("service ")]
    written = [f"{name.removeprefix('service ')}/{rpc.split()[0][:-1]}" for name, *rpcs in services for rpc in rpcs]
    assert sorted(method.path.rpartition(".")[2] for method in METHODS.values()) == sorted(written)


def test_a_method_is_found_by_its_request_type() -> None:
    assert METHODS[types.UpdateCapacityClaimRequest] == Method(
        name="UpdateCapacityClaim",
        service="coreweave.inference.v1alpha1.CapacityClaimService",
        path="/coreweave.inference.v1alpha1.CapacityClaimService/UpdateCapacityClaim",
        request=types.UpdateCapacityClaimRequest,
        response=types.UpdateCapacityClaimResponse,
        read_only=False,
        http=HttpRule("PATCH", "/v1alpha1/inference/capacityclaims/{id}", "*"),
    )


def test_exactly_the_reads_have_no_side_effects() -> None:
    for method in METHODS.values():
        assert method.read_only == method.name.startswith(("Get", "List")), method.name


def test_exactly_the_methods_of_hot_loads_are_json_only() -> None:
    for method in METHODS.values():
        assert method.json_only == method.service.endswith(".HotLoadService"), method.name


def test_these_requests_may_contain_a_placeholder() -> None:
    found = {method.name for method in METHODS.values() if method.may_contain_placeholder and not method.json_only}

    assert found == {"CreateGateway", "UpdateGateway", "CreateDeployment", "UpdateDeployment"}


def test_a_request_travels_as_json_if_it_contains_a_placeholder() -> None:
    ranges = types.EndpointConfiguration(allowed_source_ip_ranges=["203.0.113.0/24"])
    names = types.EndpointConfiguration(additional_dns=["llm.example.com"])
    method = METHODS[types.CreateGatewayRequest]

    assert method.travels_as_json(types.CreateGatewayRequest(endpoint_configuration=ranges))
    assert not method.travels_as_json(types.CreateGatewayRequest(endpoint_configuration=names))


def test_a_request_without_fields_of_a_json_only_method_travels_as_json() -> None:
    assert METHODS[types.ListHotLoadsRequest].travels_as_json(types.ListHotLoadsRequest())

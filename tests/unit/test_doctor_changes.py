"""What the wire self-check makes of the same message in binary and as JSON."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cwinference import types
from cwinference._wire.binary import FIXED32, FIXED64, LENGTH_DELIMITED, VARINT, fields_in, sized, tag
from cwinference._wire.json_reader import parse
from cwinference.doctor._changes import Drift, EnumDrift, FieldDrift, differences
from cwinference.doctor._fits import Fit, fit
from cwinference.doctor._pairs import BothSides, Side, known_part, walk
from cwinference.doctor._wire_findings import findings_of
from tests.support.random_messages import messages_of

GATEWAY: dict[str, Any] = {
    "spec": {"id": "1", "name": "front", "zones": ["US-EAST-04A", "US-WEST-04A"], "coreWeaveAuth": {}},
    "status": {"status": "STATUS_READY", "endpoints": ["https://front.example"], "createdAt": "2026-11-29T10:00:00Z"},
}


def changes(kind: type[Message], *messages: tuple[bytes, Mapping[str, Any]]) -> list[Drift]:
    """Return the differences between messages in binary and the same ones as JSON."""
    pairs: list[BothSides] = []
    for binary, raw in messages:
        text = json.dumps(raw).encode()
        pairs.append(BothSides(Side(kind.FromString(binary)), Side(parse(text, kind), json.loads(text))))
    return list(differences(inner for pair in pairs for inner in walk(pair)))


def field_of(binary: bytes, raw: Mapping[str, Any], kind: type[Message]) -> FieldDrift:
    """Return the one difference, which is in a field."""
    [found] = changes(kind, (binary, raw))
    assert isinstance(found, FieldDrift)
    return found


def encoded(kind: type[Message], raw: Mapping[str, Any]) -> bytes:
    return parse(json.dumps(raw).encode(), kind).SerializeToString()


def test_equal_messages_have_no_differences() -> None:
    assert changes(types.Gateway, (encoded(types.Gateway, GATEWAY), GATEWAY)) == []


def test_neither_the_order_of_lists_nor_default_values_in_json_are_differences() -> None:
    sent = types.Deployment(
        spec=types.DeploymentSpec(gateway_ids=["a", "b"]),
        status=types.DeploymentStatus(conditions=[types.Condition(type="Ready"), types.Condition(type="Applied")]),
    )
    raw = MessageToDict(sent, always_print_fields_with_no_presence=True)
    raw["spec"]["gatewayIds"].reverse()
    raw["status"]["conditions"].reverse()
    assert changes(types.Deployment, (sent.SerializeToString(), raw)) == []


def test_fields_with_placeholder_numbers_are_no_differences() -> None:
    raw = {"id": "1", "hotLoad": {"bucket": "b", "transitionMode": "TRANSITION_MODE_ASYNC"}}
    assert changes(types.DeploymentSpec, (encoded(types.DeploymentSpec, {"id": "1"}), raw)) == []


@pytest.mark.parametrize(
    ("binary", "value", "how"),
    [
        (b"\xa2\x06\x03abc", "abc", Fit.EXACT),
        (b"\xa0\x06\x01", True, Fit.EXACT),
        (b"\xa0\x06\x96\x01", "150", Fit.EXACT),
        (b"\xa0\x06\x05", -3, Fit.POSSIBLE),
        (b"\xa0\x06\x02", "MODE_FAST", Fit.POSSIBLE),
        (b"\xa1\x06\x00\x00\x00\x00\x00\x00\xf8\x3f", 1.5, Fit.EXACT),
        (b"\xa5\x06\xcd\xcc\xcc\x3d", 0.1, Fit.EXACT),
        (b"\xa2\x06\x01a\xa2\x06\x01b", ["a", "b"], Fit.EXACT),
        (b"\xa2\x06\x03\x01\x96\x01", [1, 150], Fit.EXACT),
        (b"\xa2\x06\x02\x01\x02", ["1", "2"], Fit.EXACT),
        (b"\xa2\x06\x02\x01\x02", ["MODE_A", "MODE_B"], Fit.POSSIBLE),
        (b"\xa2\x06\x01\x01\xa2\x06\x01\x02", ["MODE_A", "MODE_B"], Fit.POSSIBLE),
        (b"\xa2\x06\x05\x0a\x03abc", {"path": "abc"}, Fit.EXACT),
        (b"\xa2\x06\x02\x08\x05", {"seconds": 5}, Fit.POSSIBLE),
        (b"\xa2\x06\x02\x08\x05", "1970-01-01T00:00:05Z", Fit.EXACT),
        (b"\xa2\x06\x02\x08\x05", "5s", Fit.EXACT),
        (b"\xa2\x06\x02\x00\xff", "AP8=", Fit.EXACT),
    ],
)
def test_a_new_field_is_paired_with_the_key_of_json_that_fits(binary: bytes, value: Any, how: Fit) -> None:
    raw = {"endpoints": ["x"], "novel": value, "other": "something else"}
    found = changes(types.GatewayStatus, (types.GatewayStatus(endpoints=["x"]).SerializeToString() + binary, raw))
    paired, alone = sorted((each for each in found if isinstance(each, FieldDrift)), key=lambda each: -each.number)
    assert (paired.kind, paired.number, paired.json_names, paired.fit) == ("new", 100, ("novel",), how)
    assert (alone.kind, alone.number, alone.json_names) == ("new", 0, ("other",))


@pytest.mark.parametrize(
    ("wire_type", "value", "json_value"),
    [
        (VARINT, 5, "abc"),
        (VARINT, 5, 6),
        (VARINT, 5, {"a": 1}),
        (VARINT, 5, None),
        (LENGTH_DELIMITED, b"abc", "abd"),
        (LENGTH_DELIMITED, b"abc", 5),
        (LENGTH_DELIMITED, b"\xff\xff", {"a": "b"}),
        (LENGTH_DELIMITED, b"\x0a\x01x", {}),
        (LENGTH_DELIMITED, b"\x0a\x01x", {"a": "other"}),
        (LENGTH_DELIMITED, b"\x01\x02", [1, 3]),
        (LENGTH_DELIMITED, b"a", ["a", "b"]),
        (LENGTH_DELIMITED, b"\x08\x05", "1970-01-01T00:00:06Z"),
        (FIXED32, 1, 2),
        (FIXED64, 1, "x"),
    ],
)
def test_what_cannot_be_the_same_value_does_not_fit(wire_type: int, value: Any, json_value: Any) -> None:
    assert fit(wire_type, [value], json_value) is Fit.NOT


def test_a_key_that_does_not_come_and_go_with_the_field_does_not_fit() -> None:
    found = changes(
        types.GatewayStatus,
        (b"\xa0\x06\x05", {"first": 5, "second": 5}),
        (b"", {"second": 5}),
        (b"\xa0\x06\x05", {"first": 5}),
    )
    assert {(each.number, each.json_names) for each in found if isinstance(each, FieldDrift)} == {
        (100, ("first",)),
        (0, ("second",)),
    }


def test_keys_that_fit_equally_well_are_all_named_unless_one_of_them_is_taken() -> None:
    [both] = changes(types.GatewayStatus, (b"\xa0\x06\x05", {"first": 5, "second": 5}))
    assert isinstance(both, FieldDrift)
    assert both.json_names == ("first", "second")

    found = changes(
        types.GatewayStatus, (b"\xa0\x06\x05", {"first": 5, "second": 5}), (b"\xa0\x06\x05\xa8\x06\x05", {"first": 5})
    )
    assert {(each.number, each.json_names) for each in found if isinstance(each, FieldDrift)} == {
        (100, ("first",)),
        (101, ()),
        (0, ("second",)),
    }


@pytest.mark.parametrize(
    ("kind", "raw", "name", "number"),
    [
        (types.GatewayStatus, {"endpoints": ["https://a", "https://b"]}, "endpoints", 5),
        (types.GatewayStatus, {"updatedAt": "2026-11-29T10:00:00.5Z"}, "updated_at", 2),
        (types.DeploymentSpec, {"runtime": {"engine": "vllm", "engineConfig": {"a": "1"}}}, "runtime", 4),
        (types.DeploymentSpec, {"disabled": True}, "disabled", 10),
        (types.DeploymentAutoscaling, {"max": 300}, "max", 2),
        (types.DeploymentRuntime, {"engineConfig": {"a": "1", "b": "2"}}, "engine_config", 3),
        (types.ListGatewaysResponse, {"items": [GATEWAY, GATEWAY]}, "items", 1),
    ],
)
def test_a_field_whose_number_has_moved_is_found_at_its_new_one(
    kind: type[Message], raw: dict[str, Any], name: str, number: int
) -> None:
    found = field_of(renumbered(encoded(kind, raw), number, 100), raw, kind)
    assert (found.kind, found.field, found.known_number, found.number) == ("moved", name, number, 100)
    assert found.fit is Fit.EXACT


def test_a_message_that_has_moved_and_has_something_new_in_it_is_found() -> None:
    runtime = types.DeploymentRuntime(engine="vllm").SerializeToString() + b"\xa0\x06\x05"
    raw = {"runtime": {"engine": "vllm", "novel": 5}}
    found = field_of(tag(12, LENGTH_DELIMITED) + sized(runtime), raw, types.DeploymentSpec)
    assert (found.kind, found.field, found.number, found.fit) == ("moved", "runtime", 12, Fit.POSSIBLE)


def renumbered(binary: bytes, old: int, new: int) -> bytes:
    """Return a message in which a field has another number."""
    return b"".join(
        tag(new if number == old else number, wire_type) + value for number, wire_type, value in fields_in(binary)
    )


def test_numbers_that_two_fields_have_exchanged_are_found() -> None:
    binary = types.DeploymentModel(name="models", bucket="org/llama").SerializeToString()
    found = changes(types.DeploymentModel, (binary, {"name": "org/llama", "bucket": "models"}))
    assert [(each.kind, each.field, each.json_names) for each in found if isinstance(each, FieldDrift)] == [
        ("taken", "name", ("bucket",)),
        ("taken", "bucket", ("name",)),
    ]


def test_a_field_that_has_no_value_in_binary_differs() -> None:
    found = field_of(b"", {"endpoints": ["https://a"]}, types.GatewayStatus)
    assert (found.kind, found.field, found.known_number, found.number) == ("different", "endpoints", 5, 0)


def test_a_known_field_that_may_have_moved_is_an_error_even_if_a_new_key_fits_as_well() -> None:
    found = changes(types.CapacityClaimStatus, (b"\xa0\x06\x02", {"allocatedInstances": 2, "novel": 2}))
    assert [(each.kind, each.json_names) for each in found if isinstance(each, FieldDrift)] == [
        ("new", ("allocatedInstances", "novel")),
        ("different", ()),
    ]


@pytest.mark.parametrize(
    ("binary", "raw", "names"),
    [(b"\x28\x07", {"endpoints": ["https://a"]}, ()), (b"\x28\x07", {"novel": 7}, ("novel",))],
)
def test_a_number_that_comes_with_another_wire_type_is_found(binary: bytes, raw: Any, names: Any) -> None:
    first = changes(types.GatewayStatus, (binary, raw))[0]
    assert isinstance(first, FieldDrift)
    assert (first.kind, first.field, first.number, first.json_names) == ("retyped", "endpoints", 5, names)


def test_a_field_with_another_name_in_json_is_found() -> None:
    found = field_of(types.GatewayStatus(endpoints=["x"]).SerializeToString(), {"urls": ["x"]}, types.GatewayStatus)
    assert (found.kind, found.field, found.json_names) == ("renamed", "endpoints", ("urls",))


def test_the_real_number_of_a_placeholder_is_found() -> None:
    hot_load = b"\x0a\x06bucket\x12\x04path\x18\x01"
    raw = {"hotLoad": {"bucket": "bucket", "pathPrefix": "path", "transitionMode": "TRANSITION_MODE_ASYNC"}}
    found = field_of(b"\x5a" + bytes([len(hot_load)]) + hot_load, raw, types.DeploymentSpec)
    assert (found.kind, found.field, found.number) == ("published", "hot_load", 11)


@pytest.mark.parametrize(
    ("number", "name", "expected"),
    [
        (7, "STATUS_PAUSED", ("new", 7, "STATUS_PAUSED")),
        (7, "STATUS_READY", ("moved", 7, "STATUS_READY")),
        (6, "STATUS_SERVING", ("renamed", 6, "STATUS_SERVING")),
        (7, 7, ("new", 7, "")),
    ],
)
def test_values_of_enums_are_compared(number: Any, name: Any, expected: Any) -> None:
    [found] = changes(types.GatewayStatus, (types.GatewayStatus(status=number).SerializeToString(), {"status": name}))
    assert isinstance(found, EnumDrift)
    assert (found.kind, found.number, found.name) == expected
    assert found.enum.endswith(".Status")


def test_a_known_value_of_an_enum_that_differs_is_a_difference() -> None:
    found = field_of(
        types.GatewayStatus(status=types.Status.STATUS_FAILED).SerializeToString(),
        {"status": "STATUS_READY"},
        types.GatewayStatus,
    )
    assert (found.kind, found.field) == ("different", "status")


def test_the_status_of_a_condition_may_be_written_as_in_the_documentation() -> None:
    assert (
        changes(
            types.Condition,
            (types.Condition(status=types.Condition.STATUS_TRUE).SerializeToString(), {"status": "True"}),
        )
        == []
    )


@pytest.mark.parametrize("side", ["binary", "json"])
def test_one_encoding_alone_shows_what_is_new_in_it(side: str) -> None:
    unknown: Any = 7
    status = types.GatewayStatus(status=unknown, endpoints=["x"])
    binary = Side(types.GatewayStatus.FromString(status.SerializeToString() + b"\xa0\x06\x05"))
    raw = {"status": "STATUS_PAUSED", "endpoints": ["x"], "novel": 5}
    read = Side(parse(json.dumps(raw).encode(), types.GatewayStatus), raw)
    field, enum = differences([BothSides(binary, None) if side == "binary" else BothSides(None, read)])
    assert isinstance(field, FieldDrift)
    assert isinstance(enum, EnumDrift)
    assert (field.number, field.json_names) == ((100, ()) if side == "binary" else (0, ("novel",)))
    assert (enum.number, enum.name) == ((7, "") if side == "binary" else (None, "STATUS_PAUSED"))


def test_every_difference_has_a_level_and_advice() -> None:
    levels: dict[str, str] = {}
    cases: list[tuple[bytes, dict[str, Any]]] = [
        (b"\xa0\x06\x05", {"novel": 5}),
        (b"\xa0\x06\x05", {}),
        (b"", {"novel": 5}),
        (b"\xa2\x06\x01a", {"endpoints": ["a"]}),
        (b"", {"endpoints": ["a"]}),
        (b"\x28\x07", {}),
        (b"\x2a\x01a", {"novel": ["a"]}),
        (b"\x18\x07", {"status": "STATUS_PAUSED"}),
        (b"\x18\x07", {"status": "STATUS_READY"}),
        (b"\x18\x06", {"status": "STATUS_SERVING"}),
    ]
    for binary, raw in cases:
        found = changes(types.GatewayStatus, (binary, raw))
        for change in found:
            [finding] = findings_of([change], names=False)
            assert finding.advice
            assert finding.area == "wire"
            levels[f"{type(change).__name__} {change.kind}"] = finding.level
            json.dumps(finding.details)
    assert levels == {
        "FieldDrift new": "warning",
        "FieldDrift moved": "error",
        "FieldDrift different": "error",
        "FieldDrift retyped": "error",
        "FieldDrift renamed": "error",
        "EnumDrift new": "warning",
        "EnumDrift moved": "error",
        "EnumDrift renamed": "warning",
    }


def test_what_is_found_in_one_binary_transport_alone_is_said_so() -> None:
    side = Side(types.GatewayStatus.FromString(b"\xa0\x06\x05"))
    pairs = [BothSides(side, None, over=("grpc",)), BothSides(side, None, over=("grpc", "connect"))]
    [first] = findings_of(differences(pairs[:1]), names=False)
    [second] = findings_of(differences(pairs), names=False)
    assert first.text.endswith("(over grpc alone)")
    assert "alone" not in second.text


def test_names_of_resources_are_in_a_finding_only_if_asked_for() -> None:
    side = Side(types.GatewayStatus.FromString(b"\xa0\x06\x05"))
    pairs = [BothSides(side, None, owner=f"gateway g{number}") for number in range(5)]
    [plain] = findings_of(differences(pairs), names=False)
    [named] = findings_of(differences(pairs), names=True)
    assert "g0" not in f"{plain}"
    assert "(seen in gateway g0, gateway g1, gateway g2, 2 more)" in named.text


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_whatever_a_message_has_it_differs_in_nothing_from_its_own_json(data: st.DataObject) -> None:
    """Apart from numbers of enums that nobody knows, which random messages have too."""
    kinds = types.ListGatewaysResponse, types.ListDeploymentsResponse, types.GetDeploymentParametersResponse
    kind: type[Any] = data.draw(st.sampled_from(kinds))
    message = data.draw(messages_of(kind))
    found = changes(kind, (known_part(message).SerializeToString(), MessageToDict(message)))
    assert {type(each).__name__ + each.kind for each in found} <= {"EnumDriftnew"}


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_whatever_number_moves_it_is_found(data: st.DataObject) -> None:
    kinds = (
        types.GatewaySpec,
        types.GatewayStatus,
        types.DeploymentSpec,
        types.DeploymentRuntime,
        types.CapacityClaimStatus,
    )
    kind: type[Any] = data.draw(st.sampled_from(kinds))
    message = known_part(data.draw(messages_of(kind)))
    fields = [field for field, _ in message.ListFields()]
    assume(fields)
    moved = data.draw(st.sampled_from(fields))
    binary = renumbered(message.SerializeToString(), moved.number, 100)
    [found] = [each for each in changes(kind, (binary, MessageToDict(message))) if isinstance(each, FieldDrift)]
    assert (found.kind, found.field, found.number, found.fit) == ("moved", moved.name, 100, Fit.EXACT)

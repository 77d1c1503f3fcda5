"""Arguments whose values are certainly wrong are refused, in errors that begin with their names."""

from typing import Any

import pytest

from cwinference import errors, types
from cwinference._arguments import UNSET, at_most_one, check_id
from cwinference._calls.rpc import one
from cwinference.resources._parts import build


@pytest.mark.parametrize("value", ["", None, 5, b"id", ".", ".."])
def test_an_id_that_cannot_be_part_of_a_path_is_refused(value: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="^id(: | must not be empty$)"):
        check_id(value)


@pytest.mark.parametrize("value", ["x", "...", "not a uuid", "a/b", "ü"])
def test_the_format_of_an_id_is_left_to_the_server(value: str) -> None:
    assert check_id(value) == value


def test_two_members_of_a_oneof_are_refused_and_both_are_named() -> None:
    with pytest.raises(
        errors.ConfigurationError, match="^auth: one and three are mutually exclusive; give one of them$"
    ):
        at_most_one("auth", one=0, two=None, three="")


def test_one_member_or_none_is_accepted() -> None:
    at_most_one("auth", one=None, two=types.CoreWeaveAuth())
    at_most_one("auth", one=None, two=None)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (types.CreateGatewayRequest, "core_weave_auth", "yes"),
        (types.CreateGatewayRequest, "zones", "US-EAST-04A"),
        (types.CreateGatewayRequest, "zones", 5),
        (types.CreateGatewayRequest, "zones", [5]),
        (types.CreateGatewayRequest, "name", "\ud800"),
        (types.CreateDeploymentRequest, "runtime", types.DeploymentModel()),
        (types.CreateDeploymentRequest, "disabled", "no"),
        (types.CapacityClaimResources, "instance_count", -1),
        (types.CapacityClaimResources, "capacity_type", "NO_SUCH_TYPE"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_and_its_field_is_named(kind: Any, name: str, value: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match=f"^{name}: "):
        build(kind, **{"id": "x"} if "id" in kind.DESCRIPTOR.fields_by_name else {}, **{name: value})


def test_enum_names_and_dicts_are_accepted_where_protobuf_accepts_them() -> None:
    routing: Any = {"api_type": "API_TYPE_OPENAI"}
    request = build(types.CreateGatewayRequest, name="front", zones=iter(["A", "B"]), body_based_routing=routing)
    assert request.body_based_routing.api_type == types.BodyBasedRouting.API_TYPE_OPENAI
    assert request.zones == ["A", "B"]


def test_omitted_options_default_to_those_of_the_client() -> None:
    call = one(types.GetGatewayRequest(), "gateway", types.Gateway)
    assert call.timeout is UNSET
    assert call.retry is UNSET
    assert repr(UNSET) == "the client's default"


@pytest.mark.parametrize(
    ("request_", "as_json"),
    [
        (types.CreateDeploymentRequest(name="x"), False),
        (types.CreateDeploymentRequest(hot_load=types.DeploymentHotLoad(bucket="b")), True),
        (types.CreateDeploymentRequest(hot_load=types.DeploymentHotLoad()), True),
        (types.UpdateGatewayRequest(endpoint_configuration=types.EndpointConfiguration(additional_dns=["a"])), False),
        (
            types.UpdateGatewayRequest(
                endpoint_configuration=types.EndpointConfiguration(allowed_source_ip_ranges=["a"])
            ),
            True,
        ),
        (types.GetHotLoadRequest(id="x"), True),
        (types.ListHotLoadsRequest(), True),
        (types.GetGatewayRequest(id="x"), False),
    ],
)
def test_a_request_with_a_placeholder_number_travels_as_json(request_: Any, as_json: bool) -> None:
    assert one(request_, "", types.Gateway).as_json is as_json

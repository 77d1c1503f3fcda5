"""Parts of a request from mappings and plain values: what is set, and by which path what is wrong is reported."""

from enum import IntEnum
from types import MappingProxyType
from typing import Any

import pytest

from cwinference import errors, types
from cwinference.resources._parts import build, fill, materialized


class Size(IntEnum):
    LARGE = 8


class Index:
    def __index__(self) -> int:
        return 8


def deployment(**fields: Any) -> types.CreateDeploymentRequest:
    return build(types.CreateDeploymentRequest, **fields)


def gateway(**fields: Any) -> types.CreateGatewayRequest:
    return build(types.CreateGatewayRequest, **fields)


def test_a_mapping_says_the_same_as_a_message() -> None:
    runtime = {"engine": "vllm", "version": "0.22.0", "engine_config": {"max-model-len": "4096"}}
    assert deployment(runtime=runtime) == deployment(runtime=types.DeploymentRuntime(**runtime))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert deployment(runtime=MappingProxyType(runtime)) == deployment(runtime=runtime)


@pytest.mark.parametrize("value", [{}, types.CoreWeaveAuth()])
def test_an_empty_part_is_a_choice(value: Any) -> None:
    assert gateway(core_weave_auth=value).WhichOneof("auth") == "core_weave_auth"


@pytest.mark.parametrize("name", ["OPENAI", "API_TYPE_OPENAI", 1, types.BodyBasedRouting.API_TYPE_OPENAI])
def test_an_enum_value_goes_by_its_name_with_or_without_prefix_and_by_its_number(name: Any) -> None:
    assert gateway(body_based_routing={"api_type": name}).body_based_routing.api_type == 1


def test_a_newer_number_of_an_enum_is_left_to_the_server() -> None:
    assert deployment(autoscaling={"capacity_classes": [7, "RESERVED"]}).autoscaling.capacity_classes == [7, 1]


@pytest.mark.parametrize("number", [8, Size.LARGE, Index()])
def test_a_whole_number_of_any_type_is_accepted(number: Any) -> None:
    assert deployment(autoscaling={"max": number}).autoscaling.max == 8


def test_none_leaves_a_field_out() -> None:
    assert deployment(name=None, runtime=None, autoscaling={"min": 1, "max": None}) == deployment(
        autoscaling=types.DeploymentAutoscaling(min=1)
    )


WRONG: list[tuple[dict[str, Any], str]] = [
    (
        {"runtime": {"engine_config": {"max-model-len": 4096}}},
        "runtime.engine_config['max-model-len']: expected a string, got int",
    ),
    ({"runtime": {"engine_config": {"x": None}}}, "runtime.engine_config['x']: expected a string, got NoneType"),
    ({"runtime": {"engine_env": {"TOKEN": b"x"}}}, "runtime.engine_env['TOKEN']: expected a string, got bytes"),
    ({"runtime": {"engine_config": {5: "x"}}}, "runtime.engine_config: expected strings as keys, got 5"),
    ({"runtime": {"engine_config": [("a", "b")]}}, "runtime.engine_config: expected a mapping, got list"),
    ({"runtime": {"enigne": "vllm"}}, "runtime.enigne: there is no such field; did you mean 'engine'?"),
    ({"runtime": {"engineConfig": {}}}, "runtime.engineConfig: there is no such field; did you mean 'engine_config'?"),
    ({"runtime": {"zzz": 1}}, "runtime.zzz: there is no such field; use engine, version, engine_config, engine_env"),
    ({"runtime": {3: "vllm"}}, "runtime: expected names of fields as keys, got 3"),
    ({"runtime": "vllm"}, "runtime: expected a types.DeploymentRuntime or a mapping, got str"),
    ({"runtime": [("engine", "vllm")]}, "runtime: expected a types.DeploymentRuntime or a mapping, got list"),
    ({"runtime": types.DeploymentModel()}, "runtime: expected a types.DeploymentRuntime, got DeploymentModel"),
    ({"runtime": types.DeploymentRuntime}, "runtime: expected a types.DeploymentRuntime or a mapping, got "),
    ({"model": {"name": 5}}, "model.name: expected a string, got int"),
    ({"model": {"name": "\ud800"}}, "model.name: expected text, got a string with half of a surrogate pair"),
    ({"autoscaling": {"max": 8.0}}, "autoscaling.max: expected a whole number, got 8.0"),
    ({"autoscaling": {"max": "8"}}, "autoscaling.max: expected a whole number, got str"),
    ({"autoscaling": {"max": True}}, "autoscaling.max: expected a whole number, got True"),
    ({"autoscaling": {"max": -1}}, "autoscaling.max: expected a whole number from 0 to 4294967295, got -1"),
    ({"autoscaling": {"max": 2**32}}, "autoscaling.max: expected a whole number from 0 to 4294967295, got 4294967296"),
    ({"autoscaling": {"max": 10**5000}}, "autoscaling.max: expected a whole number from 0 to 4294967295, got an int"),
    (
        {"autoscaling": {"capacity_classes": ["RESERVED", "SPOT"]}},
        "autoscaling.capacity_classes: there is no 'SPOT'; use one of CAPACITY_CLASS_UNSPECIFIED, "
        "CAPACITY_CLASS_RESERVED, CAPACITY_CLASS_ON_DEMAND (item 1)",
    ),
    ({"autoscaling": {"capacity_classes": "RESERVED"}}, "autoscaling.capacity_classes: expected a list of "),
    ({"autoscaling": {"capacity_classes": [True]}}, "autoscaling.capacity_classes: expected one of CAPACITY_CLASS_UN"),
    ({"autoscaling": {"capacity_classes": [2**31]}}, "autoscaling.capacity_classes: expected a whole number from -214"),
    ({"hot_load": {"transition_mode": 1.5}}, "hot_load.transition_mode: expected one of TRANSITION_MODE_UNSPECIFIED, "),
    ({"gateway_ids": [1]}, "gateway_ids: expected a string, got int (item 0)"),
    ({"gateway_ids": {"a": 1}}, "gateway_ids: expected a list, got dict"),
    ({"gateway_ids": b"id"}, "gateway_ids: expected a list, got bytes"),
    ({"gateway_ids": 5}, "gateway_ids: expected a list, got int"),
    ({"disabled": 0}, "disabled: expected True or False, got 0"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "problem"), WRONG, ids=[problem[:60] for _, problem in WRONG])
def test_what_is_wrong_is_reported_by_its_path(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        deployment(**fields)
    assert str(caught.value).startswith(problem)


def test_a_wrong_key_is_reported_before_anything_that_is_wrong_with_a_value() -> None:
    with pytest.raises(errors.ConfigurationError, match=r"^autoscaling\.mix: "):
        deployment(autoscaling={"max": "8", "mix": 1})


def test_a_secret_of_the_wrong_type_is_not_shown() -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        gateway(weights_and_biases_auth={"api_key": b"the-secret"})
    assert "the-secret" not in str(caught.value)


def test_two_members_of_a_oneof_exclude_each_other_in_a_mapping_too() -> None:
    with pytest.raises(errors.ConfigurationError, match=r"^spec\.auth: core_weave_auth and weights_and_biases_auth"):
        fill(types.GatewaySpec(), {"core_weave_auth": {}, "weights_and_biases_auth": {}}, "spec")


def test_a_mapping_changes_just_its_keys() -> None:
    request = deployment(runtime={"engine": "vllm", "engine_config": {"a": "1", "b": "2"}}, traffic={"weight": 5})
    fill(request, {"runtime": {"version": "1", "engine_config": {"b": "3"}}, "traffic": {"weight": 0}})
    assert request.runtime == types.DeploymentRuntime(engine="vllm", version="1", engine_config={"a": "1", "b": "3"})
    assert request.HasField("traffic")
    assert request.traffic.weight == 0


def test_empty_values_empty_a_field() -> None:
    request = deployment(
        runtime={"engine": "vllm", "version": "1", "engine_config": {"a": "1"}},
        autoscaling={"capacity_classes": ["RESERVED"], "max": 2},
    )
    fill(request, {"runtime": {"version": "", "engine_config": {}}, "autoscaling": {"capacity_classes": []}})
    assert request.runtime == types.DeploymentRuntime(engine="vllm")
    assert request.autoscaling == types.DeploymentAutoscaling(max=2)


def test_a_field_can_be_set_to_its_own_value() -> None:
    request = deployment(gateway_ids=["a", "b"], runtime={"engine_config": {"a": "1"}})
    fill(request, {"gateway_ids": request.gateway_ids, "runtime": request.runtime})
    fill(request, {"runtime": {"engine_config": request.runtime.engine_config}})
    assert request == deployment(gateway_ids=["a", "b"], runtime={"engine_config": {"a": "1"}})


def test_iterators_are_read_once() -> None:
    found = materialized({"zones": iter(["A"]), "more": {"items": (each for each in "xy")}, "text": "A", "list": ["B"]})
    assert found == {"zones": ["A"], "more": {"items": ["x", "y"]}, "text": "A", "list": ["B"]}

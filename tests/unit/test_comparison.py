"""What counts as a difference between a spec and given fields."""

from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor

from cwinference import types
from cwinference.resources._comparison import Difference, desired, differences, fingerprint, names_placeholder

CLASSES = [
    types.DeploymentAutoscaling.CAPACITY_CLASS_RESERVED,
    types.DeploymentAutoscaling.CAPACITY_CLASS_ON_DEMAND,
]
MANAGED = types.CapacityType.CAPACITY_TYPE_MANAGED
GATEWAY = types.GatewaySpec(
    name="front",
    zones=["US-EAST-04A", "US-WEST-01A"],
    core_weave_auth=types.CoreWeaveAuth(),
    body_based_routing=types.BodyBasedRouting(api_type=types.BodyBasedRouting.API_TYPE_OPENAI),
    endpoint_configuration=types.EndpointConfiguration(
        additional_dns=["a.example", "b.example"], allowed_source_ip_ranges=["10.0.0.0/8", "192.0.2.7/32"]
    ),
)
DEPLOYMENT = types.DeploymentSpec(
    name="llama",
    gateway_ids=["00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"],
    runtime=types.DeploymentRuntime(engine="vllm", version="0.22.0", engine_config={"a": "1", "b": "2"}),
    autoscaling=types.DeploymentAutoscaling(min=1, max=4, priority=5, capacity_classes=CLASSES),
    traffic=types.DeploymentTraffic(weight=50),
)
CLAIM = types.CapacityClaimSpec(
    name="claim",
    resources=types.CapacityClaimResources(
        instance_id="gb200-4x", instance_count=2, capacity_type=MANAGED, zones=["US-EAST-04A", "RNO2A"]
    ),
)


def different(spec: Any, **given: Any) -> list[str]:
    return [str(each) for each in differences(spec, desired(spec, given))]


@pytest.mark.parametrize(
    ("spec", "given"),
    [
        (GATEWAY, {"zones": ["US-WEST-01A", "US-EAST-04A"]}),
        (GATEWAY, {"zones": ["us-west-01a", "us-east-04a"]}),
        (GATEWAY, {"core_weave_auth": {}, "body_based_routing": {"api_type": "OPENAI"}}),
        (GATEWAY, {"endpoint_configuration": {"additional_dns": ["B.example.", "a.example"]}}),
        (GATEWAY, {"endpoint_configuration": {"additional_dns": ["a.example"]}}),
        (GATEWAY, {"endpoint_configuration": {"allowed_source_ip_ranges": ["192.0.2.7", "10.0.0.0/8"]}}),
        (GATEWAY, {"endpoint_configuration": types.EndpointConfiguration(additional_dns=["a.example", "b.example"])}),
        (DEPLOYMENT, {"gateway_ids": [*DEPLOYMENT.gateway_ids][::-1]}),
        (DEPLOYMENT, {"gateway_ids": [each.upper() for each in DEPLOYMENT.gateway_ids]}),
        (DEPLOYMENT, {"runtime": {"engine_config": {"b": "2"}}}),
        (DEPLOYMENT, {"runtime": types.DeploymentRuntime(engine_config={"b": "2", "a": "1"})}),
        (DEPLOYMENT, {"autoscaling": types.DeploymentAutoscaling(min=1, max=4)}),
        (DEPLOYMENT, {"autoscaling": {"capacity_classes": ["RESERVED", "ON_DEMAND"]}}),
        (DEPLOYMENT, {"disabled": False, "traffic": {}, "model": {}}),
        (CLAIM, {"resources": {"capacity_type": "MANAGED", "zones": ("US-EAST-04A", "RNO2A")}}),
        (types.GatewaySpec(), {"endpoint_configuration": {}}),
    ],
)
def test_what_the_api_takes_for_the_same_is_no_difference(spec: Any, given: dict[str, Any]) -> None:
    assert different(spec, **given) == []


@pytest.mark.parametrize(
    ("spec", "given", "expected"),
    [
        (GATEWAY, {"zones": []}, ["zones: ['US-EAST-04A', 'US-WEST-01A'] -> []"]),
        (
            GATEWAY,
            {"endpoint_configuration": {"additional_dns": ["c.example"]}},
            ["endpoint_configuration.additional_dns: ['a.example', 'b.example'] -> ['c.example']"],
        ),
        (
            GATEWAY,
            {"path_based_routing": {}},
            ["body_based_routing: {api_type: API_TYPE_OPENAI} -> nothing", "path_based_routing: nothing -> {}"],
        ),
        (DEPLOYMENT, {"traffic": {"weight": 0}}, ["traffic.weight: 50 -> 0"]),
        (DEPLOYMENT, {"traffic": types.DeploymentTraffic()}, ["traffic.weight: 50 -> 0"]),
        (
            DEPLOYMENT,
            {"autoscaling": {"max": 8, "priority": 0}},
            ["autoscaling.max: 4 -> 8", "autoscaling.priority: 5 -> 0"],
        ),
        (
            DEPLOYMENT,
            {"autoscaling": {"capacity_classes": ["ON_DEMAND", "RESERVED"]}},
            [
                "autoscaling.capacity_classes: ['CAPACITY_CLASS_RESERVED', 'CAPACITY_CLASS_ON_DEMAND'] -> "
                "['CAPACITY_CLASS_ON_DEMAND', 'CAPACITY_CLASS_RESERVED']"
            ],
        ),
        (DEPLOYMENT, {"runtime": {"engine_config": {"a": "3"}}}, ["runtime.engine_config['a']: '1' -> '3'"]),
        (
            DEPLOYMENT,
            {"runtime": types.DeploymentRuntime(engine_config={"a": "1"})},
            ["runtime.engine_config['b']: '2' -> nothing"],
        ),
        (DEPLOYMENT, {"runtime": {"engine_env": {"HF_TOKEN": "secret"}}}, ["runtime.engine_env['HF_TOKEN'] changed"]),
        (DEPLOYMENT, {"hot_load": {"bucket": "b"}}, ["hot_load.bucket: '' -> 'b'"]),
        (
            CLAIM,
            {"resources": {"zones": ["RNO2A", "US-EAST-04A"]}},
            ["resources.zones: ['US-EAST-04A', 'RNO2A'] -> ['RNO2A', 'US-EAST-04A']"],
        ),
    ],
)  # fmt: skip
def test_what_the_api_takes_for_something_else_is_a_difference(
    spec: Any, given: dict[str, Any], expected: list[str]
) -> None:
    assert different(spec, **given) == expected


def test_a_key_that_no_read_returns_is_no_difference() -> None:
    spec = types.GatewaySpec(weights_and_biases_auth=types.WeightsAndBiasesAuth(enable_rate_limiting=True))
    given = {"api_key": "secret", "server_url": "https://wandb.example", "enable_rate_limiting": True}
    assert different(spec, weights_and_biases_auth=given) == [
        "weights_and_biases_auth.server_url: '' -> 'https://wandb.example'"
    ]


def test_a_secret_is_in_no_text_of_a_difference() -> None:
    given = {"server_url": "https://wandb", "api_key": "SECRET"}
    chosen = different(types.GatewaySpec(core_weave_auth=types.CoreWeaveAuth()), weights_and_biases_auth=given)
    assert chosen == [
        "core_weave_auth: {} -> nothing",
        'weights_and_biases_auth: nothing -> {server_url: "https://wandb"}',
    ]


def test_enums_are_named_and_unknown_ones_numbered() -> None:
    unknown: Any = 9
    old, new = (
        types.CapacityClaimSpec(resources=types.CapacityClaimResources(capacity_type=each))
        for each in (unknown, MANAGED)
    )
    assert [*differences(old, new)] == [Difference("resources.capacity_type", 9, "CAPACITY_TYPE_MANAGED")]
    assert next(differences(old, new)).field == "resources"


def test_later_layers_win() -> None:
    spec = desired(DEPLOYMENT, {"autoscaling": {"max": 8, "min": 2}}, {"autoscaling": {"max": 16}})
    assert (spec.autoscaling.min, spec.autoscaling.max, spec.autoscaling.priority) == (2, 16, 5)
    assert DEPLOYMENT.autoscaling.max == 4


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"hot_load": {"bucket": "b"}}, True),
        ({"hot_load": types.DeploymentHotLoad()}, True),
        ({"hot_load": None, "traffic": {"weight": 1}}, False),
        ({"runtime": {"engine_config": {"a": "b"}}}, False),
    ],
)
def test_only_json_shows_fields_with_placeholder_numbers(given: dict[str, Any], expected: bool) -> None:
    kind: Descriptor = types.CreateDeploymentRequest.DESCRIPTOR
    assert names_placeholder(kind, given) is expected


@pytest.mark.parametrize(
    "given",
    [{"allowed_source_ip_ranges": []}, types.EndpointConfiguration(allowed_source_ip_ranges=["10.0.0.0/8"])],
)
def test_a_placeholder_inside_a_part_counts_even_if_it_is_to_be_empty(given: Any) -> None:
    assert names_placeholder(types.CreateGatewayRequest.DESCRIPTOR, {"endpoint_configuration": given})


def test_specs_that_do_not_differ_have_the_same_fingerprint() -> None:
    for spec, given in (
        (GATEWAY, {"zones": ["us-west-01a", "US-EAST-04A"]}),
        (GATEWAY, {"endpoint_configuration": {"additional_dns": ["B.example.", "a.example"]}}),
        (GATEWAY, {"endpoint_configuration": {"allowed_source_ip_ranges": ["192.0.2.7", "10.0.0.0/8"]}}),
        (DEPLOYMENT, {"gateway_ids": [each.upper() for each in [*DEPLOYMENT.gateway_ids][::-1]]}),
        (DEPLOYMENT, {"model": {}, "disabled": False}),
    ):
        assert fingerprint(desired(spec, given)) == fingerprint(spec), given
    secret = types.GatewaySpec(weights_and_biases_auth=types.WeightsAndBiasesAuth(api_key="hunter2"))
    assert fingerprint(secret) == fingerprint(types.GatewaySpec(weights_and_biases_auth=types.WeightsAndBiasesAuth()))


def test_specs_that_differ_have_different_fingerprints() -> None:
    changes: list[tuple[Any, dict[str, Any]]] = [
        (GATEWAY, {"name": "other"}),
        (GATEWAY, {"zones": ["US-EAST-04A"]}),
        (GATEWAY, {"endpoint_configuration": {"additional_dns": ["a.example"]}}),
        (DEPLOYMENT, {"autoscaling": {"capacity_classes": ["ON_DEMAND", "RESERVED"]}}),
        (DEPLOYMENT, {"runtime": {"engine_config": {"c": ""}}}),
        (DEPLOYMENT, {"disabled": True}),
        (CLAIM, {"resources": {"zones": ["RNO2A", "US-EAST-04A"]}}),
    ]
    for spec, given in changes:
        assert fingerprint(desired(spec, given)) != fingerprint(spec), given
    assert fingerprint(CLAIM, ["spec.newer"]) != fingerprint(CLAIM)
    core_weave = types.GatewaySpec(core_weave_auth=types.CoreWeaveAuth())
    assert fingerprint(core_weave) != fingerprint(types.GatewaySpec())

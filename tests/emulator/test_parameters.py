"""Parameters: the built-in ones, files that replace them, and what the parameters methods return."""

import re
from pathlib import Path

import pytest

from cwinference import errors, types
from cwinference.emulator.behavior import Behavior
from cwinference.emulator.parameters import Parameters
from tests.support.emulated_api import GATEWAY_ID, STRANGER, InProcessApi, request

ZONE = re.compile(r"[A-Z]{2}-[A-Z]+-[0-9]+[A-Z]+|RNO2A")
CUSTOM = """
[zones]
US-EAST-01A = ["small", "large"]
US-WEST-01A = ["huge"]

[engines.vllm]
versions = ["0.10.0", "0.9.0", "0.9.0+x"]
config = ["b", "a"]
env = []
"""


@pytest.fixture
def api() -> InProcessApi:
    return InProcessApi(ready_after=0)


def test_the_built_in_zones_have_valid_names(api: InProcessApi) -> None:
    zones = api(types.GetGatewayParametersRequest()).zones
    assert len(zones) > 2
    assert all(map(ZONE.fullmatch, zones))


def test_the_parameters_suit_the_official_acceptance_tests(api: InProcessApi) -> None:
    api.sample("CreateGateway")
    deployments = api(types.GetDeploymentParametersRequest())
    claims = api(types.GetCapacityClaimParametersRequest()).zone_instance_types
    assert set(claims["US-EAST-04A"].instance_ids) == set(deployments.resource_parameters.instance_types)
    runtime = deployments.runtime_parameters
    assert set(runtime.runtime_versions) == {"vllm", "dynamo-vllm"}
    for engine in runtime.runtime_versions:
        assert any(re.fullmatch(r"\d+\.\d+\.\d+", each) for each in runtime.runtime_versions[engine].versions)
        assert "max-model-len" in runtime.runtime_config_options[engine].allowed_keys
        assert "VLLM_USE_FLASHINFER_MOE_FP4" in runtime.engine_env_options[engine].allowed_names


def test_the_current_rules_add_an_engine() -> None:
    api = InProcessApi(behavior=Behavior(rules="current"))
    runtime = api(types.GetDeploymentParametersRequest()).runtime_parameters
    assert set(runtime.runtime_versions) == {"vllm", "dynamo-vllm", "dynamo-sglang"}


def test_instance_types_are_those_of_the_zones_of_the_gateways(api: InProcessApi) -> None:
    get_all = types.GetDeploymentParametersRequest()
    assert not api(get_all).resource_parameters.instance_types
    assert not api(get_all).gateway_ids
    assert api(get_all).runtime_parameters.runtime_versions
    api.sample("CreateGateway")
    west = request("CreateGateway")
    west.id, west.name, west.zones[:] = "", "west", ["US-WEST-04A"]
    west_id = api(west).spec.id
    both = api(get_all)
    assert both.gateway_ids == [GATEWAY_ID, west_id]
    assert both.resource_parameters.instance_types == ["gb200-4x", "gd-8xh100ib-i128", "gd-8xh200ib-i128"]
    one = api(types.GetDeploymentParametersRequest(gateway_ids=[west_id]))
    assert one.gateway_ids == [GATEWAY_ID, west_id]
    assert one.resource_parameters.instance_types == ["gb200-4x", "gd-8xh100ib-i128"]
    assert not api(get_all, STRANGER).gateway_ids


def test_a_gateway_without_zones_is_in_all_zones(api: InProcessApi) -> None:
    sent = request("CreateGateway")
    del sent.zones[:]
    api(sent)
    zones = api(types.GetGatewayParametersRequest()).zones
    assert [each.zone for each in api.gateway().status.conditions] == zones
    assert "b200-8x" in api(types.GetDeploymentParametersRequest()).resource_parameters.instance_types


def test_a_file_replaces_the_built_in_parameters(tmp_path: Path) -> None:
    path = tmp_path / "custom.toml"
    path.write_text(CUSTOM)
    api = InProcessApi(parameters=Parameters.load(path))
    assert api(types.GetGatewayParametersRequest()).zones == ["US-EAST-01A", "US-WEST-01A"]
    claims = api(types.GetCapacityClaimParametersRequest()).zone_instance_types
    assert claims["US-EAST-01A"].instance_ids == ["large", "small"]
    runtime = api(types.GetDeploymentParametersRequest()).runtime_parameters
    assert runtime.runtime_versions["vllm"].versions == ["0.9.0", "0.9.0+x", "0.10.0"]
    assert runtime.runtime_config_options["vllm"].allowed_keys == ["a", "b"]


def test_a_file_may_replace_only_the_zones_or_only_the_engines() -> None:
    only_zones = InProcessApi(parameters=Parameters.from_table({"zones": {"RNO2A": ["gb200-4x"]}}))
    assert only_zones(types.GetGatewayParametersRequest()).zones == ["RNO2A"]
    assert "vllm" in only_zones(types.GetDeploymentParametersRequest()).runtime_parameters.runtime_versions
    only_engines = InProcessApi(parameters=Parameters.from_table({"engines": {"vllm": {"versions": ["0.9.0"]}}}))
    assert "US-EAST-04A" in only_engines(types.GetGatewayParametersRequest()).zones
    runtime = only_engines(types.GetDeploymentParametersRequest()).runtime_parameters
    assert list(runtime.runtime_versions) == ["vllm"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zones = [", "Invalid"),
        ("zones = 3", "zones: expected a table"),
        ("[zones]", "zones must not be empty"),
        ("[zones]\nA = 'x'", "zones.A: expected a list of strings"),
        ("[zones]\nA = [1]", "zones.A: expected a list of strings"),
        ("[zones]\nus-east-04a = []", "zones: expected names of zones such as US-EAST-04A, got 'us-east-04a'"),
        ("[engines]\nvllm = 1", "engines.vllm: expected a table"),
        ("[engines.vllm]\nversion = []", "engines.vllm: unknown key 'version'; known keys are"),
        (
            "[engines.vllm]\nversions = ['v1']",
            "engines.vllm.versions: expected semantic versions such as 0.22.0, got 'v1'",
        ),
        ("[colors]", "unknown key 'colors'; known keys are engines, zones"),
    ],
)
def test_an_invalid_file_is_reported_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "custom.toml"
    path.write_text(text)
    with pytest.raises(errors.ConfigurationError) as caught:
        Parameters.load(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigurationError, match="No such file"):
        Parameters.load(tmp_path / "missing.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(errors.ConfigurationError, match=r"binary\.toml"):
        Parameters.load(binary)

"""What resources may be made of: the built-in parameters, and files that replace them."""

import re
from pathlib import Path

import pytest

from cwinference import errors, types
from cwinference.emulator.behavior import Behavior
from cwinference.emulator.parameters import Parameters
from tests.support.emulated_api import GATEWAY_ID, STRANGER, Emulated, request

ZONE = re.compile(r"[A-Z]{2}-[A-Z]+-[0-9]+[A-Z]+|RNO2A")
OWN = """
[zones]
US-EAST-01A = ["small", "large"]
US-WEST-01A = ["huge"]

[engines.vllm]
versions = ["0.10.0", "0.9.0", "0.9.0+x"]
config = ["b", "a"]
env = []
"""


@pytest.fixture
def emulated() -> Emulated:
    return Emulated(ready_after=0)


def test_there_are_several_zones_with_names_that_the_rules_accept(emulated: Emulated) -> None:
    zones = emulated(types.GetGatewayParametersRequest()).zones
    assert len(zones) > 2
    assert all(map(ZONE.fullmatch, zones))


def test_the_parameters_suit_the_official_acceptance_tests(emulated: Emulated) -> None:
    emulated.sample("CreateGateway")
    deployments = emulated(types.GetDeploymentParametersRequest())
    claims = emulated(types.GetCapacityClaimParametersRequest()).zone_instance_types
    assert set(claims["US-EAST-04A"].instance_ids) == set(deployments.resource_parameters.instance_types)
    runtime = deployments.runtime_parameters
    assert set(runtime.runtime_versions) == {"vllm", "dynamo-vllm"}
    for engine in runtime.runtime_versions:
        assert any(re.fullmatch(r"\d+\.\d+\.\d+", each) for each in runtime.runtime_versions[engine].versions)
        assert "max-model-len" in runtime.runtime_config_options[engine].allowed_keys
        assert "VLLM_USE_FLASHINFER_MOE_FP4" in runtime.engine_env_options[engine].allowed_names


def test_the_current_rules_bring_another_engine() -> None:
    emulated = Emulated(behaviour=Behavior(rules="current"))
    runtime = emulated(types.GetDeploymentParametersRequest()).runtime_parameters
    assert set(runtime.runtime_versions) == {"vllm", "dynamo-vllm", "dynamo-sglang"}


def test_instance_types_are_those_of_the_zones_of_the_gateways(emulated: Emulated) -> None:
    ask = types.GetDeploymentParametersRequest()
    assert not emulated(ask).resource_parameters.instance_types
    assert not emulated(ask).gateway_ids
    assert emulated(ask).runtime_parameters.runtime_versions
    emulated.sample("CreateGateway")
    west = request("CreateGateway")
    west.id, west.name, west.zones[:] = "", "west", ["US-WEST-04A"]
    west_id = emulated(west).spec.id
    both = emulated(ask)
    assert both.gateway_ids == [GATEWAY_ID, west_id]
    assert both.resource_parameters.instance_types == ["gb200-4x", "gd-8xh100ib-i128", "gd-8xh200ib-i128"]
    one = emulated(types.GetDeploymentParametersRequest(gateway_ids=[west_id]))
    assert one.gateway_ids == [GATEWAY_ID, west_id]
    assert one.resource_parameters.instance_types == ["gb200-4x", "gd-8xh100ib-i128"]
    assert not emulated(ask, STRANGER).gateway_ids


def test_a_gateway_without_zones_may_use_them_all(emulated: Emulated) -> None:
    sent = request("CreateGateway")
    del sent.zones[:]
    emulated(sent)
    zones = emulated(types.GetGatewayParametersRequest()).zones
    assert [each.zone for each in emulated.gateway().status.conditions] == zones
    assert "b200-8x" in emulated(types.GetDeploymentParametersRequest()).resource_parameters.instance_types


def test_a_file_replaces_them(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    emulated = Emulated(parameters=Parameters.load(path))
    assert emulated(types.GetGatewayParametersRequest()).zones == ["US-EAST-01A", "US-WEST-01A"]
    claims = emulated(types.GetCapacityClaimParametersRequest()).zone_instance_types
    assert claims["US-EAST-01A"].instance_ids == ["large", "small"]
    runtime = emulated(types.GetDeploymentParametersRequest()).runtime_parameters
    assert runtime.runtime_versions["vllm"].versions == ["0.9.0", "0.9.0+x", "0.10.0"]
    assert runtime.runtime_config_options["vllm"].allowed_keys == ["a", "b"]


def test_what_a_file_leaves_out_stays_as_it_is() -> None:
    zones_alone = Emulated(parameters=Parameters.from_table({"zones": {"RNO2A": ["gb200-4x"]}}))
    assert zones_alone(types.GetGatewayParametersRequest()).zones == ["RNO2A"]
    assert "vllm" in zones_alone(types.GetDeploymentParametersRequest()).runtime_parameters.runtime_versions
    engines_alone = Emulated(parameters=Parameters.from_table({"engines": {"vllm": {"versions": ["0.9.0"]}}}))
    assert "US-EAST-04A" in engines_alone(types.GetGatewayParametersRequest()).zones
    runtime = engines_alone(types.GetDeploymentParametersRequest()).runtime_parameters
    assert list(runtime.runtime_versions) == ["vllm"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("zones = [", "Invalid"),
        ("zones = 3", "zones: is not a table"),
        ("[zones]", "zones: there is none"),
        ("[zones]\nA = 'x'", "zones.A: is not a list of strings"),
        ("[zones]\nA = [1]", "zones.A: is not a list of strings"),
        ("[zones]\nus-east-04a = []", "zones.us-east-04a: is no name of a zone, such as US-EAST-04A"),
        ("[engines]\nvllm = 1", "engines.vllm: is not a table"),
        ("[engines.vllm]\nversion = []", "engines.vllm: version: is not known here"),
        ("[engines.vllm]\nversions = ['v1']", "engines.vllm.versions: 'v1' is no semantic version, such as 0.22.0"),
        ("[colours]", "colours: is not known here; known are engines, zones"),
    ],
)
def test_a_broken_file_is_refused_in_one_line(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(errors.ConfigurationError) as caught:
        Parameters.load(path)
    assert str(path) in str(caught.value)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigurationError, match="No such file"):
        Parameters.load(tmp_path / "none.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(errors.ConfigurationError, match=r"binary\.toml"):
        Parameters.load(binary)

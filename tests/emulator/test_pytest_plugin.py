"""The pytest fixtures for the tests of users."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from cwinference import AsyncClient, Client, types
from cwinference.emulator import Emulator

ROUTED: dict[str, Any] = {
    "core_weave_auth": types.CoreWeaveAuth(),
    "path_based_routing": types.PathBasedRouting(),
}


def test_a_client_is_connected_to_an_emulator(inference_client: Client, inference_emulator: Emulator) -> None:
    gateway = inference_client.gateways.create("front", **ROUTED, wait=True)
    assert gateway.status.endpoints[0].startswith(inference_emulator.endpoint)


def test_each_test_has_an_emulator_of_its_own(inference_client: Client) -> None:
    assert inference_client.gateways.list() == []


async def test_the_async_client_is_connected_to_the_emulator(inference_async_client: AsyncClient) -> None:
    gateway = await inference_async_client.gateways.create("front", **ROUTED)
    assert await inference_async_client.gateways.list() == [await inference_async_client.gateways.get(gateway.spec.id)]


def test_the_plugin_is_registered_and_imports_nothing_until_a_fixture_is_used() -> None:
    (plugin,) = entry_points(group="pytest11", name="cwinference")
    names = {"cwinference", "coreweave", "google", "hypercorn", "grpc"}
    code = f"import sys, {plugin.value}; print({{name.partition('.')[0] for name in sys.modules}} & {names})"
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert completed.stdout == "set()\n"


@pytest.mark.parametrize("missing", [["hypercorn"], ["hyperframe"], ["h11", "h2", "hypercorn"]])
def test_without_the_packages_of_the_extra_the_fixture_names_the_extra(tmp_path: Path, missing: list[str]) -> None:
    (tmp_path / "conftest.py").write_text(f"import sys; sys.modules.update(dict.fromkeys({missing}))")
    (tmp_path / "test_it.py").write_text("def test_it(inference_emulator): pass")
    command = [sys.executable, "-m", "pytest", "-q", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "pip install 'cwinference[emulator]'" in result.stdout
    assert "1 error" in result.stdout

"""Every Python block of the README runs, each on its own against an emulator, with what the text says it may use."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from cwinference import Client, types
from cwinference.emulator import Emulator
from tests.support import certificates

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text("utf-8")
BLOCKS = {
    f"line {TEXT.count(chr(10), 0, found.start()) + 1}": found[1]
    for found in re.finditer(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
}


def make_gateway(client: Client) -> types.Gateway:
    routing = types.BodyBasedRouting(api_type=types.BodyBasedRouting.API_TYPE_OPENAI)
    return client.gateways.create("mine", core_weave_auth=types.CoreWeaveAuth(), body_based_routing=routing, wait=True)


def make_deployment(client: Client, gateway_id: str) -> types.Deployment:
    parameters = client.deployments.parameters()
    engine, versions = next(iter(parameters.runtime_parameters.runtime_versions.items()))
    instance_type = parameters.resource_parameters.instance_types[0]
    return client.deployments.create(
        "mine",
        gateway_ids=[gateway_id],
        runtime=types.DeploymentRuntime(engine=engine, version=versions.versions[0]),
        resources=types.DeploymentResources(instance_type=instance_type, gpu_count=8),
        model=types.DeploymentModel(name="mine", bucket="mine", path="mine"),
        autoscaling=types.DeploymentAutoscaling(min=1, max=1),
        wait=True,
    )


@pytest.mark.parametrize("place", BLOCKS)
def test_a_block_of_the_readme_runs(place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    certificates.make(tmp_path)[0].rename("ca.pem")
    with Emulator() as emulator, Client(emulator.token, endpoint=emulator.endpoint) as client:
        monkeypatch.setenv("COREWEAVE_API_TOKEN", emulator.token)
        monkeypatch.setenv("COREWEAVE_API_ENDPOINT", emulator.endpoint)
        gateway_id = make_gateway(client).spec.id
        given = {
            "client": client,
            "types": types,
            "gateway_id": gateway_id,
            "deployment_id": make_deployment(client, gateway_id).spec.id,
            "my_store": SimpleNamespace(read=lambda name: emulator.token),
        }
        exec(compile(BLOCKS[place], f"{README.name}, {place}", "exec"), given)  # noqa: S102 - our own README


def test_the_first_block_stands_on_the_first_screen() -> None:
    screen = "\n".join(TEXT.splitlines()[:24])
    assert next(iter(BLOCKS.values())) in screen

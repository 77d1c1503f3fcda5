"""The README is true: its Python runs, its tests pass, its commands and settings exist, and its links have targets.

Each block runs on its own, against an emulator, with the variables that the text mentions.
"""

import logging
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from cwinference import Client, types
from cwinference._cli.main import parsed
from cwinference.emulator import Emulator
from tests.support import certificates
from tests.support.commands import CommandLine

ROOT = Path(__file__).parent.parent
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"]
README = ROOT / "README.md"
TEXT = README.read_text("utf-8")


def blocks(language: str) -> dict[str, str]:
    """Return the blocks of a language by their positions."""
    fenced = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return {f"line {TEXT.count(chr(10), 0, found.start()) + 1}": found[1] for found in fenced.finditer(TEXT)}


PYTHON = blocks("python")
STACK = next(text for text in blocks("yaml").values() if "stack.yaml" in text)
COMMANDS = re.findall(r"^\$ (.*?)(?: +#.*)?$", "\n".join(blocks("console").values()), re.MULTILINE)


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


@pytest.mark.parametrize("position", PYTHON)
def test_a_python_block_of_the_readme_runs(position: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    certificates.make(tmp_path)[0].rename("ca.pem")
    Path("stack.yaml").write_text(STACK)
    with Emulator() as emulator, Client(emulator.token, endpoint=emulator.endpoint) as client:
        monkeypatch.setenv("COREWEAVE_API_TOKEN", emulator.token)
        monkeypatch.setenv("COREWEAVE_API_ENDPOINT", emulator.endpoint)
        gateway = make_gateway(client)
        variables = {
            "client": client,
            "types": types,
            "url": gateway.status.endpoints[0],
            "gateway_id": gateway.spec.id,
            "deployment_id": make_deployment(client, gateway.spec.id).spec.id,
            "my_store": SimpleNamespace(read=lambda name: emulator.token),
        }
        exec(compile(PYTHON[position], f"{README.name}, {position}", "exec"), variables)  # noqa: S102 - our own README


@pytest.fixture(autouse=True)
def restore_log_level() -> Iterator[None]:
    """Restore the log level that a block may set."""
    logger = logging.getLogger("cwinference")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.mark.parametrize("position", [position for position, text in PYTHON.items() if "def test_" in text])
def test_the_tests_in_the_readme_pass(position: str, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(PYTHON[position])
    command = [sys.executable, "-m", "pytest", "-q", "-o", "asyncio_mode=auto", "-c", "pytest.ini", "test_it.py"]
    (tmp_path / "pytest.ini").touch()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, f"{PYTHON[position].count('def test_')} passed" in done.stdout) == (0, True), done.stdout


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("cwinference ")])
def test_a_command_in_the_readme_is_accepted(command: str) -> None:
    for part in re.split(r" [|>] ", command):
        if part.startswith("cwinference "):
            assert parsed(shlex.split(part)[1:]).command.callback is not None


def shown_output() -> list[tuple[str, str]]:
    """Return the commands of the section about the command line for which the output is shown, each with that."""
    section = TEXT.partition("## Use the command line\n")[2].partition("\n## ")[0]
    console = "\n".join(re.findall(r"^```console\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))
    runs = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", console, re.MULTILINE)
    return [(command, output) for command, output in runs if output.strip()]


def without_times(text: str) -> list[str]:
    """Return the words of each line; ages, ids and ports differ from run to run."""
    text = re.sub(r"\b\d+[smhd]\b", "AGE", re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", text))
    return [" ".join(re.sub(r":\d{4,5}/", ":PORT/", line).split()) for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize(("command", "output"), shown_output(), ids=[command for command, _ in shown_output()])
def test_the_readme_shows_what_a_command_prints(
    command: str, output: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Emulator() as emulator:
        cli = CommandLine(emulator, monkeypatch, capsys)
        cli.populate()
        assert without_times(cli.ok(*shlex.split(command)[1:]).out) == without_times(output)


@pytest.mark.parametrize("target", sorted({each for each in COMMANDS if each.startswith("make ")}))
def test_a_make_target_in_the_readme_exists(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert f"\n{target.removeprefix('make ')}: " in makefile


def test_the_emulator_settings_in_the_readme_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "emulator.toml").write_text("\n".join(blocks("toml").values()))
    with Emulator(config=tmp_path / "emulator.toml"):
        pass


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_have_targets(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    anchors = {f"#{re.sub(r'[^a-z0-9 -]', '', title.lower()).replace(' ', '-')}" for title in titles}
    for link in re.findall(r"\]\((?!https:)([^)]+)\)", text):
        assert link in anchors if link.startswith("#") else (ROOT / link).is_file(), link


def test_what_contributing_names_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    places = [ROOT, ROOT / "src", *(ROOT / "src/cwinference" / part for part in ("", "emulator"))]
    for name in re.findall(r"`((?:[\w.-]+/)+[\w.-]*|\w+\.(?:py|proto|toml))`", text):
        assert any((place / name).exists() for place in places), name
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"`make ([a-z-]+)", text):
        assert f"\n{target}: " in makefile, target


def test_the_first_block_is_on_the_first_screen() -> None:
    screen = "\n".join(TEXT.splitlines()[:24])
    assert next(iter(PYTHON.values())) in screen

"""The guide to the emulator and the Dockerfile are true: programs run, commands are accepted, files exist."""

import http.client
import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from cwinference import Inference
from cwinference._cli.main import parsed
from cwinference.emulator import Emulator, EmulatorClock
from cwinference.emulator.admin.app import ROUTES
from cwinference.stacks import Stack

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/how-to/drive-the-emulator.md").read_text("utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


YAML: dict[str, str] = {text.splitlines()[0].removeprefix("# "): text for text in blocks("yaml")}
COMMANDS = [
    line.removeprefix("$ ").removesuffix(" &")
    for text in blocks("console")
    for line in text.splitlines()
    if line.startswith("$ ")
]


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "stack.yaml"
    path.write_text(YAML["stack.yaml"])
    return path


@pytest.fixture
def emulator(stack: Path) -> Iterator[Emulator]:
    with Emulator(seed=stack, clock=EmulatorClock(running=False)) as running:  # some commands advance the clock
        yield running


def test_the_stack_is_served(emulator: Emulator) -> None:
    connection = http.client.HTTPConnection(emulator.endpoint.removeprefix("http://"), timeout=60)
    headers = {"authorization": f"Bearer {emulator.token}"}
    connection.request("GET", "/_emulator/state", headers=headers)
    state = json.loads(connection.getresponse().read())
    connection.close()
    [endpoint] = state["resources"][0]["resource"]["status"]["endpoints"]
    with Inference(endpoint, token=emulator.token) as inference:
        assert inference.completions.create(model="meta/llama", prompt="Hi").text


def test_the_table_has_every_route() -> None:
    table = re.findall(r"`(GET|PUT|POST|DELETE) ([a-z]+(?:/<[^>]*>)?)`", TEXT.partition("## Seed")[0])
    named = {(verb, re.sub(r"<.*>", "*", path)) for verb, path in table}
    exist = {(route.verb, re.sub(r"{.*}", "*", route.template)) for route in ROUTES}
    assert exist - named == {("GET", "openapi.json")}
    assert named <= exist


PROGRAMS: dict[str, tuple[str, str, Sequence[str]]] = {
    "go": ("go", "main.go", ["go", "run", "main.go"]),
    "typescript": ("node", "main.mjs", ["node", "main.mjs"]),
    "java": ("javac", "Main.java", ["java", "Main.java"]),
}


@pytest.mark.parametrize("language", PROGRAMS)
def test_a_program_in_another_language_works(language: str, emulator: Emulator, tmp_path: Path) -> None:
    tool, name, command = PROGRAMS[language]
    if shutil.which(tool) is None:
        pytest.skip(f"there is no {tool} here")
    [text] = blocks(language)
    (tmp_path / name).write_text(text)
    offline = {"GOPROXY": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "GO111MODULE": "auto"}
    settings = {"COREWEAVE_API_ENDPOINT": emulator.endpoint, "COREWEAVE_API_TOKEN": emulator.token}
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **offline, **settings}, capture_output=True, text=True, timeout=100
    )
    assert (done.stdout.split(), done.returncode) == (["503", "200"], 0), done.stderr


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("curl ")])
def test_a_curl_command_works(command: str, emulator: Emulator) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl here")
    here = command.replace("http://127.0.0.1:8080", emulator.endpoint)
    done = subprocess.run([*shlex.split(here), "-sf"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("cwinference ")])
def test_a_command_is_accepted(command: str) -> None:
    assert parsed(shlex.split(command)[1:]).command.callback is not None


def options_of(arguments: Sequence[str]) -> dict[str, Any]:
    """Return the options that the emulator takes from the arguments of a container."""
    return parsed([*instruction("ENTRYPOINT")[1:], *arguments]).params


def test_the_containers_of_compose_fit_together() -> None:
    services = yaml.safe_load(YAML["compose.yaml"])["services"]
    options = options_of(services["emulator"]["command"])
    assert options["public_url"] == services["tests"]["environment"]["COREWEAVE_API_ENDPOINT"]
    assert options["admin"] is True
    assert services["emulator"]["volumes"] == [f"./stack.yaml:{options['seed']}:ro"]


def test_the_service_of_github_actions_is_what_the_tests_connect_to() -> None:
    [job] = yaml.safe_load(YAML[".github/workflows/test.yaml"])["jobs"].values()
    assert job["services"]["emulator"]["ports"] == ["8080:8080"]
    assert job["env"]["COREWEAVE_API_ENDPOINT"] == "http://localhost:8080"
    [text] = blocks("dockerfile")
    options = options_of(json.loads(text.partition("\nCMD ")[2]))
    assert (options["admin"], options["seed"]) == (True, "/stack.yaml")


def instruction(name: str, text: str = DOCKERFILE) -> list[str]:
    """Return the words of the last instruction of a name, in the form without a shell."""
    found = re.findall(rf"^{name} .*?(\[.*\])$", text, re.MULTILINE) or re.findall(rf"^{name} (\[.*\])$", text, re.M)
    words: list[str] = json.loads(found[-1])
    return words


def test_the_image_runs_what_exists_and_listens_where_its_health_is_checked() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    for name in ("ENTRYPOINT", "HEALTHCHECK"):
        assert instruction(name)[0] in scripts
    options = options_of(instruction("CMD"))
    health = parsed(instruction("HEALTHCHECK")[1:])
    assert (options["host"], options["admin"]) == ("0.0.0.0", None)  # noqa: S104 - of a container
    assert health.command.name == "wait"
    assert health.params["endpoint"] == f"http://127.0.0.1:{options['port']}"
    assert f"EXPOSE {options['port']}" in DOCKERFILE.splitlines()
    timeout = re.search(r"--timeout=(\d+)s", DOCKERFILE)
    assert timeout is not None
    assert health.params["seconds"] < int(timeout[1])


def test_the_image_contains_what_is_installed_and_nothing_runs_as_root() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = DOCKERFILE.splitlines()
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    copied = [word for line in lines if re.match(r"COPY (?!--)", line) for word in line.split()[1:-1]]
    assert copied
    assert all((ROOT / each).exists() and f"!{each}" in ignored for each in copied)
    extras = re.search(r'"\.\[(.*)\]"', DOCKERFILE)
    assert extras is not None
    assert set(extras[1].split(",")) <= project["optional-dependencies"].keys()
    [user] = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert f"--uid {user} " in DOCKERFILE
    assert user != "0"
    assert lines.index(f"USER {user}") < next(n for n, line in enumerate(lines) if line.startswith("ENTRYPOINT"))
    assert all("slim" in line for line in lines if line.startswith("FROM "))


def test_the_stack_has_the_form_that_apply_takes(stack: Path) -> None:
    assert list(Stack.load(stack).deployments) == ["llama"]

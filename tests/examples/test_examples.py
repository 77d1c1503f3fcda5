"""The examples run against an emulator that has what they use, on real sockets, and say what they are expected to say.

Those of web services are tested in `tests/completions/test_web_services.py`.
"""

import ast
import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cwinference import Client
from cwinference._cli.main import parsed
from cwinference.emulator import Emulator
from tests.docs.pages import PAGES, commands
from tests.docs.test_commands import fits
from tests.support import notebooks
from tests.support.commands import CommandLine

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = sorted(path.name for path in EXAMPLES.glob("*.py") if path.name != "demo.py")
MOST_LINES = 55

Run = Callable[..., str]
"""Runs an example with arguments, and returns what it prints."""


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Emulator]:
    monkeypatch.chdir(tmp_path)
    with Emulator(seed=EXAMPLES / "stack.yaml") as emulator:
        monkeypatch.setenv("COREWEAVE_API_TOKEN", emulator.token)
        monkeypatch.setenv("COREWEAVE_API_ENDPOINT", emulator.endpoint)
        yield emulator


@pytest.fixture
def run(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    def run(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capfd.readouterr().out

    return run


@pytest.fixture
def client(emulator: Emulator) -> Iterator[Client]:
    with Client(emulator.token, endpoint=emulator.endpoint, transport="rest") as client:
        yield client


def test_quickstart_starts_with_nothing_and_may_be_run_again(run: Run, emulator: Emulator, client: Client) -> None:
    emulator.reset()
    for _ in range(2):
        out = run("quickstart.py")
        assert "Gateway front: READY" in out
        assert "Deployment llama: READY" in out
        assert out.splitlines()[-1]
    assert [each.spec.name for each in client.deployments.list()] == ["llama"]


def test_quickstart_async_asks_a_hundred_questions(run: Run) -> None:
    assert "tokens in 100 responses" in run("quickstart_async.py")


def test_quickstart_async_reports_what_fails(run: Run, emulator: Emulator) -> None:
    emulator.faults.add("error", path="*/chat/completions", code="invalid_argument", nth=1)
    assert "tokens in 99 responses" in run("quickstart_async.py")


def test_stream_prints_a_chat(run: Run) -> None:
    *text, usage = run("stream.py", "What", "now?").splitlines()
    assert "".join(text)
    assert usage.endswith("tokens)")


def test_batch_goes_on_where_it_was(run: Run) -> None:
    assert "100 completed, 0 failed, 0 were there already" in run("batch.py", "out.jsonl")
    lines = Path("out.jsonl").read_bytes().splitlines(keepends=True)
    Path("out.jsonl").write_bytes(b"".join(lines[:60]))
    assert "40 completed, 0 failed, 60 were there already" in run("batch.py", "out.jsonl")


def test_canary_promotes_what_is_good(run: Run, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOAK", "0.01")
    assert "promoted; to go back, even now" in run("canary.py")
    weights = {each.spec.name: each.spec.traffic.weight for each in client.deployments.list()}
    assert weights == {"llama": 0, "llama-v2": 100}
    assert "promoted" in run("canary.py")  # from its journal


def test_canary_goes_back_from_what_is_bad(
    run: Run, emulator: Emulator, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOAK", "0.01")
    emulator.faults.add("error", deployment="llama-v2", code="internal")
    assert "reverted" in run("canary.py")
    weights = {each.spec.name: each.spec.traffic.weight for each in client.deployments.list()}
    assert weights == {"llama": 100, "llama-v2": 0}


def test_hot_load_loads_new_weights(run: Run) -> None:
    out = run("hot_load.py", "step_000102")
    assert "has step_000102" in out
    assert "a response by" in out


def test_stack_does_what_the_file_says(run: Run, emulator: Emulator, client: Client) -> None:
    with pytest.raises(SystemExit):
        run("stack.py", "--yes")
    emulator.reset()
    assert "Plan: 2 to create." in run("stack.py", "--yes")
    assert [each.spec.name for each in client.deployments.list()] == ["llama"]


def test_cache_shows_what_serves_a_model(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECONDS", "0.01")
    out = run("cache.py")
    assert "org/llama: llama with weight 100 READY" in out
    assert "all is well" in out


def test_the_seed_has_what_the_readme_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [shown] = [
        command.output
        for block in PAGES["README.md"].of("console")
        for command in commands(block)
        if command.text == "cwinference status"
    ]
    with Emulator(seed=EXAMPLES / "seed.yaml") as emulator:
        cli = CommandLine(emulator, monkeypatch, capsys)
        assert fits(shown, cli.ok("status").out)
        seeded = cli.ok("export").out
    with Emulator() as emulator:
        cli = CommandLine(emulator, monkeypatch, capsys)
        cli.populate()
        assert seeded == cli.ok("export").out, "the pages' commands are tested with these"


def test_telemetry_prints_spans_and_metrics(emulator: Emulator) -> None:
    # In a process of its own: the console exporters print where sys.stdout pointed when they were imported.
    program = [sys.executable, str(EXAMPLES / "telemetry.py")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    out = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout
    for name in ('"name": "chat org/llama"', '"name": "a question"', "gen_ai.client.operation.duration"):
        assert name in out


def test_the_tests_with_the_emulator_pass(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").touch()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "cwinference_pytest", "-c", "pytest.ini"]
    command.append(str(EXAMPLES / "test_with_the_emulator.py"))
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # twice as fast
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "4 passed" in done.stdout) == (0, True), done.stdout


def code_of(path: Path) -> list[str]:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return ["".join(each["source"]) for each in cells if each["cell_type"] == "code"]


def test_the_cells_of_the_notebook_show_tables(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    shown = notebooks.run(EXAMPLES / "notebook.ipynb")
    assert len(shown) == len(code_of(EXAMPLES / "notebook.ipynb"))
    for html, word in zip(
        shown, ("1 Gateway", "Gateway front", "GatewaySpec", "update", "tokens", "ENDPOINT"), strict=False
    ):
        assert "<table" in html
        assert word.replace("GatewaySpec", "DeploymentSpec") in html


def test_the_notebook_has_no_outputs_and_is_formatted_as_jupyter_does() -> None:
    text = (EXAMPLES / "notebook.ipynb").read_text("utf-8")
    notebook = json.loads(text)
    assert text == json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    outputs = [(each["outputs"], each["execution_count"]) for each in notebook["cells"] if each["cell_type"] == "code"]
    assert {str(each) for each in outputs} == {"([], None)"}


@pytest.mark.parametrize("name", [*PROGRAMS, "notebook.ipynb"])
def test_an_example_is_short_and_says_what_it_shows_and_how_to_run_it(name: str) -> None:
    path = EXAMPLES / name
    if path.suffix == ".py":
        text = path.read_text("utf-8")
        docstring = ast.get_docstring(ast.parse(text)) or ""
    else:
        text = "\n".join(code_of(path))
        docstring = "".join(json.loads(path.read_text("utf-8"))["cells"][0]["source"])
    assert len(text.splitlines()) <= MOST_LINES
    how = docstring if path.suffix == ".ipynb" else docstring.splitlines()[0].rpartition(": ")[2]
    assert "jupyter" in how or path.stem in how or "pytest examples" in how


def test_the_examples_are_all_listed() -> None:
    listed = re.findall(r"\[([\w.]+)\]\(\1\)", (EXAMPLES / "README.md").read_text("utf-8"))
    assert sorted(listed) == sorted(
        path.name for path in EXAMPLES.iterdir() if path.is_file() and path.name != "README.md"
    )


def test_the_commands_in_the_list_are_accepted() -> None:
    text = (EXAMPLES / "README.md").read_text("utf-8")
    assert parsed(re.findall(r"^\$ cwinference (.*) &$", text, re.MULTILINE)[0].split()).command.callback is not None

"""The Python of every page runs: block after block, with the variables of the blocks before.

A page may assume an emulator with the resources of `examples/seed.yaml`, and the variables of `assumed`. To see why a
page fails: pytest tests/docs -k how-to/deploy
"""

import ast
import asyncio
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cwinference import Client, types
from cwinference.emulator import Emulator
from tests.support import certificates

from .pages import PAGES, ROOT, TUTORIAL, Block, Page

PROGRAMS = {
    name: page for name, page in PAGES.items() if name != TUTORIAL and any(block.is_run for block in page.of("python"))
}
TESTS = {name: page for name, page in PROGRAMS.items() if any("def test_" in each.text for each in page.of("python"))}
SCRIPT = 'if __name__ == "__main__":'


@pytest.fixture
def assumed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Return the variables that every page may use without defining them."""
    monkeypatch.syspath_prepend(folder)
    certificates.make(folder)[0].rename("ca.pem")
    with ExitStack() as stack:
        emulator = stack.enter_context(Emulator(seed=ROOT / "examples/seed.yaml"))
        client = stack.enter_context(Client(emulator.token, endpoint=emulator.endpoint))
        gateway = client.gateways.find("front")
        monkeypatch.setenv("COREWEAVE_API_TOKEN", emulator.token)
        monkeypatch.setenv("COREWEAVE_API_ENDPOINT", emulator.endpoint)
        monkeypatch.setenv("GATEWAY_URL", gateway.status.endpoints[0])
        yield {
            "client": client,
            "emulator": emulator,
            "types": types,
            "url": gateway.status.endpoints[0],
            "gateway_id": gateway.spec.id,
            "deployment_id": client.deployments.find("llama").spec.id,
            "inference": stack.enter_context(client.inference(gateway)),
            "my_store": SimpleNamespace(read=lambda name: emulator.token),
        }


class PageRunner:
    """Runs the blocks of a page with one namespace and one event loop."""

    def __init__(self, page: Page, assumed: dict[str, Any]) -> None:
        self.page = page
        self.assumed = assumed
        self.variables: dict[str, Any] = {**assumed, "__name__": "page"}

    def run(self, block: Block, runner: asyncio.Runner) -> None:
        """Run a block; `await` and `async with` may be used as in IPython."""
        tree = ast.parse(block.numbered, self.page.name)
        code = compile(tree, str(self.page.path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & inspect.CO_COROUTINE:
            runner.run(eval(code, self.variables))  # noqa: S307 - our own pages
        else:
            exec(code, self.variables)  # noqa: S102
        for name in self.assumed.keys() & bound_by_with(tree):  # for the next block they are open again
            self.variables[name] = self.assumed[name]


def bound_by_with(tree: ast.Module) -> set[str]:
    """Return the names that `with` statements of a block have bound: what they name is closed after them."""
    statements = [each for each in tree.body if isinstance(each, ast.With | ast.AsyncWith)]
    targets = [item.optional_vars for each in statements for item in each.items]
    return {each.id for each in targets if isinstance(each, ast.Name)}


def run_script(page: Page, block: Block) -> None:
    """Run a block that is a program, as such."""
    path = Path(f"line_{block.line}.py")
    path.write_text(block.numbered)
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_python_of_a_page_runs_and_prints_no_whole_messages(
    name: str, assumed: dict[str, Any], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = PROGRAMS[name]
    page.write_files(folder)
    with asyncio.Runner() as runner:
        of_page = PageRunner(page, assumed)
        for block in page.of("python"):
            try:
                if block.is_run and SCRIPT in block.text:
                    run_script(page, block)
                elif block.is_run:
                    of_page.run(block, runner)
            except BaseException as error:
                error.add_note(f"in the block of {page.name} that begins in line {block.line}")
                raise
    assert re.findall(r"^\W*\w+ \{$", capsys.readouterr().out, re.MULTILINE) == []


@pytest.mark.parametrize("name", TESTS)
def test_the_tests_of_a_page_pass(name: str, folder: Path) -> None:
    page = TESTS[name]
    page.write_files(folder)
    blocks = [block for block in page.of("python") if "def test_" in block.text and block.is_run]
    for block in blocks:
        (folder / f"test_line_{block.line}.py").write_text(block.numbered)
    (folder / "pytest.ini").touch()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto"]
    files = [f"test_line_{block.line}.py" for block in blocks]
    done = subprocess.run(
        [*command, "-c", "pytest.ini", *files], cwd=folder, capture_output=True, text=True, timeout=60
    )
    count = sum(block.text.count("def test_") for block in blocks)
    assert (done.returncode, f"{count} passed" in done.stdout) == (0, True), done.stdout


def test_few_blocks_are_not_run() -> None:
    """Each has a reason, in a comment before it."""
    left_out = {
        f"{page.name}:{block.line}": block.remarks["not run"]
        for page in PAGES.values()
        for block in page.blocks
        if not block.is_run
    }
    assert all(left_out.values()), left_out
    assert len(left_out) <= 15, left_out

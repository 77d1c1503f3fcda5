"""The files that pages show are valid: stacks, settings of the emulator, JSON."""

import json
from pathlib import Path

import pytest
import yaml

from cwinference.emulator import Emulator
from cwinference.stacks import Stack

from .pages import PAGES, Block

SECTIONS = {"gateways", "deployments", "capacity_claims"}
LANGUAGES = {"python", "console", "yaml", "json", "toml"}
"""Those that are tested here."""
OTHERS = {"go", "typescript", "java", "dockerfile", "text", "", "{api}", "{include}"}
"""Those of test_emulator_guide, what is no code, and what the site is made from."""
WITH_FILES = {name: page for name, page in PAGES.items() if page.of("yaml", "json", "toml")}


@pytest.mark.parametrize("name", PAGES)
def test_no_block_of_a_page_is_of_a_kind_that_is_not_tested(name: str) -> None:
    for block in PAGES[name].blocks:
        assert block.language in LANGUAGES | OTHERS, f"{name}:{block.line}"


def check(block: Block, path: Path) -> None:
    path.write_text(block.text)
    if block.language == "json":
        for text in block.text.splitlines() if path.suffix == ".jsonl" else [block.text]:
            json.loads(text)
    elif block.language == "yaml":
        parsed = yaml.safe_load(block.text)
        if isinstance(parsed, dict) and parsed.keys() & SECTIONS:
            Stack.load(path)


@pytest.mark.parametrize("name", WITH_FILES)
def test_the_files_of_a_page_are_valid(name: str, folder: Path) -> None:
    page = WITH_FILES[name]
    for block in page.of("yaml", "json"):
        try:
            check(block, folder / f"line-{block.line}{Path(block.file_name or f'.{block.language}').suffix}")
        except Exception as error:
            error.add_note(f"in the block of {name} that begins in line {block.line}")
            raise
    settings = [block for block in page.of("toml") if block.file_name != "pyproject.toml"]
    if settings:
        (folder / "emulator.toml").write_text("\n".join(block.text for block in settings))
        with Emulator(config=folder / "emulator.toml"):
            pass

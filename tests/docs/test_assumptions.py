"""Each how-to page says at its top what it assumes: variables, the seed, a token, the extra."""

import ast
import re

import pytest

from .pages import PAGES, Block, Page
from .test_programs import bound_by_with

INDEX = PAGES["docs/how-to/index.md"]
VARIABLES = {"client", "deployment_id", "gateway_id", "inference", "types", "url"}
SEED = "the seed"
TOKEN = "a token"
EXTRA = "the extra `emulator`"
_RESOURCE = re.compile(r"(?<![\w./-])(front|llama|llama-2|prod|org/llama)(?![\w/-])")
EMULATOR = {"drive-the-emulator", "emulator", "faults", "models", "test-with-the-emulator"}
"""Pages on the emulator, which make their own resources in it."""
NOTHING = {"index", "install", "token-and-endpoint"}
"""Pages that say how to get what others assume."""
HOW_TO = {
    name.removeprefix("docs/how-to/")[:-3]: page for name, page in PAGES.items() if name.startswith("docs/how-to/")
}


def names(block: Block) -> tuple[set[str], set[str], set[str]]:
    """Return the names that a block uses, those that it binds, and those that it binds for later blocks, too."""
    tree = ast.parse(block.text)
    used, bound = set[str](), set[str]()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id, ast.Load()):
                used.add(id)
            case ast.Name(id) | ast.arg(id):
                bound.add(id)
            case ast.alias(name, alias):
                bound.add(alias or name)
            case _:
                pass
    return used, bound, bound - bound_by_with(tree)


def variables(page: Page) -> set[str]:
    """Return the variables that a page uses, but does not define."""
    found, known = set[str](), set[str]()
    for used, bound, kept in map(names, page.of("python")):
        found |= (used & VARIABLES) - bound - known
        known |= kept
    return found


def assumed_by(name: str, page: Page) -> set[str]:
    if name in EMULATOR:
        return {EXTRA}
    found = {f"`{each}`" for each in variables(page)}
    if any(_RESOURCE.search(block.text) for block in page.of("python", "console")):
        found.add(SEED)
    return found or {TOKEN}


@pytest.mark.parametrize("name", sorted(HOW_TO.keys() - NOTHING))
def test_a_page_says_at_its_top_what_it_assumes(name: str) -> None:
    line = HOW_TO[name].text.splitlines()[2]
    stated = re.fullmatch(r"\*Assumes (.*): \[how to get (?:it|them)\]\((?:index|install)\.md(?:#[\w-]+)?\)\.\*", line)
    assert stated, line
    assert {*re.split(r", | and ", stated[1])} == assumed_by(name, HOW_TO[name])


def test_the_index_describes_what_pages_assume() -> None:
    described = INDEX.text.partition("## What the pages assume")[2].partition("\n## ")[0]
    assert {name for name in VARIABLES | {"examples/seed.yaml"} if f"`{name}`" not in described} == set()

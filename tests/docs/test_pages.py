"""How pages are read and run: a mistake on a page is found, and is named by its line."""

import asyncio
import traceback
from typing import Any

import pytest

from .pages import PAGES, Command, Page, commands, slug
from .test_commands import fits
from .test_programs import PageRunner

TEXT = """# Title

```python
x = 1
with held() as client:
    pass
```

Text with [a link](other.md#part) and `[code](not-a-link.md)`.

<!-- not run: it takes an hour -->
```python
raise AssertionError
```

## Title

```console
$ cwinference status  # a comment
NAME
$ cwinference plan \\
  stack.yaml &
```

```python
assert x == 1 and client == "open"

await sleep(0); raise ValueError
```
"""
PAGE = Page("page.md", TEXT)


def test_blocks_have_a_line_a_language_and_remarks() -> None:
    found = [(block.language, block.line, block.is_run) for block in PAGE.blocks]
    assert found == [("python", 4, True), ("python", 13, False), ("console", 19, True), ("python", 26, True)]
    assert PAGE.blocks[1].remarks == {"not run": "it takes an hour"}


def test_links_and_anchors_are_those_outside_of_code() -> None:
    assert PAGE.links == ["other.md#part"]
    assert PAGE.anchors == {"title", "title-1"}
    assert slug("What's in `a_b`, really?") == "whats-in-a_b-really"


def test_commands_have_the_output_that_follows() -> None:
    assert commands(PAGE.blocks[2]) == [
        Command("cwinference status", "NAME\n", 19),
        Command("cwinference plan stack.yaml", "", 21),
    ]


def test_a_block_without_an_end_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="begins in line 2 has no end"):
        assert Page("page.md", "```python\nx = 1\n").blocks


def test_blocks_share_variables_and_errors_name_the_line() -> None:
    class Held:
        def __enter__(self) -> str:
            return "closed"

        def __exit__(self, *error: object) -> None:
            pass

    assumed: dict[str, Any] = {"client": "open", "held": Held, "sleep": asyncio.sleep}
    of_page = PageRunner(PAGE, assumed)
    with asyncio.Runner() as runner:
        of_page.run(PAGE.blocks[0], runner)
        assert of_page.variables["client"] == "open"
        with pytest.raises(ValueError, match="^$") as raised:
            of_page.run(PAGE.blocks[3], runner)
    [last] = traceback.extract_tb(raised.tb)[-1:]
    assert (last.filename.endswith("/page.md"), last.lineno) == (True, 28)


def test_output_fits_but_for_what_differs_from_run_to_run() -> None:
    assert fits("llama  3d\n...\nend\n", "llama   2s\none\ntwo\nend\n")
    assert not fits("llama  3d\nend\n", "llama   2s\none\nend\n")
    assert not fits("gpu_count: 8\n", "gpu_count: 4\n")
    assert fits("one two ...\nend\n", "one two three four\nend\n")
    assert not fits("one two ...\nend\n", "one two three\nfour\nend\n")


CODE = ("python", "yaml", "toml", "console")
WIDEST = 88
"""How many columns of code the site shows without scrolling."""


@pytest.mark.parametrize("name", [name for name in PAGES if name == "README.md" or name.startswith("docs/")])
def test_code_on_a_page_is_not_wider_than_the_page(name: str) -> None:
    """Apart from what commands print, and from commands of others."""
    typed = {
        block.line + number
        for block in PAGES[name].of(*CODE)
        for number, line in enumerate(block.text.splitlines())
        if len(line) > WIDEST and (block.language != "console" or line.startswith("$ cwinference "))
    }
    assert typed == set()

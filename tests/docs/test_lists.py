"""Lists and figures on pages are those of the code: kinds of faults, options, examples, golden files."""

import json
import re
from typing import Any, get_args

import pytest

from cwinference._cli.emulator import command
from cwinference.emulator.faults.options import FaultKind
from tests.support import samples

from .pages import PAGES, ROOT, Page


def words_of_tables(page: Page) -> list[str]:
    """Return the pieces of code in the first column of the page's tables."""
    rows = re.findall(r"^\| (`.*?) \|", page.text, re.MULTILINE)
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row)]


def test_the_page_on_faults_has_every_kind() -> None:
    assert set(get_args(FaultKind)) <= set(words_of_tables(PAGES["docs/how-to/faults.md"]))


def test_the_page_on_the_emulator_names_options_that_exist() -> None:
    options = {name for parameter in command.params for name in parameter.opts}
    named = {word.split()[0] for word in words_of_tables(PAGES["docs/how-to/emulator.md"])}
    assert named <= options
    assert named


def test_the_page_on_web_services_shows_the_example() -> None:
    [service, *_] = PAGES["docs/how-to/web-service.md"].of("python")
    assert service.text == (ROOT / "examples/web_service.py").read_text("utf-8")


def golden(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "tests/emulator" / name).read_text("utf-8"))
    return found


@pytest.mark.parametrize(
    ("sentence", "count"),
    [
        (r"([\d,]+) requests, each", lambda: sum(map(len, golden("rules.golden.json")["results"].values()))),
        (r"([\d,]+) JSON texts\. ", lambda: len(golden("json_spellings.golden.json")["results"])),
        (r"([\d,]+) samples", lambda: len(json.loads((samples.DIRECTORY / "wire-vectors.json").read_text("utf-8")))),
    ],
    ids=["requests", "spellings", "samples"],
)
def test_the_page_on_honesty_counts_well(sentence: str, count: Any) -> None:
    [figure] = re.findall(sentence, PAGES["docs/explanation/how-the-emulator-stays-honest.md"].text)
    stated, actual = int(figure.replace(",", "")), count()
    assert stated == (actual if actual < 100 else actual // 100 * 100)


def test_the_words_of_the_glossary_are_in_order() -> None:
    for section in PAGES["docs/glossary.md"].text.split("\n## ")[1:]:
        words = [word.lower() for word in re.findall(r"^### (.*)$", section, re.MULTILINE)]
        assert words == sorted(words)
        assert len(words) > 15

"""Links between pages have targets, and pages of the repository name what exists."""

import re

import pytest

from hatch_build import for_index
from tools.docs import python_reference

from .pages import PAGES, ROOT, Page

README = PAGES["README.md"]
CONTRIBUTING = PAGES["CONTRIBUTING.md"].text


@pytest.mark.parametrize("name", PAGES)
def test_the_links_of_a_page_have_targets(name: str) -> None:
    page = PAGES[name]
    for link in page.links:
        path, _, anchor = link.partition("#")
        target = (page.path.parent / path).resolve() if path else page.path
        assert target.exists(), f"{name}: {link}"
        if anchor:
            other = PAGES[str(target.relative_to(ROOT))]
            assert anchor in other.anchors | python_reference.anchors_on(other.text), f"{name}: {link}"


def test_what_contributing_names_exists() -> None:
    places = [ROOT, ROOT / "src", *(ROOT / "src/cwinference" / part for part in ("", "emulator"))]
    for name in re.findall(r"`((?:[\w.-]+/)+[\w.-]*|\w+\.(?:py|proto|toml))`", CONTRIBUTING):
        assert name.startswith("build/") or any((place / name).exists() for place in places), name
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"`make ([a-z-]+)", CONTRIBUTING):
        assert f"\n{target}: " in makefile, target


@pytest.mark.parametrize("repository", [None, "https://git.example/team/cwinference/"])
def test_the_readme_of_packages_has_no_link_that_needs_the_repository(repository: str | None) -> None:
    text = for_index(README.text, repository)
    assert not Page("README.md", text).links
    assert text.count("](") == (README.text.count("](") if repository else 0)


def test_the_readme_is_short() -> None:
    assert len(README.text.splitlines()) <= 200


def test_the_first_program_is_on_the_first_screen() -> None:
    screen = "\n".join(README.text.splitlines()[:24])
    assert README.of("python")[0].text in screen


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("docs/") and name.endswith("/index.md")])
def test_an_index_calls_pages_by_their_titles(name: str) -> None:
    """In the sidebar they have these."""
    folder = PAGES[name].path.parent
    rows = "\n".join(line for line in PAGES[name].text.splitlines() if line.startswith("|"))
    for text, target in re.findall(r"\[([^\]]+)\]\(([\w-]+\.md)\)", rows):
        page = PAGES[str((folder / target).relative_to(ROOT))].text
        assert page.startswith((f"# {text}\n", "```{include}"))

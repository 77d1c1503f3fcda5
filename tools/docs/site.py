"""What a page is in the site: its Markdown, with toctrees for index pages, filled fences, and included files."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from .python_reference import Site, expanded

DOCS = Path(__file__).parents[2] / "docs"

FOREIGN_NAMES: Sequence[str] = (
    "Any", "AsyncIterator", "Awaitable", "Callable", "Collection", "Container", "Coroutine", "Iterable", "Iterator",
    "Literal", "Mapping", "None", "Path", "PathLike", "Self", "Sequence", "bool", "bytes", "datetime", "dict",
    "ellipsis", "float", "int", "list", "object", "str", "timedelta", "tuple", "type", r"os\.PathLike",
    "Message", "MeterProvider", "Timestamp", "TracerProvider", r"openai\..*",
)  # fmt: skip
"""Names in signatures that are not ours: of Python, and of other libraries. All others have to be links."""

_LINK = re.compile(r"\]\(((?:[\w-]+/)*[\w-]+\.md)(?:#[^)]*)?\)")
_TO_NAME = re.compile(r"\[`?([^]`]+)`?\]\([\w/.-]*\.md#(cwinference\.[\w.]+)\)")
"""A link to a class or method in the Python reference: Sphinx knows it by its name."""
_INCLUDED = re.compile(r"^```\{include\} \.\./(\w+\.md)\n```$", re.MULTILINE)
_TO_ROOT = re.compile(r"(\]\()(docs/|(?=(?:CHANGELOG|CONTRIBUTING|SECURITY)\.md))([^)]*\))")


class Builder(Protocol):
    """What we use of Sphinx's writer of HTML."""

    def get_relative_uri(self, from_: str, to: str) -> str:
        """Return how a page links to another."""
        ...


class App(Protocol):
    """What we use of Sphinx."""

    @property
    def builder(self) -> Builder:
        """Return what writes the pages."""
        ...

    def connect(self, event: str, callback: Callable[..., None], priority: int = 500) -> int:
        """Have a function called at an event."""
        ...


def version() -> str:
    """Return the version of the library."""
    text = (DOCS.parent / "src/cwinference/_version.py").read_text("utf-8")
    return text.rpartition('__version__ = "')[2].rstrip('"\n')


def prepare(app: object, name: str, source: list[str]) -> None:
    """Change the text of a page, before Sphinx reads it."""
    text = expanded(with_files(source[0]), Site())
    source[0] = _TO_NAME.sub(r"{py:obj}`\1 <\2>`", text)
    if name == "index" or name.endswith("/index"):
        source[0] += "\n".join(["", "```{toctree}", ":hidden:", "", *below(name, source[0]), "```", ""])


def below(name: str, text: str) -> Sequence[str]:
    """Return the pages that an index page has below it: in the order of its links, then those that it does not link."""
    folder = (DOCS / name).parent
    lists = "\n".join(
        line for line in text.splitlines() if line.startswith(("|", "-", "  "))
    )  # before links in sentences
    linked = [
        each
        for each in _LINK.findall(lists) + _LINK.findall(text)
        if "/" not in each or re.fullmatch(r"[\w-]+/index\.md", each)
    ]
    own = sorted(path.name for path in folder.glob("*.md"))
    own += sorted(f"{path.parent.name}/index.md" for path in folder.glob("*/index.md"))
    return [each.removesuffix(".md") for each in dict.fromkeys([*linked, *own]) if each in own and each != "index.md"]


def group_guides(app: App, name: str, template: str, context: dict[str, object], tree: object) -> None:
    """Give the guides in the sidebar the groups that their index has, whose headings a toctree does not know."""
    navigation = str(context.get("furo_navigation_tree", ""))
    for heading, first in groups().items():
        target = "current-page" if name == f"how-to/{first}" else ""
        link = "#" if target else app.builder.get_relative_uri(name, f"how-to/{first}")
        entry = re.compile(rf'<li class="toctree-l2[^"]*{target}"><a class="[^"]*" href="{re.escape(link)}"')
        navigation = entry.sub(rf'<li class="group">{heading}</li>\g<0>', navigation, count=1)
    context["furo_navigation_tree"] = navigation


def groups() -> dict[str, str]:
    """Return the headings of the index of how-to guides, each with the first page below it."""
    sections = (DOCS / "how-to/index.md").read_text("utf-8").split("\n## ")[1:]
    return {each.partition("\n")[0]: _LINK.findall(each)[0].removesuffix(".md") for each in sections}


def with_files(text: str) -> str:
    """Return a page with the files of the repository that it includes. Their links start in another folder."""

    def read(found: re.Match[str]) -> str:
        return _TO_ROOT.sub(_from_docs, (DOCS.parent / found[1]).read_text("utf-8"))

    return _INCLUDED.sub(read, text)


def _from_docs(link: re.Match[str]) -> str:
    opening, folder, target = link.groups()
    return f"{opening}{target}" if folder else f"{opening}{target.lower()}"

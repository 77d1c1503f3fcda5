"""The documentation for language models, next to the built site: an index, and all of it in one file.

    python -m tools.docs.llms build/docs/html

`llms.txt` lists the pages, each of which is there as Markdown too; `llms-full.txt` has them one after the other.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from .python_reference import Plain, expanded
from .site import DOCS, below, with_files

_LINK = re.compile(r"\[([^]]+)\]\([^)]*\)")
_COMMENT = re.compile(r"<!--.*?-->\n*", re.DOTALL)


def pages(name: str = "index") -> Iterator[tuple[str, str]]:
    """Yield the pages with their Markdown, in the order of the site: the name of each, and its text."""
    text = with_files((DOCS / f"{name}.md").read_text("utf-8"))
    yield name, _COMMENT.sub("", expanded(text, Plain()))
    if name == "index" or name.endswith("/index"):
        folder = name.removesuffix("index")
        for each in below(name, text):
            yield from pages(folder + each)


def index(found: dict[str, str]) -> str:
    """Return the list of pages: a section for each part of the documentation, with what each page says first."""
    title, summary = found["index"].split("\n\n")[:2]
    lines = [title, "", f"> {' '.join(summary.split())}", "", "All pages in one file: [llms-full.txt](llms-full.txt)"]
    part = ""
    for name, text in found.items():
        if name.endswith("/index") and name.count("/") == 1:
            lines += ["", f"## {_title(text)}", ""]
            part = name.removesuffix("index")
        elif name != "index":
            if part and not name.startswith(part):
                lines += ["", "## More", ""]
                part = ""
            lines.append(f"- [{_title(text)}]({name}.md){_first_sentence(text)}")
    return "\n".join([*lines, ""])


def write(site: Path) -> None:
    """Write the files into a folder."""
    found = dict(pages())
    for name, text in found.items():
        path = site / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    (site / "llms.txt").write_text(index(found), "utf-8")
    whole = (f"<!-- {name}.md -->\n\n{text.strip()}\n" for name, text in found.items())
    (site / "llms-full.txt").write_text("\n".join(whole), "utf-8")


def _first_sentence(text: str) -> str:
    """Return what a page says of itself, after a colon; empty if it begins with something else than a sentence."""
    paragraph = next((each for each in text.split("\n\n")[1:] if not each.startswith("*Assumes ")), "")
    sentence = _LINK.sub(r"\1", " ".join(paragraph.split())).partition(". ")[0].rstrip(".:")
    return f": {sentence}" if sentence[:1].isalpha() else ""


def _title(text: str) -> str:
    found = re.search(r"^# (.+)$", text, re.MULTILINE)
    assert found, "a page has no title"
    return found[1]


if __name__ == "__main__":
    write(Path(sys.argv[1]))

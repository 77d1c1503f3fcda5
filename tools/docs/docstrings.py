"""Docstrings as Markdown: they are written in it, apart from sections and lists that are marked by indentation."""

import builtins
import re
from collections.abc import Callable, Mapping, Sequence
from textwrap import dedent

SECTIONS = {
    "Args": "Arguments",
    **{name: name for name in ("Attributes", "Returns", "Raises", "Fields", "Oneofs", "Values")},
}
_ITEM = re.compile(r"(?P<names>[^:`]+?)(?: \((?P<kind>[^)]*)\))?: (?P<text>.*)", re.DOTALL)

Link = Callable[[str, str], str]
"""Returns the Markdown for a name: what it is in the section ("Raises", "type"), and the name."""


def plain_link(section: str, name: str) -> str:
    """Return a name as code."""
    return f"`{name}`"


def markdown(docstring: str, link: Link = plain_link) -> str:
    """Return a docstring as Markdown, with a list for each section."""
    return "\n\n".join(_block(block, link) for block in _blocks(dedent(docstring).strip("\n")))


def without_attributes(docstring: str) -> tuple[str, Mapping[str, str]]:
    """Return a docstring without its list of attributes, and the text of each of these."""
    found: dict[str, str] = {}
    kept: list[str] = []
    for block in _blocks(dedent(docstring).strip("\n")):
        items = [_ITEM.fullmatch(each) for each in list_items(block[1:])] if block[0] == "Attributes:" else [None]
        if None in items:
            kept.append("\n".join(block))
        for item in items:
            found |= {name.strip(): item["text"] for name in item["names"].split(",")} if item else {}
    return "\n\n".join(kept), found


def is_builtin(name: str) -> bool:
    """Return whether Python itself has the name."""
    return hasattr(builtins, name)


def _blocks(text: str) -> list[list[str]]:
    """Return the paragraphs, each as its lines. What is indented below a line belongs to it, also after a gap."""
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        if line:
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return [block for block in blocks if block]


def _block(lines: Sequence[str], link: Link) -> str:
    head = [line for line in lines if not line.startswith(" ")]
    section = lines[0].removesuffix(":")
    if section in SECTIONS and len(lines) > 1:
        return f"**{SECTIONS[section]}**\n\n" + "\n".join(_item(item, section, link) for item in list_items(lines[1:]))
    if not head:
        return "```python\n" + dedent("\n".join(lines)) + "\n```"
    if len(head) < len(lines) and not lines[-1].startswith(("-", "*")) and head == list(lines[: len(head)]):
        items = (_item(item, "", link) for item in list_items(lines[len(head) :]))
        return "\n".join(head) + "\n\n" + "\n".join(items)
    return "\n".join(lines)


def list_items(lines: Sequence[str]) -> list[str]:
    """Return the items of a list; a line that is indented further, or that ends in a comma, goes on."""
    items: list[str] = []
    margin = len(lines[0]) - len(lines[0].lstrip())
    for line in lines:
        if not items or (len(line) - len(line.lstrip()) == margin and not items[-1].endswith(",")):
            items.append(line.strip())
        else:
            items[-1] += f"\n{line.strip()}"
    return items


def _item(item: str, section: str, link: Link) -> str:
    found = _ITEM.fullmatch(item)
    if found is None:
        return "- " + item.replace("\n", "\n  ")
    names = [name.strip().strip('"') for name in found["names"].split(",")]
    what = ", ".join(link(section, name) for name in names)
    kind = f" ({link('type', found['kind'])})" if found["kind"] else ""
    return f"- {what}{kind}: " + found["text"].replace("\n", "\n  ")

"""The pages of the documentation: their blocks, titles and links.

A comment just before a block says what is special about it:

    <!-- not run: why -->       Python is not run; commands are parsed, but what they print is not compared
    <!-- run -->                all commands of the block are run, also those whose output is not shown
    <!-- file: name -->         the block is the content of this file, which the page's programs and commands find

A block whose first line is a comment with a file name (`# stack.yaml`) is a file, too.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^ *(```+|~~~+)\s*([\w{}.+-]*)")
_REMARK = re.compile(r"^ *<!-- *(not run|file|run)(?:: *(.*?))? *-->$")
_FILE_NAME = re.compile(r"# ([\w./-]+\.[a-z]+)$", re.MULTILINE)
_LINK = re.compile(r"!?\[(?:[^\[\]]|!?\[[^\[\]]*\](?:\([^()]*\))?)*\]\(<?([^()<>\s]+)>?(?: \"[^\"]*\")?\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the number of its first line, and what the comment before it says."""

    language: str
    text: str
    line: int
    remarks: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def is_run(self) -> bool:
        return "not run" not in self.remarks

    @property
    def file_name(self) -> str | None:
        named = _FILE_NAME.match(self.text)
        return self.remarks.get("file") or (named and named[1])

    @property
    def numbered(self) -> str:
        """The text below as many empty lines as are before it on the page, so that errors name the page's lines."""
        return "\n" * (self.line - 1) + self.text


@dataclass(frozen=True)
class Command:
    """A command after a `$`, with what it prints according to the page."""

    text: str
    output: str
    line: int


@dataclass(frozen=True)
class Page:
    """A page: its name (its path in the repository) and its text."""

    name: str
    text: str

    @property
    def path(self) -> Path:
        return ROOT / self.name

    @cached_property
    def blocks(self) -> list[Block]:
        return [*_blocks(self.text.splitlines())]

    def of(self, *languages: str) -> list[Block]:
        """Return the blocks of some languages."""
        return [block for block in self.blocks if block.language in languages]

    @cached_property
    def prose(self) -> str:
        """The text with its line breaks, but without blocks and pieces of code."""
        lines = self.text.splitlines()
        for block in self.blocks:
            end = block.line + block.text.count("\n")
            lines[block.line - 2 : end] = [""] * (end - block.line + 2)
        return re.sub(r"`[^`\n]*`", "", "\n".join(lines))

    @cached_property
    def anchors(self) -> set[str]:
        """What a link can point to: headings by the rule that GitHub and MyST share, and MyST's explicit targets."""
        count = Counter[str]()
        found = set(re.findall(r"^\(([\w-]+)\)=$", self.text, re.MULTILINE))
        fenced = {line for block in self.blocks for line in range(block.line, block.line + block.text.count("\n"))}
        for number, line in enumerate(self.text.splitlines(), 1):
            title = re.match(r"#{1,6} +(.*?) *#*$", line)
            if title and number not in fenced:
                name = slug(title[1])
                found.add(f"{name}-{count[name]}" if count[name] else name)
                count[name] += 1
        return found

    @cached_property
    def links(self) -> list[str]:
        """The links and pictures that do not lead to another site."""
        found = [*_LINK.findall(self.prose), *re.findall(r"<(?:img|a)\b[^>]*?(?:src|href)=\"([^\"]+)\"", self.prose)]
        found += re.findall(r"^\[[^\]]+\]: +(\S+)", self.prose, re.MULTILINE)
        return [link for link in found if not re.match(r"[a-z]+:", link)]

    def write_files(self, folder: Path) -> None:
        """Write the blocks that are files."""
        for block in self.blocks:
            if block.file_name:
                (folder / block.file_name).parent.mkdir(parents=True, exist_ok=True)
                (folder / block.file_name).write_text(block.text)


def slug(title: str) -> str:
    """Return the anchor of a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def _blocks(lines: list[str]) -> Iterator[Block]:
    opened: tuple[str, str, int] | None = None
    remarks = dict[str, str]()
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if opened is None:
            if fence:
                opened = fence[1], fence[2], number + 1
            elif remark := _REMARK.match(line):
                remarks[remark[1]] = remark[2] or ""
            elif line.strip():
                remarks = {}
        elif fence and fence[1].startswith(opened[0]) and not fence[2]:
            text = "".join(f"{each}\n" for each in lines[opened[2] - 1 : number - 1])
            yield Block(opened[1], text, opened[2], remarks)
            opened, remarks = None, {}
    assert opened is None, f"the block that begins in line {opened and opened[2]} has no end"


def commands(block: Block) -> list[Command]:
    """Return the commands of a console block; a backslash at the end of a line joins it with the next one."""
    found = list[Command]()
    text = re.sub(r" *\\\n> *| *\\\n *", " ", block.text)  # the lines after it count too few, which is close enough
    for number, line in enumerate(text.splitlines(), block.line):
        if line.startswith("$ "):
            found.append(Command(re.sub(r"\s+#\s.*$|\s+&$", "", line[2:]), "", number))
        elif found:
            found[-1] = Command(found[-1].text, f"{found[-1].output}{line}\n", found[-1].line)
    return found


def _pages() -> Iterator[Page]:
    folder = ROOT / "docs"
    paths = [path for path in folder.rglob("*.md") if not path.relative_to(folder).parts[0].startswith(("_", "."))]
    for path in [*ROOT.glob("*.md"), *sorted(paths)]:
        yield Page(str(path.relative_to(ROOT)), path.read_text("utf-8"))


PAGES = {page.name: page for page in sorted(_pages(), key=lambda page: page.name)}
TUTORIAL = "docs/tutorial/index.md"
"""It is run as a whole, by a shell, in `test_tutorial.py`."""

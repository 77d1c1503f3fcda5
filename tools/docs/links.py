"""Check a built site: all it loads and all links inside of it lead somewhere, and it loads nothing from elsewhere.

python -m tools.docs.links build/docs/html
"""

import sys
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

_LINKS: Mapping[str, str] = {
    "a": "href",
    "link": "href",
    **dict.fromkeys(("iframe", "img", "script", "source"), "src"),
}
_ELSEWHERE = ("http:", "https:", "//", "mailto:")


class Page(HTMLParser):
    """The anchors of a page, and its links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors = set[str]()
        self.links: list[tuple[str, str]] = []
        """The element of each, and where it leads."""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        attributes = {name: value or "" for name, value in attrs}
        self.anchors |= {attributes[name] for name in ("id", "name") if name in attributes}
        if attributes.get(_LINKS.get(tag, "")):
            self.links.append((tag, attributes[_LINKS[tag]]))


def problems(site: Path) -> Iterator[str]:
    """Yield a line for each link that leads nowhere, and for whatever is loaded from elsewhere."""
    pages = {path: Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        for tag, link in page.links:
            if link.startswith(_ELSEWHERE):
                if tag != "a":
                    yield f"{path.relative_to(site)}: <{tag}> is loaded from elsewhere: {link}"
            elif not link.startswith("data:") and not _leads_somewhere(path, unquote(link), pages):
                yield f"{path.relative_to(site)}: <{tag}> leads nowhere: {link}"
    for style in sorted(site.rglob("*.css")):
        if any(f"url({quote}{scheme}" in style.read_text("utf-8") for quote in ("", "'", '"') for scheme in _ELSEWHERE):
            yield f"{style.relative_to(site)}: loads something from elsewhere"


def _leads_somewhere(path: Path, link: str, pages: Mapping[Path, Page]) -> bool:
    address, anchor = urldefrag(link)
    file = (path.parent / address.partition("?")[0]).resolve() if address else path
    if not anchor or file not in pages:
        return file.exists()
    return anchor in pages[file].anchors


if __name__ == "__main__":
    found = list(problems(Path(sys.argv[1]).resolve()))
    print("\n".join(found), file=sys.stderr)
    sys.exit(bool(found))

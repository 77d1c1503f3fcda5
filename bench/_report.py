"""Write the figures as JSON, as a table, and as a chart."""

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any
from xml.sax.saxutils import escape

from ._peer import NAME

Row = dict[str, Any]
_LIBRARIES = ("grpcio", "protobuf", "connectrpc", "pyqwest", "httptools", "protobuf-py", "msgspec", "httpx", "openai")
_BEGIN, _END = "<!-- figures -->", "<!-- end of figures -->"
WIDE = 0.1
"""From which spread on a figure is measured again."""
_BAR, _LINE, _LEFT = 420, 24, 190


def write(rows: Sequence[Row], folder: Path) -> None:
    """Write `latest.json`, `latest.md` and `latest.svg`."""
    folder.mkdir(exist_ok=True)
    published = [{key: value for key, value in row.items() if key not in ("at_least", "spread")} for row in rows]
    (folder / "latest.json").write_text(json.dumps(published, indent=2) + "\n")
    (folder / "latest.md").write_text(table(rows))
    (folder / "latest.svg").write_text(chart(rows))


def publish(out: Path, docs: Path) -> None:
    """Copy the latest table into `speed.md`, between its markers, and the latest chart next to it."""
    page = docs / "speed.md"
    before, _, remaining = page.read_text().partition(_BEGIN)
    _, _, after = remaining.partition(_END)
    page.write_text(f"{before}{_BEGIN}\n{(out / 'latest.md').read_text()}{_END}{after}")
    (docs / "speed.svg").write_text((out / "latest.svg").read_text())


def table(rows: Sequence[Row]) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        "| name | value | unit | goal | met | pairs differ by | compared with |",
        "|---|---:|---|---:|---|---:|---|",
    ]
    for row in rows:
        met = "yes" if row["met"] else "**no**"
        noise = f"{row['spread']:.0%}" if row["spread"] else ""
        comparison = row["peer"].removesuffix(NAME).rstrip("; ")
        value = f"{row['value']:.4g} | {row['unit']} | {row['goal']:g}"
        lines.append(f"| `{row['name']}` | {value} | {met} | {noise} | {comparison} |")
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return "\n".join(
        [*lines, "", noise_of(rows), "", f"Server: {NAME}. Python {platform.python_version()}; {libraries}.", ""]
    )


def noise_of(rows: Sequence[Row]) -> str:
    """Return a sentence about how noisy the run was, by how far the pairs of each figure differ."""
    compared = [row for row in rows if row["spread"]]
    wide = [row["name"] for row in compared if row["spread"] > WIDE]
    noise = (
        f"The middle half of the pairs of a figure differs by {median(row['spread'] for row in compared):.0%} typically"
    )
    if not wide:
        return f"{noise}, and by {max(row['spread'] for row in compared):.0%} at most."
    return f"{noise}. It differs by more than {WIDE:.0%}, even in the best of several runs, for: {', '.join(wide)}."


def chart(rows: Sequence[Row]) -> str:
    """Return an SVG chart with a bar per figure; the dashed line is where a goal is just met, and shorter is better."""
    parts = list[str]()
    for index, row in enumerate(rows):
        share = _share(row)
        y = 10 + index * _LINE
        color = "#2f855a" if row["met"] else "#c05621"
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(row["name"])}</text>')
        parts.append(
            f'<rect x="{_LEFT}" y="{y + 2}" width="{min(share, 1.5) * _BAR / 1.5:.0f}" height="16" fill="{color}"/>'
        )
        label = escape(f"{row['value']:.3g} {row['unit']}, goal {row['goal']:g}")
        parts.append(f'<text x="{_LEFT + _BAR + 10}" y="{y + 14}">{label}</text>')
    height, goal = 20 + len(rows) * _LINE, _LEFT + _BAR / 1.5
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _BAR + 290}" height="{height}" '
        'font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}'
        f'<line x1="{goal}" x2="{goal}" y1="6" y2="{height - 6}" stroke="#1a202c" stroke-dasharray="4 3"/></svg>\n'
    )


def _share(row: Row) -> float:
    """Return how much of the goal a figure uses up: 1 if it is just met."""
    value, goal = max(float(row["value"]), 1e-9), max(float(row["goal"]), 1e-9)  # a goal may be 0
    return goal / value if row["at_least"] else value / goal

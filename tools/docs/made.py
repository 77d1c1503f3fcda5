"""The tables in pages: what is between `<!-- made: calls -->` and `<!-- end -->` is made from the code.

They are in the repository, so that pages read well on GitHub, and changes of them are seen in reviews; a test compares
them with the code.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from . import calls, command_line, emulator, errors, settings, telemetry

DOCS = Path(__file__).parents[2] / "docs"
PAGES = DOCS / "reference"
DASHBOARD = DOCS / "grafana-dashboard.json"

TABLES: Mapping[str, Callable[[], str]] = {
    "admin bodies": emulator.bodies,
    "admin routes": emulator.routes,
    "behavior": emulator.behavior,
    "calls": calls.tables,
    "codes": errors.codes,
    "commands": command_line.commands,
    "common options": command_line.common_options,
    "code numbers": errors.numbers,
    "environment": settings.environment,
    "exit codes": command_line.exit_codes,
    "fates": emulator.fates,
    "faults": emulator.faults,
    "metrics": telemetry.table,
    "other errors": errors.others,
    "selection": emulator.selection,
}

_MADE = re.compile(r"(<!-- made: (?P<name>[\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def made(page: str) -> str:
    """Return a page with its tables as they should be."""
    return _MADE.sub(lambda found: f"{found[1]}\n{TABLES[found['name']]()}\n\n{found[3]}", page)


def write() -> None:
    """Write all pages that have tables, and the dashboard."""
    for path in sorted(PAGES.glob("*.md")):
        path.write_text(made(path.read_text("utf-8")), "utf-8")
    DASHBOARD.write_text(telemetry.dashboard_text(), "utf-8")

"""A real IPython without a terminal: what notebooks show of values, and what the cells of a notebook show."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

SETTINGS = Config({"HistoryManager": {"enabled": False}})


def new_shell() -> Any:
    """Return a shell that keeps no history, and leaves this process's `__main__` alone."""
    kind: Any = InteractiveShell
    return kind(config=SETTINGS, user_module=ModuleType("notebook"), user_ns={})


def shown(shell: Any, value: object) -> dict[str, str]:
    """Return what the shell shows of a value, by MIME types."""
    data, _ = shell.display_formatter.format(value)
    return dict(data)


def run(path: Path) -> list[str]:
    """Run the code cells of a notebook; return the HTML of what each ends with, empty if it has none."""
    shell, found = new_shell(), list[str]()
    try:
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                done = shell.run_cell("".join(cell["source"]))
                done.raise_error()
                found.append("" if done.result is None else shown(shell, done.result).get("text/html", ""))
    finally:
        shell.restore_sys_module_state()
    return found

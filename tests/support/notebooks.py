"""A real IPython without a terminal: what notebooks show of values, and the cells of a notebook run.

As a program it runs a notebook: `python -m tests.support.notebooks FILE`, and prints what each cell shows.
"""

import json
import sys
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


def main(path: Path) -> None:
    """Run the code cells of a notebook, and print the HTML of what they end with."""
    shell = new_shell()
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            done = shell.run_cell("".join(cell["source"]))
            done.raise_error()
            if done.result is not None:
                sys.stdout.write(f"{shown(shell, done.result).get('text/html', '')}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""What a stream can show: how wide it is, whether it takes colors and shapes.

rich decides about colors (NO_COLOR, FORCE_COLOR, TERM); without it there are none.
"""

import shutil
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any, TextIO

from ... import config
from ..output import is_terminal

if TYPE_CHECKING:
    from rich.console import Console

SHAPES = "●◐○▲✖◌…⠋"
"""Characters that a stream has to be able to show, or else it gets ASCII."""


class Screen:
    """One of the two streams of the process, as it is now."""

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream
        self.is_terminal = is_terminal(stream)
        self.has_shapes = self.is_terminal and _has_shapes(stream)
        """Whether it is a terminal that shows more than ASCII."""
        self.left_out = dict[str, None]()
        """The titles of columns that did not fit into tables for it, each once."""

    @classmethod
    def of_output(cls) -> "Screen":
        """Return that of standard output."""
        return cls(sys.stdout)

    @classmethod
    def of_talk(cls) -> "Screen":
        """Return that of standard error."""
        return cls(sys.stderr)

    @property
    def width(self) -> int | None:
        """How many characters fit in a line; None if it is no terminal: then nothing is cut."""
        return max(1, shutil.get_terminal_size().columns) if self.is_terminal else None

    @cached_property
    def console(self) -> "Console | None":
        """Return rich's console for it; None without rich, or if it is no terminal and colors are not forced."""
        if self.stream is None or not (self.is_terminal or config.forces_color()):
            return None
        try:
            from rich.console import Console
        except ImportError:
            return None
        return Console(file=self.stream)

    @cached_property
    def _colors(self) -> Any:
        console = self.console
        if console is None or console.color_system is None or console.no_color:
            return None
        from rich.color import ColorSystem

        return ColorSystem.STANDARD

    def paint(self, text: str, style: str) -> str:
        """Return the text in a style of rich's, such as `bold red`, if the stream takes colors."""
        if not style or self._colors is None:
            return text
        from rich.style import Style

        return Style.parse(style).render(text, color_system=self._colors)


def _has_shapes(stream: TextIO | None) -> bool:
    try:
        SHAPES.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True

"""What a table is shown on, as far as tables have to know: a terminal, a pipe, a notebook."""

from dataclasses import dataclass, field
from typing import Protocol


class Display(Protocol):
    """Where a table is shown."""

    @property
    def left_out(self) -> dict[str, None]:
        """The titles of columns that did not fit, each once."""
        ...

    @property
    def width(self) -> int | None:
        """How many characters fit in a line; None: as many as there are."""
        ...

    @property
    def has_shapes(self) -> bool:
        """Whether it shows more than ASCII."""
        ...

    def paint(self, text: str, style: str) -> str:
        """Return the text in a style of rich's, such as `bold red`, if it has colors."""
        ...


@dataclass(frozen=True)
class PlainDisplay:
    """A display without colors, on which everything fits.

    Attributes:
        has_shapes: whether it shows more than ASCII.
    """

    has_shapes: bool = False
    left_out: dict[str, None] = field(default_factory=dict[str, None])

    @property
    def width(self) -> None:
        """As many characters as there are."""
        return None

    def paint(self, text: str, style: str) -> str:
        """Return the text as it is."""
        return text

"""A number of requests at once, or `auto`."""

import click

from .converter import Converter

MOST = 10_000
"""How many requests `auto` has in flight at most."""


class CountOrAuto(Converter[int | str]):
    """The type of an option that takes a whole number or `auto`."""

    name = "count"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Return the number, or "auto"."""
        if value == "auto":
            return "auto"
        try:
            return int(str(value))
        except ValueError:
            self.fail(f"expected a whole number or auto, got {value!r}", param, ctx)


COUNT_OR_AUTO = CountOrAuto()

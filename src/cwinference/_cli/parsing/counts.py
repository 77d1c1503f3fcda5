"""A number of requests at once, or `auto`; one of several parts of them."""

import re

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


class ShardOf(Converter[tuple[int, int]]):
    """The type of an option that takes K/N."""

    name = "shard"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Return the two numbers."""
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", str(value))
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            self.fail(f"expected K/N, the K-th of N parts, from 1/N to N/N, got {value!r}", param, ctx)
        return int(found[1]), int(found[2])


SHARD = ShardOf()

"""`--wait[=DURATION]`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import click

from .converter import Converter
from .durations import DURATION
from .options import CommandT


class Wait(NamedTuple):
    """That something shall be awaited, and for how long at most; None for the default of what is awaited."""

    seconds: float | None


class _WaitType(Converter[Wait]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Wait:
        if isinstance(value, Wait):
            return value
        return Wait(None if value == "" else DURATION.convert(value, param, ctx))


class WaitOption(click.Option):
    """The option; its value is a `Wait`, or None if it was not given."""

    has_optional_value = True

    def __init__(self, *declarations: Any, **how: Any) -> None:
        super().__init__(["--wait"], type=_WaitType(), metavar="[=DURATION]", **how)


def wait_option(help: str) -> Callable[[CommandT], CommandT]:
    """Return a decorator that adds the option."""
    return click.option("--wait", cls=WaitOption, help=help)

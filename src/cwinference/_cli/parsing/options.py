"""Options that many commands share. They put their values into the `Run`, before or after the name of the command."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from .. import output
from .durations import DURATION
from .suggestions import did_you_mean

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

FORMS = ("table", "wide", "json", "yaml", "name", "ndjson")


class Word(click.Choice[str]):
    """One of several words. `-o=json` is understood as `-o json`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word; of one that does not exist, say which may have been meant."""
        word = str(value).removeprefix("=")
        if word not in self.choices:
            self.fail(f"there is no {word}{did_you_mean(word, self.choices, choose=True)}", param, ctx)
        return word


def settings_options(timeout: str = "Limit of each call, such as 90, 90s or 2m (30).") -> list[click.Option]:
    """Return the options of every command: how to reach the API, and how much to say.

    Args:
        timeout: what `--timeout` limits, for its help.
    """
    return [
        _setting("--token-file", "FILE", "File that contains the token (else COREWEAVE_API_TOKEN, CW_API_TOKEN)."),
        _setting("--endpoint", "URL", "URL of the API (else COREWEAVE_API_ENDPOINT, CW_BASE_URL)."),
        _setting("--transport", None, "How to reach it (rest).", type=Word(("rest", "connect", "grpc"))),
        _setting("--timeout", "DURATION", timeout, type=DURATION),
        _setting("--ca", "FILE", "Certificate authorities to trust instead of the usual ones, in PEM."),
        _setting("--proxy", "URL", "Proxy to use (else that of the environment)."),
        _setting("--quiet", None, "Print data and errors only.", names=("-q",), is_flag=True),
        _setting("--debug", None, "Log calls, and show the traceback of an unexpected error.", is_flag=True),
    ]


def output_options(*forms: str) -> Callable[[CommandT], CommandT]:
    """Return a decorator that adds `-o`, with the forms that a command has; the first one is the default."""
    choices = forms or FORMS

    def decorate(function: CommandT) -> CommandT:
        return click.option(
            "-o",
            "--output",
            type=Word(choices),
            metavar="FORM",
            expose_value=False,
            callback=_keep("form"),
            help=f"Form of the output: {', '.join(choices)} ({choices[0]}).",
        )(function)

    return decorate


def table_options(function: CommandT) -> CommandT:
    """Add `--sort-by` and `--columns`."""
    for name, metavar, text in (
        ("--columns", "A,B", "Columns of the table, in this order."),
        ("--sort-by", "COLUMN", "Column to sort by; -COLUMN in reverse."),
    ):
        keep = _keep(name.removeprefix("--").replace("-", "_"))
        function = click.option(name, metavar=metavar, expose_value=False, callback=keep, help=text)(function)
    return function


def help_option() -> click.Option:
    """Return `--help`, which prints also where standard output is closed or full."""

    def show(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
        if wanted and not context.resilient_parsing:
            output.say(context.get_help())
            context.exit()

    return click.Option(
        ["-h", "--help"], is_flag=True, is_eager=True, expose_value=False, callback=show, help="Show this and exit."
    )


def _setting(name: str, metavar: str | None, help: str, *, names: Sequence[str] = (), **how: Any) -> click.Option:
    attribute = name.removeprefix("--").replace("-", "_")
    return click.Option(
        [*names, name, f"setting_{attribute}"],
        metavar=metavar,
        help=help,
        expose_value=False,
        callback=_keep(attribute),
        **how,
    )


def _keep(attribute: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Return a callback that puts a value that was given into the `Run`."""

    def keep(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        if value not in (None, False) and context.obj is not None:
            setattr(context.obj, attribute, value)
        return value

    return keep

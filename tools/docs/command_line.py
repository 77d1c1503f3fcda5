"""The command line: every command, argument and option, from the click commands themselves."""

import inspect
import re
from collections.abc import Iterator, Mapping

import click

from cwinference._cli import exit_codes as codes
from cwinference._cli.commands import ALIASES, root
from cwinference._cli.parsing.options import help_option, settings_options

from .tables import table

MEANINGS: Mapping[str, str] = {
    "OTHER": "an error of the API, or an unexpected one",
    "USAGE": "wrong usage: an argument, an option, a file",
    "NOT_FOUND": "there is no such resource",
    "CREDENTIALS": "no token, or one that is refused or lacks a permission",
    "CONFLICT": "a conflict, or a precondition that is not met",
    "TIME_OVER": "the time is over",
    "RESOURCE_FAILED": "the resource is FAILED, or will not become ready",
    "CHANGES": "`plan --exit-code` only: there is something to do",
    "INTERRUPTED": "interrupted by Ctrl-C",
}


def exit_codes() -> str:
    """Return the table of exit codes."""
    rows = [("0", "done")]
    rows += [(str(value), MEANINGS[name]) for name, value in vars(codes).items() if name.isupper()]
    return table(("exit code", "means"), rows)


def common_options() -> str:
    """Return the table of the options that all commands have that call the API."""
    options = [*settings_options(), help_option()]
    context = click.Context(click.Command("cwinference", params=[*options]))
    return table(("option", "what it does"), (_row(each, context) for each in options))


def commands() -> str:
    """Return a section for each command."""
    return "\n\n".join(_sections(root(), "cwinference"))


def every_command(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield all commands below a group, with the words that call them."""
    context = click.Context(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from every_command(command, f"{path} {name}")


def _sections(group: click.Group, path: str) -> Iterator[str]:
    for words, command in every_command(group, path):
        context = click.Context(command, info_name=words)
        shared = {option.name for option in (*settings_options(), help_option())}
        options = [each for each in command.params if isinstance(each, click.Option) and each.name not in shared]
        options = [each for each in options if not each.hidden]
        level = "#" * min(1 + words.count(" "), 4)
        yield f"{level} {words.removeprefix('cwinference ')}"
        yield _text(command)
        short = next((short for short, name in ALIASES.items() if words == f"cwinference {name}"), None)
        if short:
            yield f"`{short}` is short for `{words.removeprefix('cwinference ')}`."
        if not isinstance(command, click.Group) or options:
            usage = re.sub(r"\s+", " ", f"{words} {' '.join(command.collect_usage_pieces(context))}")
            yield f"```text\n{usage}\n```"
        if options:
            yield table(("option", "what it does"), (_row(each, context) for each in options))


def _text(command: click.Command) -> str:
    """Return a command's help as Markdown."""
    text = inspect.cleandoc(command.help or "").partition("\f")[0]
    blocks = text.split("\n\n")
    shown = (f"```text\n{each[2:]}\n```" if each.startswith("\b\n") else each for each in blocks)
    return "\n\n".join(shown)


def _row(option: click.Option, context: click.Context) -> tuple[str, str]:
    """Return an option, with what follows it, and its help."""
    record = option.get_help_record(context)
    assert record is not None
    names, text = record
    if getattr(option, "has_optional_value", False):
        names = names.replace(" [=", "[=")
    return f"`{names}`", text

"""Groups of commands, and what all commands have in common: settings, help, and errors that suggest what was meant."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import click

from .. import output
from .options import help_option, settings_options
from .suggestions import did_you_mean, similar


def _normalized(name: str) -> str:
    """Return the name of an option or command as it is defined: `-` and `_` are the same."""
    return name.replace("_", "-")


CONTEXT: dict[str, Any] = {"token_normalize_func": _normalized, "max_content_width": 100}


COMPLETION_VARIABLE = "_CWINFERENCE_COMPLETE"
"""By which a shell asks for completions."""


class LazyCommand(NamedTuple):
    """A command that is loaded when it is needed."""

    module: str
    """The module that has it in its attribute `command`, or a function that makes it from the name."""
    help: str
    """A line for the help of the group, which loads no command."""


class Command(click.Command):
    """A command that takes the shared settings among its own options.

    A usage error is a line of what is wrong, with what may have been meant.

    Args:
        has_settings: False for a command that does not call the API.
        timeout: what `--timeout` limits, for its help, where that is something else than each call.
    """

    def __init__(self, name: str | None, *, has_settings: bool = True, timeout: str = "", **how: Any) -> None:
        options: Sequence[click.Parameter] = how.pop("params", None) or []
        shared = settings_options(*[timeout] if timeout else []) if has_settings else []
        super().__init__(
            name,
            params=[*options, *shared, help_option()],
            context_settings=CONTEXT,
            add_help_option=False,
            **how,
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments. Of an option that does not exist, say which may have been meant."""
        try:
            return super().parse_args(ctx, with_optional_values(self, args))
        except click.NoSuchOption as error:
            raise _no_such_option(error, ctx, self) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and remember its name for the errors."""
        if ctx.obj is not None:
            ctx.obj.path = ctx.command_path
            words = ctx.params.get("names") or [ctx.params.get("name") or ""]
            group = ctx.parent.command.name if ctx.parent is not None and ctx.parent.parent is not None else ""
            ctx.obj.subject = (group or "", words[0])
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options: the command's own before those that all commands have."""
        shared = {each.name for each in (*settings_options(), help_option())}
        for title, is_shared in (("Options", False), ("Settings", True)):
            records = [
                record
                for each in self.get_params(ctx)
                if isinstance(each, click.Option) and (each.name in shared) is is_shared
                if (record := _help_record(each, ctx)) is not None
            ]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records, col_max=34)


def _help_record(option: click.Option, context: click.Context) -> tuple[str, str] | None:
    """Return the lines of an option in the help. What may follow a `=` only is shown right behind the name."""
    record = option.get_help_record(context)
    if record is None or not getattr(option, "has_optional_value", False):
        return record
    return record[0].replace(" [=", "[="), record[1]


class LazyGroup(click.Group):
    """A group whose commands are loaded when they are needed; its help loads none."""

    def __init__(
        self,
        name: str,
        entries: Mapping[str, LazyCommand],
        aliases: Mapping[str, str] | None = None,
        other_names: Mapping[str, str] | None = None,
        **how: Any,
    ) -> None:
        params = [*how.pop("params", ()), *settings_options(), help_option()]
        super().__init__(
            name,
            params=params,
            context_settings=CONTEXT,
            add_help_option=False,
            invoke_without_command=True,
            callback=_print_help,
            **how,
        )
        self._entries = entries
        self._aliases = aliases or {}
        self._other_names = other_names or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the table."""
        return [*self._entries]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        name = {**self._aliases, **self._other_names}.get(cmd_name, cmd_name)
        entry = self._entries.get(name)
        if entry is None:
            return None
        return self.load(entry, name)

    def load(self, entry: LazyCommand, name: str) -> click.Command:
        """Load a command of the table."""
        found: click.Command | Callable[[str], click.Command] = importlib.import_module(entry.module).command
        return found if isinstance(found, click.Command) else found(name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is named first. Of one that does not exist, say which may have been meant."""
        name = _normalized(args[0])
        if self.get_command(ctx, name) is None:
            words = similar(name, [*self._entries, *self._aliases])
            hint = did_you_mean(name, words) or f"; choose from {', '.join(self._entries)}"
            raise click.UsageError(f"no such command: {args[0]}{hint}", ctx)
        return super().resolve_command(ctx, [name, *args[1:]])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments before the command."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise _no_such_option(error, ctx, self) from None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands, without loading them, and then the options."""
        short = {name: alias for alias, name in self._aliases.items()}
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (f"{name}, {short[name]}" if name in short else name, each.help)
                    for name, each in self._entries.items()
                ]
            )
        records = [each.get_help_record(ctx) for each in self.get_params(ctx)]
        with formatter.section("Options, before or after the command"):
            formatter.write_dl([each for each in records if each is not None], col_max=34)


def innermost(group: click.Group, arguments: list[str]) -> click.Context:
    """Return the context of the command that the arguments name, without running it."""
    from ..run import Run

    context = group.make_context(group.name, arguments, obj=Run())
    while isinstance(context.command, click.Group):
        left = [*context._protected_args, *context.args]  # pyright: ignore[reportPrivateUsage]
        name, command, left = context.command.resolve_command(context, left)
        if command is None:
            break
        context = command.make_context(name, left, parent=context)
    return context


def complete(group: click.Group, run: object) -> bool:
    """Print completions if a shell asks for them, and return whether it does; `run` gets the settings on the line."""
    try:
        group._main_shell_completion({"obj": run}, "cwinference", COMPLETION_VARIABLE)  # pyright: ignore[reportPrivateUsage]
    except SystemExit:
        return True
    return False


def with_optional_values(command: click.Command, arguments: list[str]) -> list[str]:
    """Return the arguments with `--wait=` in place of `--wait`, for options whose value can only follow a `=`.

    Otherwise such an option would take the next argument for its value.
    """
    names = {name for each in command.params if getattr(each, "has_optional_value", False) for name in each.opts}
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return [f"{each}=" if _normalized(each) in names and place < end else each for place, each in enumerate(arguments)]


def _no_such_option(error: click.NoSuchOption, context: click.Context, command: click.Command) -> click.UsageError:
    names = [
        name for each in command.params if isinstance(each, click.Option) for name in each.opts if name[:2] == "--"
    ]
    return click.UsageError(f"no such option: {error.option_name}{did_you_mean(error.option_name, names)}", context)


@click.pass_context
def _print_help(context: click.Context) -> None:
    if context.invoked_subcommand is None:
        output.say(context.get_help())

"""`wait` and `watch`."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from ..._tables.layout import width_of
from ..._tables.states import state_label, state_style
from ..._text import one_line
from ...messages import to_dict
from ...status import state_text, unmet
from ..exit_codes import INTERRUPTED, NOT_FOUND
from ..failures import CommandError
from ..output import as_json
from ..parsing.durations import DURATION
from ..parsing.groups import Command
from ..parsing.options import output_options
from ..printing.screen import Screen
from ..run import Run
from .kinds import DEPLOYMENTS, GATEWAYS, HOT_LOADS, Kind, name_of
from .names import by_id, find, find_all, gateway_option, is_single, names_argument, with_input
from .show import note_what_binary_lacks, show
from .waiting import until_gone, until_ready


def wait_command(kind: Kind) -> click.Command:
    """Return `wait` for a kind."""
    goal = "COMPLETED" if kind is HOT_LOADS else "READY"

    @names_argument
    @click.option("--for", "seconds", type=DURATION, help="How long at most: 90, 90s, 10m, 1h.")
    @output_options()
    @click.pass_obj
    def command(run: Run, /, names: list[str], seconds: float | None, deleted: bool = False) -> int:
        given = with_input(names)
        words = by_id(kind, (_still_there if deleted else find_all)(run, kind, given), given)
        if deleted:
            until_gone(run, kind, words, seconds)
            return 0
        ready, code = until_ready(run, kind, words, seconds)
        if ready:
            show(run, kind, ready, single=is_single(names))
        return code

    if kind is not HOT_LOADS:
        command = click.option("--deleted", is_flag=True, help="Wait until they are gone, instead of READY.")(command)
    text = f"Wait until {kind.one}s are {goal}. It ends at once with code 7 when one has failed, and with 6 at the end."
    return click.command("wait", cls=Command, help=text)(command)


def watch_command(kind: Kind) -> click.Command:
    """Return `watch` for a kind."""

    @click.argument("names", metavar="[NAME...]", nargs=-1)
    @output_options("table", "ndjson", "json", "name")
    @click.pass_obj
    def command(run: Run, /, names: Sequence[str], gateway: str | None = None) -> None:
        wanted = {each.spec.id for each in find_all(run, kind, names)} if names else None
        scope = {} if gateway is None else {"parent_gateway_id": find(run, GATEWAYS, gateway).spec.id}

        def report(error: Exception) -> None:
            run.note(one_line(str(error)))

        lines = _Lines()
        note_what_binary_lacks(run, [kind])
        try:
            for change in kind.methods(run).watch(on_error=report, **scope):
                if change.type == "synced":
                    run.note("these are all that there are; now it prints what changes (Ctrl-C ends it)")
                elif wanted is None or change.resource.spec.id in wanted:
                    run.say(_change_text(run, change, lines))
        except KeyboardInterrupt:
            scoped = [] if gateway is None else ["--gateway", gateway]
            again = shlex.join(["cwinference", kind.command, "watch", *names, *scoped])
            run.note(f"interrupted; to go on watching: {one_line(again)}")
            raise click.exceptions.Exit(INTERRUPTED) from None

    if kind is DEPLOYMENTS:
        command = gateway_option(command)
    text = f"Print {kind.one}s as they are, and then each change, until Ctrl-C. With -o ndjson, each is a JSON object."
    return click.command("watch", cls=Command, help=text)(command)


def _still_there(run: Run, kind: Kind, names: Sequence[str]) -> list[Any]:
    """Return the resources that are still there."""
    found = list[Any]()
    for each in names:
        try:
            found.append(find(run, kind, each))
        except CommandError as error:
            if error.code != NOT_FOUND:
                raise
            run.note(f"{one_line(each)}: is gone")
    return found


class _Lines:
    """The lines of changes, in columns that get wider when they have to."""

    def __init__(self) -> None:
        self._widths = [16, 10]

    def of(self, change: Any) -> str:
        """Return the line of a change."""
        screen, resource = Screen.of_output(), change.resource
        time = datetime.now(UTC).strftime("%H:%M:%SZ")
        name, state, details = one_line(name_of(resource)), state_label(resource, screen), _details(change)
        self._widths = [max(pair) for pair in zip(self._widths, map(width_of, (name, state)), strict=True)]
        gaps = [" " * (wide - width_of(text)) for wide, text in zip(self._widths, (name, state), strict=True)]
        painted = screen.paint(state, state_style(resource))
        return f"{time}  {change.type:7}  {name}{gaps[0]}  {painted}{gaps[1] if details else ''}{details}"


def _change_text(run: Run, change: Any, lines: _Lines) -> str:
    if run.form in ("json", "ndjson"):
        found: dict[str, Any] = {"type": change.type, "kind": change.kind, "resource": to_dict(change.resource)}
        if change.before is not None:
            found["before"] = to_dict(change.before)
        return as_json(found, indent=None)
    if run.form == "name":
        return one_line(name_of(change.resource))
    return lines.of(change)


def _details(change: Any) -> str:
    """Return what else is worth to be said of a change."""
    details = list[str]()
    if change.before is not None and state_text(change.before) != state_text(change.resource):
        details.append(f"was {state_text(change.before)}")
    if change.before is not None and change.before.spec != change.resource.spec:
        details.append("spec changed")
    if change.type != "removed" and any(each.status != 2 for each in change.resource.status.conditions):
        details.append(unmet(change.resource))
    return f"  {one_line('; '.join(details))}" if details else ""

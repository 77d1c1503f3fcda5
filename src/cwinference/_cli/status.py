"""`cwinference status`: gateways, their deployments, and capacity claims, at a glance."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from .._text import one_line
from ..messages import to_dict
from .exit_codes import INTERRUPTED
from .parsing.groups import Command
from .parsing.options import output_options, table_options
from .printing.forms import names_text, ndjson_text, yaml_text
from .printing.screen import Screen
from .resources.kinds import KINDS
from .resources.show import note_what_binary_lacks
from .resources.tree import Inventory, status_text

if TYPE_CHECKING:
    from rich.text import Text

    from .run import Run


@click.command("status", cls=Command)
@click.option("--watch", "watches", is_flag=True, help="Keep it live, until Ctrl-C.")
@output_options()
@table_options
@click.pass_obj
def command(run: "Run", /, watches: bool) -> None:
    """Show gateways, their deployments and capacity claims at a glance.

    The weight of a deployment is followed by its share of the requests for its model on that gateway.
    """
    note_what_binary_lacks(run, KINDS.values())
    if watches:
        _watch(run)
        return
    client = run.client
    _print(run, Inventory(client.gateways.list(), client.deployments.list(), client.capacity_claims.list()))


def _print(run: "Run", now: Inventory) -> None:
    match run.form:
        case "json":
            kinds: Mapping[str, Sequence[Any]]
            kinds = {"gateways": now.gateways, "deployments": now.deployments, "capacityClaims": now.claims}
            run.document({name: [to_dict(each) for each in found] for name, found in kinds.items()}, str)
        case "yaml":
            from ..stacks._entries import stack_document

            names = {each.spec.id: each.spec.name for each in now.gateways}
            run.say(yaml_text(stack_document(now.everything, names)))
        case "name":
            if now.everything:
                run.say(names_text(each.spec.name for each in now.everything))
        case "ndjson":
            kinds = {"gateway": now.gateways, "deployment": now.deployments, "capacity_claim": now.claims}
            if now.everything:
                run.say(ndjson_text({"kind": name, **to_dict(each)} for name, found in kinds.items() for each in found))
        case _:
            screen = Screen.of_output()
            text = status_text(run, now, screen)
            if now.everything:
                run.say(text)
            else:
                run.note("no gateways, deployments or capacity claims")
            if screen.left_out:
                titles = ", ".join(screen.left_out)
                run.note(f"columns that do not fit here: {titles} (-o wide shows all, --columns some)")


def _watch(run: "Run") -> None:
    """Keep the status live on a terminal; otherwise print it anew whenever something has changed."""
    found: dict[str, dict[str, Any]] = {"gateway": {}, "deployment": {}, "capacity_claim": {}}
    waiting = {*found}

    def now() -> Inventory:
        return Inventory(*([*each.values()] for each in found.values()))

    def report(error: Exception) -> None:
        run.note(one_line(str(error)))

    try:
        with _live(run, lambda: None if waiting else now()) as is_live:
            for change in run.client.watch(on_error=report):
                if change.resource is None:
                    waiting.discard(change.kind)
                elif change.type == "removed":
                    found[change.kind].pop(change.resource.spec.id, None)
                else:
                    found[change.kind][change.resource.spec.id] = change.resource
                if not waiting and not is_live:
                    _print(run, now())
    except KeyboardInterrupt:
        run.note("interrupted; to go on watching: cwinference status --watch")
        raise click.exceptions.Exit(INTERRUPTED) from None


@contextmanager
def _live(run: "Run", now: Callable[[], Inventory | None]) -> Generator[bool]:
    """Draw the status again and again on a terminal; yield whether it does."""
    screen = Screen.of_output()
    console = screen.console if screen.is_terminal and run.form in (None, "table", "wide") else None
    if console is None:
        yield False
        return
    from rich.live import Live

    with Live(_Picture(run, now, screen), console=console, refresh_per_second=2):
        yield True


class _Picture:
    """The status as it is now, made anew whenever it is drawn: as much of it as there are lines."""

    def __init__(self, run: "Run", now: Callable[[], Inventory | None], screen: Screen) -> None:
        self._run = run
        self._now = now
        self._screen = screen

    def __rich__(self) -> "Text":
        from rich.text import Text

        now, console = self._now(), self._screen.console
        text = "reading..." if now is None else status_text(self._run, now, self._screen)
        height = console.size.height if console is not None else 24
        return Text.from_ansi("\n".join(text.split("\n")[: max(1, height - 1)]), no_wrap=True, overflow="crop")

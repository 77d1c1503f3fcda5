"""The commands of `cwinference rollout`."""

import logging
import shlex
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ... import errors
from ..._text import one_line
from ..exit_codes import CONFLICT, INTERRUPTED, OTHER, TIME_OVER
from ..failures import CommandError, text_of
from ..parsing.converter import Converter
from ..parsing.durations import DURATION, PAUSE
from ..parsing.groups import Command
from ..parsing.options import output_options

if TYPE_CHECKING:
    from ...rollout import Gate, Outcome, Rollout, Step
    from ..run import Run

_CODES: Mapping[str, int] = {"promoted": 0, "reverted": OTHER, "paused": TIME_OVER}


def command(name: str) -> click.Command:
    """Return one of the commands."""
    return {"start": _start, "status": _status, "resume": _resume, "revert": _revert}[name]


class _Steps(Converter[Sequence[float]]):
    """Shares in percent."""

    name = "steps"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Sequence[float]:
        try:
            found = [float(each.strip().removesuffix("%")) for each in str(value).split(",")]
        except ValueError:
            self.fail(f"expected shares in percent, such as 1,5,25,100, got {value!r}", param, ctx)
        return [int(each) if each.is_integer() else each for each in found]


def _journal_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the journal, as an argument or, as in `start`, by an option."""
    function = click.option("--journal", "option", metavar="FILE", help="The same as JOURNAL.")(function)
    return click.argument("journal", required=False)(function)


def _gate_options(function: Callable[..., Any]) -> Callable[..., Any]:
    function = click.option(
        "--gate-timeout", type=DURATION, default=60.0, metavar="DURATION", help="How long the gate may take (60)."
    )(function)
    return click.option(
        "--gate",
        metavar="COMMAND",
        help="Program that decides after each step: exit code 0 continues, 1 reverts, 2 waits. It gets the step as "
        "JSON on standard input. Without it, a step passes when both deployments are READY.",
    )(function)


@click.command("start", cls=Command)
@click.argument("new")
@click.option("--replaces", required=True, metavar="NAME", help="Name or id of the deployment that has the traffic.")
@click.option("--journal", required=True, metavar="FILE", help="File for what is needed to go on, and to go back.")
@click.option("--steps", type=_Steps(), default="1,5,25,100", metavar="PERCENT,...", help="Shares (1,5,25,100).")
@click.option("--soak", type=PAUSE, default=60.0, metavar="DURATION", help="Time between a step and its gate (60).")
@click.option("--patience", type=PAUSE, default=600.0, metavar="DURATION", help="How long a gate may wait (10m).")
@_gate_options
@output_options("table", "json", "yaml")
@click.pass_obj
def _start(
    run: "Run",
    /,
    new: str,
    replaces: str,
    journal: str,
    steps: Sequence[float],
    soak: float,
    patience: float,
    gate: str | None,
    gate_timeout: float,
) -> int:
    """Move the traffic of a model to the deployment NEW, step by step.

    Both deployments have to be READY and to serve the same model on the same gateway.
    """
    asked = _gate(gate, gate_timeout)
    rollout = run.client.rollout(
        new, replaces=replaces, journal=journal, steps=steps, soak=soak, patience=patience, gate=asked
    )
    return _run(run, rollout, asked)


@click.command("resume", cls=Command)
@_journal_argument
@_gate_options
@output_options("table", "json", "yaml")
@click.pass_obj
def _resume(run: "Run", /, journal: str | None, option: str | None, gate: str | None, gate_timeout: float) -> int:
    """Go on with the rollout of a JOURNAL that was paused, interrupted or killed."""
    from ...rollout import Rollout

    asked = _gate(gate, gate_timeout)
    return _run(run, Rollout.resume(run.client, _path(journal, option), asked), asked)


@click.command("revert", cls=Command)
@_journal_argument
@output_options("table", "json", "yaml")
@click.pass_obj
def _revert(run: "Run", /, journal: str | None, option: str | None) -> None:
    """Restore the weights, autoscaling and disabled of both deployments as they were before, also after a promotion."""
    from ...rollout import Rollout

    rollout = Rollout.resume(run.client, _path(journal, option))
    with _explained(rollout.journal):
        _say(run, rollout, rollout.revert())


@click.command("status", cls=Command)
@_journal_argument
@output_options("table", "json", "yaml")
@click.pass_obj
def _status(run: "Run", /, journal: str | None, option: str | None) -> None:
    """Show how far the rollout of a JOURNAL has come, whether it is being run, and the weights now."""
    from ...rollout._rollout import progress_of

    path = _path(journal, option)
    found = progress_of(path)
    for side in ("new", "old"):
        try:
            deployment = run.client.deployments.get(found[side]["id"])
        except errors.NotFound:
            found[side] |= {"weight": None, "state": "gone"}
        else:
            from ...status import state_text

            found[side] |= {"weight": deployment.spec.traffic.weight, "state": state_text(deployment)}
    run.document(found, lambda: _text(found))


def _text(found: Mapping[str, Any]) -> str:
    note = f" ({found['note']})" if found["note"] else ""
    phase = found["phase"]
    if found["isRun"] is False:
        phase = {"running": "unfinished, not running", "reverting": "revert unfinished, not running"}.get(phase, phase)
    lines = [f"{phase}{note}, step {found['step']} of {found['of']} ({found['percent']:g} %)"]
    for side in ("new", "old"):
        each = found[side]
        weight = "gone" if each["weight"] is None else f"weight {each['weight']}, {each['state']}"
        lines.append(f"{each['name']} ({side}): {weight}; weight {each['formerWeight']} before")
    return "\n".join(map(one_line, lines))


def _path(journal: str | None, option: str | None) -> str:
    found = journal or option
    if found is None or (journal and option and journal != option):
        raise click.UsageError("expected one JOURNAL: the file that `rollout start` was given")
    return found


class _Gate:
    """The program of `--gate`. What it raises has paused the rollout, and is no wrong usage."""

    def __init__(self, command: str, gate: "Gate") -> None:
        self.command = command
        self._gate = gate
        self.raised: Exception | None = None

    def __call__(self, step: "Step") -> Any:
        try:
            return self._gate(step)
        except Exception as error:
            self.raised = error
            raise


def _gate(command: str | None, timeout: float) -> _Gate | None:
    if command is None:
        return None
    from ...rollout import gates

    try:
        words = shlex.split(command)
    except ValueError as error:
        raise click.UsageError(f"--gate: {error}") from None
    if not words:
        raise click.UsageError("--gate: expected a program and its arguments, got nothing")
    try:
        return _Gate(command, gates.command(words, timeout=timeout))
    except errors.ConfigurationError as error:
        raise click.UsageError(f"--gate: {str(error).removeprefix('arguments: ')}") from None


def _run(run: "Run", rollout: "Rollout[Any]", gate: _Gate | None) -> int:
    same_gate = "" if gate is None else f" --gate {shlex.quote(gate.command)}"  # the journal does not contain it
    to_go_on = one_line(f"to go on: {_again('resume', rollout.journal)}{same_gate}")
    ways = f"{to_go_on}; to go back: {_again('revert', rollout.journal)}"

    def report(step: "Step") -> None:
        run.note(str(step))

    with _explained(rollout.journal), _warnings(run):
        try:
            outcome = rollout.run(on_step=report)
        except KeyboardInterrupt:
            run.note("interrupted; the weights stay as they are")
            run.note(ways)
            raise click.exceptions.Exit(INTERRUPTED) from None
        except Exception as error:
            if gate is None or error is not gate.raised:
                raise
            raise CommandError(f"{text_of(error)}; the rollout is paused", code=OTHER, advice=ways) from error
        _say(run, rollout, outcome)
    if outcome == "paused":
        run.note(ways)
    return _CODES[outcome]


class _RolloutLogHandler(logging.Handler):
    """Prints warnings of a rollout."""

    def __init__(self, run: "Run") -> None:
        super().__init__(logging.WARNING)
        self._run = run

    def emit(self, record: logging.LogRecord) -> None:
        self._run.note(one_line(f"warning: {record.getMessage().removeprefix('rollout: ')}"))


@contextmanager
def _warnings(run: "Run") -> Generator[None]:
    """Print what a rollout warns of, unless `--debug` prints all."""
    log = logging.getLogger("cwinference")
    handler = _RolloutLogHandler(run)
    if not run.debug:
        log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


def _say(run: "Run", rollout: "Rollout[Any]", outcome: "Outcome") -> None:
    run.document({"outcome": outcome, "journal": rollout.journal}, lambda: outcome)


@contextmanager
def _explained(journal: str) -> Generator[None]:
    """Say how to go back when somebody else has changed something."""
    try:
        yield
    except errors.Conflict as error:
        from ...rollout._checks import HOW_TO_REVERT

        advice = f"to go back: {_again('revert', journal)}"
        text = str(error).removesuffix(HOW_TO_REVERT)
        raise CommandError(one_line(text), code=CONFLICT, advice=advice) from None


def _again(what: str, journal: str) -> str:
    return one_line(f"cwinference rollout {what} {shlex.quote(journal)}")

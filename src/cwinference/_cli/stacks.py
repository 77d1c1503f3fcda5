"""`cwinference plan`, `apply` and `export`: stacks in files."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from .._text import one_line, printable, reason_of
from ..errors import ConfigurationError
from ..stacks import Plan, PlanStep, Stack
from ..stacks._files import parse_document
from ..stacks._operations import check_applicable, check_secrets
from .exit_codes import CHANGES, INTERRUPTED, USAGE
from .failures import CommandError, code_of, text_of
from .output import as_json, means_json
from .parsing.groups import Command
from .parsing.options import output_options
from .parsing.waits import Wait, wait_option
from .printing.progress import WaitProgress
from .standard_input import read_input

if TYPE_CHECKING:
    from .run import Run

_PRUNE = "Delete what has a name with this prefix and is not in FILE."
_SECRETS = "Write secrets also where nothing shows whether they have changed."


@click.command("plan", cls=Command)
@click.argument("file", metavar="FILE")
@output_options("table", "json")
@click.option("--out", metavar="PLAN.json", help="Write the plan into this file, for apply --plan.")
@click.option("--prune", metavar="PREFIX", help=_PRUNE)
@click.option("--secrets", is_flag=True, help=_SECRETS)
@click.option("--exit-code", is_flag=True, help="End with exit code 8 if there is something to do.")
@click.pass_obj
def _plan(run: "Run", *, file: str, out: str | None, prune: str | None, secrets: bool, exit_code: bool) -> int:
    """Compare a stack with what exists.

    Print what would have to be done so that gateways, deployments and claims are as FILE says, which is YAML, or JSON
    (- for standard input). It only reads.

    -o json prints what --out writes. Secrets are references in it, but the environment of your engines is in it, as in
    FILE; the table does not show its values.
    """
    plan = run.client.plan(_load(file), prune=prune, secrets=secrets)
    if out is not None:
        _write(out, plan.to_json())
    if run.form == "json":
        run.say(plan.to_json().rstrip())
    else:
        run.say(printable(str(plan)))
    if plan.refused:
        run.note("apply refuses this plan")
        return CHANGES if exit_code else 0
    try:
        check_secrets(plan)
    except ConfigurationError as error:
        run.note(one_line(f"apply would be refused here: {error}"))
    if any(each.action == "replace" for each in plan.steps):
        run.note("apply deletes and creates anew only with --allow-replace")
    return CHANGES if plan and exit_code else 0


@click.command("apply", cls=Command)
@click.argument("file", metavar="[FILE]", required=False)
@output_options("table", "json", "ndjson")
@click.option("--plan", "plan_file", metavar="PLAN.json", help="Do what this plan says, instead of FILE.")
@click.option("--prune", metavar="PREFIX", help=_PRUNE)
@click.option("--secrets", is_flag=True, help=_SECRETS)
@click.option("--allow-replace", is_flag=True, help="Delete and create anew what cannot be changed.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@wait_option("Return when all is READY, or gone; with a limit for everything together.")
@click.pass_context
def _apply(context: click.Context, /, **given: Any) -> int:
    """Make what exists be as a stack says.

    Show the plan for FILE (YAML or JSON, - for standard input) or that of PLAN.json, ask, and do it. If anything that
    the plan depends on has changed since, nothing is done, and the exit code is 5. On standard output is what was done.
    """
    run: Run = context.obj
    plan_file, file = given["plan_file"], given["file"]
    if (plan_file is None) == (file is None):
        raise click.UsageError("give one of FILE and --plan", context)
    if plan_file is not None and (given["prune"] is not None or given["secrets"]):
        raise click.UsageError("--prune and --secrets belong to plan: the file of --plan has them", context)
    if plan_file is not None:
        plan = Plan.from_json(_read(plan_file))
    else:
        plan = run.client.plan(_load(file), prune=given["prune"], secrets=given["secrets"])
    run.note(printable(str(plan)))
    check_applicable(plan, given["allow_replace"])
    check_secrets(plan)
    if plan and file == "-" and not given["yes"]:
        raise CommandError("standard input is the stack, so it cannot be asked; use --yes", code=USAGE)
    if plan:
        run.confirm(f"Apply ({plan.summary})?", yes=given["yes"])
    return _perform(run, plan, given)


def _perform(run: "Run", plan: Plan, given: Mapping[str, Any]) -> int:
    wait: Wait | None = given["wait"]
    how: dict[str, Any] = {"wait": wait is not None, "allow_replace": given["allow_replace"]}
    if wait is not None and wait.seconds is not None:
        how["timeout"] = wait.seconds
    try:
        done = run.client.apply(plan, on_step=lambda step: _report(run, step), on_change=WaitProgress(run), **how)
    except KeyboardInterrupt as error:
        for note in getattr(error, "__notes__", ()):
            run.note(one_line(note))
        if wait is not None:
            run.note("what was written goes on; apply the same again with --wait to go on waiting")
        return INTERRUPTED
    except Exception as error:
        notes = getattr(error, "__notes__", [])
        if isinstance(error, ConfigurationError) or not notes:
            raise
        raise CommandError(text_of(error), code=code_of(error), advice=" ".join(notes)) from error
    if run.form == "json":
        run.say(as_json([_as_dict(each) for each in done]))
    return 0


def _report(run: "Run", step: PlanStep) -> None:
    if run.form == "ndjson":
        run.say(as_json(_as_dict(step), indent=None))
    elif run.form != "json":
        run.say(one_line(f"{step.title} {step.id or ''}"))


def _as_dict(step: PlanStep) -> dict[str, Any]:
    return {"action": step.action, "kind": step.kind, "name": step.name, "id": step.id}


@click.command("export", cls=Command)
@click.argument("names", metavar="[NAME...]", nargs=-1)
@output_options("yaml", "json")
@click.pass_obj
def _export(run: "Run", *, names: tuple[str, ...]) -> None:
    """Print what exists as a stack: all, or what has one of the names.

    It is YAML, or JSON where PyYAML is missing. Secrets are not in it, nor what is being deleted.
    """
    stack = run.client.export([*names] or None)
    is_json = means_json(run.form)
    run.say(stack.to_json().rstrip() if is_json else stack.dump().rstrip())
    if is_json:
        for each in stack.notes:
            run.note(one_line(each))


def command(name: str) -> click.Command:
    """Return the command of a name."""
    return {"plan": _plan, "apply": _apply, "export": _export}[name]


def _load(path: str) -> Stack:
    """Return the stack in a file, or in standard input."""
    if path != "-":
        return Stack.load(path)
    return Stack._of(parse_document(read_input(), "standard input"))  # pyright: ignore[reportPrivateUsage]


def _read(path: str) -> str:
    if path == "-":
        return read_input()
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - as pathlib does, without importing it
            return file.read()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: {reason_of(error)}") from None


def _write(path: str, text: str) -> None:
    """Write a plan, for the user only: an engine's environment may be in it."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - of a descriptor
            file.write(text)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"--out: {path}: {reason_of(error)}") from None

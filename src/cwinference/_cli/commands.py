"""The table of commands, and the group that loads the one that is needed."""

from collections.abc import Mapping

import click

from . import output
from .parsing.groups import LazyCommand, LazyGroup

COMMANDS: Mapping[str, LazyCommand] = {
    "gateways": LazyCommand("cwinference._cli.resources.group", "public entry points to deployed models"),
    "deployments": LazyCommand("cwinference._cli.resources.group", "models that run on GPUs behind gateways"),
    "claims": LazyCommand("cwinference._cli.resources.group", "GPU instances reserved for deployments"),
    "hot-loads": LazyCommand("cwinference._cli.resources.group", "new weights loaded into running replicas"),
    "status": LazyCommand("cwinference._cli.status", "show gateways, their deployments and claims at a glance"),
    "explain": LazyCommand("cwinference._cli.explain", "explain the state of a resource, and how to fix it"),
    "chat": LazyCommand("cwinference._cli.chat", "talk to a model behind a gateway"),
    "plan": LazyCommand("cwinference._cli.stacks", "compare a file with what exists"),
    "apply": LazyCommand("cwinference._cli.stacks", "change what exists to match a file"),
    "export": LazyCommand("cwinference._cli.stacks", "print what exists as such a file"),
    "rollout": LazyCommand("cwinference._cli.rollout.group", "move traffic to another deployment, with a way back"),
    "doctor": LazyCommand("cwinference._cli.doctor", "diagnose connection problems, and find changes of the API"),
    "batch": LazyCommand("cwinference._cli.batch", "request completions from a JSONL file"),
    "emulator": LazyCommand("cwinference._cli.emulator", "run an emulator of the API on a local port"),
    "completion": LazyCommand("cwinference._cli.completion", "print a script that completes commands in a shell"),
}
"""The commands by their names, in the order of the help. Each module has its command in `command`."""

ALIASES: Mapping[str, str] = {"gw": "gateways", "dep": "deployments", "cc": "claims", "hl": "hot-loads"}
OTHER_NAMES: Mapping[str, str] = {
    "gateway": "gateways",
    "deployment": "deployments",
    "claim": "claims",
    "capacity-claim": "claims",
    "capacity-claims": "claims",
    "hot-load": "hot-loads",
}
"""Names that are understood, and not shown."""


def root() -> click.Group:
    """Return the command `cwinference` itself."""
    return LazyGroup(
        "cwinference",
        COMMANDS,
        ALIASES,
        OTHER_NAMES,
        help="Tools for the CoreWeave Inference API (unofficial).",
        epilog="`cwinference COMMAND --help` describes a command. Exit codes: 0; 1 API or unexpected error; 2 usage; "
        "3 not found; 4 credentials or permission; 5 conflict or failed precondition; 6 timed out; 7 resource FAILED; "
        "8 plan has changes; 130 interrupted.",
        params=[_version_option()],
    )


def _version_option() -> click.Option:
    def show(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
        if wanted and not context.resilient_parsing:
            from .._version import __version__

            output.say(f"cwinference {__version__}")
            context.exit()

    return click.Option(
        ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=show, help="Show the version and exit."
    )

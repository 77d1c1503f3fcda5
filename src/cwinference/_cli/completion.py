"""`cwinference completion {bash|zsh|fish}`."""

from typing import TYPE_CHECKING

import click

from .commands import root
from .parsing.groups import COMPLETION_VARIABLE, Command
from .parsing.options import Word

if TYPE_CHECKING:
    from .run import Run

SHELLS = ("bash", "zsh", "fish")
_INSTALL = """\
To use it now and in every new shell:

\b
  bash: echo 'eval "$(cwinference completion bash)"' >> ~/.bashrc
  zsh:  echo 'eval "$(cwinference completion zsh)"' >> ~/.zshrc
  fish: cwinference completion fish > ~/.config/fish/completions/cwinference.fish
"""


@click.command(
    "completion",
    cls=Command,
    has_settings=False,
    help=f"Print a script that lets a shell complete commands and options.\n\n{_INSTALL}",
)
@click.argument("shell", type=Word(SHELLS))
@click.pass_obj
def command(run: "Run", /, shell: str) -> None:
    """Print the script for a shell."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101
    # Not its source(), which starts a bash to see whether it is new enough.
    variables = kind(root(), {}, "cwinference", COMPLETION_VARIABLE).source_vars()
    run.say(kind.source_template % variables)

"""The group `cwinference rollout`."""

from ..parsing.groups import LazyCommand, LazyGroup

_MODULE = "cwinference._cli.rollout.commands"

command = LazyGroup(
    "rollout",
    {
        "start": LazyCommand(_MODULE, "move a model's traffic to another deployment, step by step"),
        "status": LazyCommand(_MODULE, "show how far a rollout has come"),
        "resume": LazyCommand(_MODULE, "go on with a rollout that was paused, interrupted or killed"),
        "revert": LazyCommand(_MODULE, "restore what was there before"),
    },
    help="Move a model's traffic from one deployment to another, with a way back.",
    epilog="Exit codes of start and resume: 0 promoted; 1 reverted, or paused by a gate without a verdict; 6 paused. "
    "The journal is what the way back needs: keep it for as long as you may want to revert.",
)

"""Rollouts: move traffic from one deployment to another in steps, with gates and a way back.

    rollout = client.rollout("llama-v2", replaces="llama-v1", journal="llama.rollout.json")
    outcome = rollout.run(on_step=print)              # "promoted", "reverted" or "paused"

Rollout              begins, continues and reverts; `Rollout.resume(client, journal)` after a crash
gates                what decides after each step: `gates.ready()`, `gates.command([...])`, `gates.probe(...)`
Step                 what a gate decides on
"""

from . import gates
from ._rollout import Rollout
from ._step import Gate, Outcome, Step, Verdict

__all__ = ["Gate", "Outcome", "Rollout", "Step", "Verdict", "gates"]

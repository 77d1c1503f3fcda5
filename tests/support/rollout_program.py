"""A rollout in a process of its own, which a test kills.

`python -m tests.support.rollout_program ENDPOINT TOKEN JOURNAL` begins a rollout from `v1` to `v2`, or goes on with
that of the journal, and prints each step and how it ended.
"""

import sys
from pathlib import Path

from cwinference import Client, Rollout


def main(endpoint: str, token: str, journal: str) -> None:
    """Run the rollout."""
    with Client(token, endpoint=endpoint, transport="rest") as client:
        if Path(journal).exists():
            rollout = Rollout.resume(client, journal)
        else:
            rollout = client.rollout("v2", replaces="v1", journal=journal, soak=0.05)
        _say(rollout.run(on_step=_say))


def _say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])

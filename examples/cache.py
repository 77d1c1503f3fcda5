"""Which deployments serve which model, kept up to date without a call: python examples/cache.py

SECONDS is how long it goes on (60). Meanwhile: cwinference deployments modify llama --traffic.weight 50
"""

import os
import time
from typing import Any

from cwinference import Change, Client, State

SECONDS = float(os.environ.get("SECONDS", "60"))


def report(change: Change[Any]) -> None:
    """Print what has changed. It runs on the cache's thread, so it must be quick."""
    if change.resource is not None:
        print(change.kind, change.resource.spec.name, change.type, State.of(change.resource).name)


with Client() as client, client.cache(kinds=["deployment"]) as cache:
    cache.wait_synced(timeout=30)
    cache.subscribe(report)
    for deployment in cache.deployments.values():  # as often as you like: this costs no call
        weight = deployment.spec.traffic.weight
        print(f"{deployment.spec.model.name}: {deployment.spec.name} with weight {weight}", State.of(deployment).name)
    time.sleep(SECONDS)
    print(f"as of {cache.age:.0f} s ago,", "all is well" if cache.error is None else cache.error)

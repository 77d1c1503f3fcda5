"""A new version gets the traffic of an old one step by step: python examples/canary.py

It goes back when the new version is worse. Run it again after a crash: the journal says where it was.
SOAK is how many seconds each step is watched (300).
"""

import os
from pathlib import Path

from cwinference import Client, Rollout, gates

JOURNAL = Path("llama-v2.rollout.json")
QUESTION = {"model": "org/llama", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8}

with Client() as client, client.inference(client.gateways.find("front")) as inference:
    gate = gates.probe(inference, [QUESTION] * 40, min_samples=5, max_error_rate=0.02, max_first_token=2.0)
    if JOURNAL.exists():
        rollout = Rollout.resume(client, JOURNAL, gate)
    else:
        stable = client.deployments.find("llama")
        client.deployments.create(  # the same, but for a newer engine and no traffic yet
            "llama-v2",
            spec=stable.spec,
            runtime={"engine": "dynamo-vllm", "version": "0.21.0"},
            traffic={"weight": 0},
            wait=True,
        )
        rollout = client.rollout(
            "llama-v2",
            replaces="llama",
            steps=(25, 50, 100),  # percent; with more traffic (1, 5, 25, 100)
            soak=float(os.environ.get("SOAK", "300")),
            gate=gate,
            journal=JOURNAL,
        )
    outcome = rollout.run(on_step=print)

print(f"{outcome}; to go back, even now: cwinference rollout revert {JOURNAL}")

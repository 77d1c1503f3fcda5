"""An emulator with something of everything that its page shows."""

from collections.abc import Generator
from contextlib import contextmanager

from cwinference import Client, types
from cwinference.emulator import Behavior, Emulator, Fate
from cwinference.stacks import Stack

_STACK = {
    "version": 1,
    "capacity_claims": {
        "training-gpus": {
            "resources": {
                "instance_id": "gd-8xh100ib-i128",
                "instance_count": 4,
                "capacity_type": "MANAGED",
                "zones": ["US-EAST-04A"],
            }
        }
    },
    "gateways": {
        "chat": {"zones": ["US-EAST-04A"], "core_weave_auth": {}, "body_based_routing": {"api_type": "OPENAI"}},
        "search": {"zones": ["EU-SOUTH-03A"], "core_weave_auth": {}, "path_based_routing": {}},
    },
    "deployments": {
        name: {
            "gateways": [gateway],
            "runtime": {"engine": "dynamo-vllm", "version": "0.22.0"},
            "resources": {"instance_type": "gd-8xh100ib-i128", "gpu_count": gpus},
            "model": {"name": model, "bucket": "acme-models", "path": name},
            "autoscaling": {"min": 1, "max": most},
            "traffic": {"weight": weight},
            **({"hot_load": {"bucket": "snapshots", "transition_mode": "ASYNC"}} if name == "llama-v2" else {}),
        }
        for name, gateway, model, gpus, most, weight in (
            ("llama-v1", "chat", "meta/llama-3.1-8b", 2, 4, 80),
            ("llama-v2", "chat", "meta/llama-3.1-8b", 2, 2, 20),
            ("ranker", "search", "acme/ranker", 1, 1, 100),
        )
    },
}


@contextmanager
def lively_emulator() -> Generator[Emulator]:
    """Run an emulator with gateways, deployments of which one has failed, a claim, a hot-load, a fault and calls."""
    behavior = Behavior(ready_after=1)
    with (
        Emulator(seed=Stack.parse(_STACK), behavior=behavior, tokens_per_second=200) as emulator,
        Client(emulator.token, endpoint=emulator.endpoint, transport="rest", retry=None) as client,
        Client(emulator.viewer_token, endpoint=emulator.endpoint, transport="grpc", retry=None) as viewer,
    ):
        deployments = {each.spec.name: each for each in client.deployments.list()}
        full = types.SnapshotType.SNAPSHOT_TYPE_FULL
        client.hot_loads.create(deployments["llama-v2"].spec.id, identity="step-1200", type=full)
        emulator.fates["ranker"] = Fate("ERROR", message="A node has gone.", strikes_after=0)
        emulator.faults.add("error", method="CreateGateway", probability=0.3, code="resource_exhausted")
        gateway = viewer.gateways.list()[0]
        viewer.gateways.get(gateway.spec.id)
        viewer.capacity_claims.list()
        yield emulator

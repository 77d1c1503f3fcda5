"""New weights into a running deployment: python examples/hot_load.py step_000101

DEPLOYMENT is its name (llama). It needs a `hot_load` bucket, which has the snapshot of that name.
"""

import os
import sys

from cwinference import Client, HotLoadState, errors, types

snapshot = sys.argv[1] if len(sys.argv) > 1 else "step_000101"

with Client() as client:
    deployment = client.deployments.find(os.environ.get("DEPLOYMENT", "llama"))
    hot_load = client.hot_loads.create(
        deployment.spec.id, identity=snapshot, type=types.SnapshotType.SNAPSHOT_TYPE_FULL
    )
    try:
        client.hot_loads.wait(hot_load.spec.id, timeout=1800, on_change=lambda each: print(HotLoadState.of(each).name))
    except errors.ResourceFailed as error:
        sys.exit(f"{snapshot} was not loaded: {error}")
    for replica in client.hot_loads.replicas(hot_load.spec.id):
        print(replica.name, "has", replica.current_snapshot_identity)

    with client.inference(deployment.spec.gateway_ids[0], weights=True) as inference:
        completion = inference.completions.create(model=deployment.spec.model.name, prompt="Once", max_tokens=8)
        print("a response by", completion.weights)

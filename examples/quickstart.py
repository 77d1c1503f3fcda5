"""A gateway, a model behind it, and a question to it: python examples/quickstart.py

It may be run again: `ensure` creates what is missing, and leaves alone what is as it should be.
"""

from cwinference import Client, describe

with Client() as client:  # token and endpoint from the environment
    zones = client.gateways.parameters().zones
    gateway = client.gateways.ensure(
        "front", zones=zones[:1], core_weave_auth={}, body_based_routing={"api_type": "OPENAI"}, wait=True
    )
    print(describe(gateway))

    deployment = client.deployments.ensure(
        "llama",
        gateway_ids=[gateway.spec.id],
        runtime={"engine": "dynamo-vllm", "version": "0.22.0"},
        resources={"instance_type": "gd-8xh100ib-i128", "gpu_count": 8},
        model={"name": "org/llama", "bucket": "models", "path": "llama-3.1-8b"},
        autoscaling={"min": 1, "max": 2},
        traffic={"weight": 100},
        wait=True,  # until READY, which takes minutes
    )
    print(describe(deployment))

    with client.inference(gateway) as inference:
        question = [{"role": "user", "content": "What is a GPU good at?"}]
        completion = inference.chat.completions.create(model="org/llama", messages=question)
        print(completion.text)

"""A chat that is printed as it comes: python examples/stream.py "Why is the sky blue?"

GATEWAY is the name of a gateway (front), MODEL that of a model behind it (org/llama).
"""

import os
import sys

from cwinference import Client, errors

messages = [{"role": "user", "content": " ".join(sys.argv[1:]) or "Why is the sky blue?"}]

with Client() as client, client.inference(client.gateways.find(os.environ.get("GATEWAY", "front"))) as inference:
    stream = inference.chat.completions.stream(
        model=os.environ.get("MODEL", "org/llama"),
        messages=messages,
        first_token_timeout=30,  # seconds until the first token
        idle_timeout=10,  # and between two
        stream_options={"include_usage": True},
    )
    try:
        with stream:
            for chunk in stream:
                print(chunk.text, end="", flush=True)
    except (errors.StreamStalled, errors.StreamInterrupted) as error:
        sys.exit(f"\nbroken off after {len(error.partial_text)} characters: {error}")
    if stream.usage is not None:
        print(f"\n({stream.usage.completion_tokens} tokens)")

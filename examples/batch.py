"""A batch that goes on where it was: python examples/batch.py completions.jsonl

Interrupt it and run it again: it sends only the requests that have no completion in the file yet.
GATEWAY is the name of a gateway (front), MODEL that of a model behind it (org/llama).
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cwinference import Client

OUT = Path(sys.argv[1] if len(sys.argv) > 1 else "completions.jsonl")


def requests() -> Iterator[dict[str, Any]]:
    """Make the requests one by one. They are in memory only while they are in flight."""
    for year in range(1900, 2000):
        messages = [{"role": "user", "content": f"What happened in {year}?"}]
        yield {"custom_id": str(year), "model": os.environ.get("MODEL", "org/llama"), "messages": messages}


with Client() as client, client.inference(client.gateways.find(os.environ.get("GATEWAY", "front"))) as inference:
    result = inference.batch(requests(), out=OUT, concurrency=16)

print(f"{result.completed} completed, {result.failed} failed, {result.skipped} were there already")
if result.failures:
    sys.exit(f"{result.first_failure}; all failures are in {result.failures}")

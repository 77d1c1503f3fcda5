"""The memory of a batch does not grow with its requests, apart from their keys, also when it is resumed.

`CWINFERENCE_BATCH_REQUESTS` sets how many requests there are; `make soak` sends a million. With `pytest -s` each run
says what it took.
"""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from tests.support.batch_runs import start_command
from tests.support.tiny_model_server import tiny_model_server

REQUESTS = int(os.environ.get("CWINFERENCE_BATCH_REQUESTS", "6000"))
FEW = 1200
"""Requests of the run that the others are compared with: more than are read ahead, so all buffers are in use."""
KEY_BYTES = 80
"""What a key may take, with its digest; the table of keys doubles when two thirds of it are full."""
SLACK = 3 << 20
"""By how many bytes two runs of the same differ."""

# Not `ru_maxrss`, which begins with that of the process that started this one.
_AT_EXIT = """
import atexit, pathlib
atexit.register(lambda: pathlib.Path({!r}).write_text(pathlib.Path("/proc/self/status").read_text()))
"""


def peak(requests: Path, out: Path, url: str, counts: str) -> int:
    """Run the command; return the most memory that it had, in bytes."""
    began = time.monotonic()
    status = out.with_suffix(".status")
    with start_command(
        "batch", requests, out, "--base-url", url, "--quiet", before=_AT_EXIT.format(str(status))
    ) as run:
        output, error = run.communicate()
    assert (run.returncode, output, error) == (0, f"{counts}\n", "")
    size = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    sys.stdout.write(f"{counts}: {size / 1024:.1f} MiB at most, {time.monotonic() - began:.0f} s\n")
    return size << 10


def write_tiny_requests(path: Path, count: int) -> Path:
    """Write a file of requests whose prompts are their numbers."""
    with path.open("w") as file:
        for number in range(count):
            file.write(json.dumps({"custom_id": f"id-{number}", "body": {"model": "m", "prompt": f"{number}"}}) + "\n")
    return path


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
def test_the_memory_of_a_batch_does_not_grow_with_its_requests(tmp_path: Path) -> None:
    few, many = (write_tiny_requests(tmp_path / f"{count}.jsonl", count) for count in (FEW, REQUESTS))
    out = tmp_path / "out.jsonl"
    with tiny_model_server() as url:
        base = peak(few, tmp_path / "few.jsonl", url, f"{FEW} completed, 0 failed, 0 skipped")
        assert peak(many, out, url, f"{REQUESTS} completed, 0 failed, 0 skipped") - base < SLACK + KEY_BYTES * REQUESTS
        assert peak(many, out, url, f"0 completed, 0 failed, {REQUESTS} skipped") - base < SLACK + KEY_BYTES * REQUESTS
    with out.open("rb") as file:
        pairs = [(each["custom_id"], each["response"]["body"]["choices"][0]["text"]) for each in map(json.loads, file)]
    assert sorted(pairs) == sorted((f"id-{number}", f"{number}") for number in range(REQUESTS))

"""Several processes at once, one for each core: what a call costs each of them, compared with one process alone."""

import os
import subprocess
import sys
from contextlib import ExitStack
from typing import Any

from ._case import Case, Effort
from ._cores import elsewhere
from ._peer import ID, TOKEN, Peer

_PROGRAM = """
import asyncio, sys
from bench._measure import cpu, in_flight
from cwinference import AsyncClient
url, token, id, calls = *sys.argv[1:4], int(sys.argv[4])
async def main():
    async with AsyncClient(token, endpoint=url) as client:
        call = lambda: client.deployments.get(id)
        await in_flight(call, 32, calls // 4)
        print(flush=True)
        sys.stdin.readline()
        before = cpu()
        await in_flight(call, 32, calls)
        print(cpu() - before, flush=True)
asyncio.run(main())
"""
_PROCESSES = max(2, os.cpu_count() or 1)


def _seconds(peer: Peer, processes: int, calls: int) -> float:
    """Return the CPU time that a process needs for its calls, while others do the same."""
    command = [sys.executable, "-c", _PROGRAM, peer.url, TOKEN, ID, str(calls)]
    with elsewhere(also_here=True), ExitStack() as stack:
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        started: list[Any] = [stack.enter_context(subprocess.Popen(command, **pipes)) for _ in range(processes)]
        for process in started:
            process.stdout.readline()
        for process in started:  # all are warm, and begin together
            process.stdin.write("\n")
            process.stdin.flush()
        return sum(float(process.stdout.readline()) for process in started) / processes


def _processes(peer: Peer, effort: Effort) -> list[float]:
    turns = max(3, effort.pairs // 3)
    return [_seconds(peer, _PROCESSES, effort.calls) / _seconds(peer, 1, effort.calls) for _ in range(turns)]


CASES = [Case("processes", "ratio", 1.1, _processes, against=f"one process alone; {_PROCESSES} processes at once")]

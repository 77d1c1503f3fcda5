"""Caches and watches of 10,000 deployments: the cost of a poll, of a cached resource, and of a watch at rest."""

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cwinference import Client, Clock, errors, types

from ._case import Case, Effort
from ._changing_server import RESOURCES
from ._cores import elsewhere
from ._measure import cpu
from ._peer import HERE, TOKEN, Peer

_HOUR = 3600.0
_LONGEST = 30.0


class _OwnTime:
    """A clock that stands still until somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.clock = Clock(monotonic=lambda: self.now, sleep=self._sleep, random=lambda: 0.0)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds


@contextmanager
def _server() -> Iterator[str]:
    """Run the server whose deployments change, and yield its URL."""
    command = [sys.executable, "-m", "bench._changing_server"]
    with elsewhere():
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=HERE.parent)
    with process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def _polls(client: Client) -> tuple[Any, Callable[[], None]]:
    """Return what a cache of deployments keeps, and what its thread does again and again: poll and publish."""
    core = client.cache(kinds=["deployment"], interval=(1, 1), relist=1e6)._core
    return core, client._driver.bind(core.turn)


def _poll(_: Peer, effort: Effort) -> list[float]:
    time, found = _OwnTime(), list[float]()
    with _server() as url, Client(TOKEN, endpoint=url, clock=time.clock) as client:
        core, poll = _polls(client)
        poll()
        for _turn in range(3 * effort.pairs):
            time.now += 2
            gc.collect()
            before = cpu()
            poll()
            found.append(1000 * (cpu() - before))
    assert len(core.views["deployment"]) == RESOURCES
    assert core.version == 3 * effort.pairs + 1
    return found


def _memory(_: Peer, effort: Effort) -> list[float]:
    with _server() as url, Client(TOKEN, endpoint=url) as client:
        client.deployments.list(updated_after=types.Timestamp(seconds=1))  # the memory of gRPC is not what is measured
        gc.collect()
        before = _resident()
        core, poll = _polls(client)
        poll()
        gc.collect()
        assert len(core.views["deployment"]) == RESOURCES
        return [(_resident() - before) / RESOURCES / 1000]


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def _at_rest(peer: Peer, effort: Effort) -> list[float]:
    """Return how many lists a watch makes in each of its longest intervals, when nothing has changed for an hour."""
    time, lists = _OwnTime(), list[float]()

    def note(method: str, code: str, attempts: int, seconds: float) -> None:
        lists.append(time.now)
        if time.now > 3 * _HOUR:
            client.close()

    with Client(TOKEN, endpoint=peer.url, clock=time.clock, on_call=note) as client:
        try:
            for _change in client.deployments.watch(interval=(1, _LONGEST)):
                pass
        except errors.ConfigurationError:  # the client is closed
            return [sum(_HOUR <= each < 3 * _HOUR for each in lists) / (2 * _HOUR / _LONGEST)]
    raise AssertionError("a watch does not end by itself")


CASES = [
    Case("follow_poll_10000", "ms CPU", 3, _poll),
    Case("follow_memory", "kB a resource", 3, _memory),
    Case("follow_at_rest", "lists per interval", 1, _at_rest),
]

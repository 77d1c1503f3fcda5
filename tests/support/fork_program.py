"""A program that uses a client, forks, and reports how the calls of both processes end.

`python -m tests.support.fork_program KIND ENDPOINT used|unused|closed [locked]`
"""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from cwinference import AsyncClient, Client, errors

from .client_kinds import TRANSPORTS

ROOT = Path(__file__).parents[2]


def fork_outcomes(kind: str, endpoint: str, *options: str) -> dict[str, str]:
    """Run the program and return its outcomes.

    They are those of the parent `before` and `after` the fork, and of the child with the `same` client and a `new` one.
    """
    command = [sys.executable, "-W", "ignore", "-m", __name__, kind, endpoint, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=True)
    lines = (line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    return {who: outcome for who, outcome in lines if who in ("before", "same", "new", "after")}


def new_client(kind: str, endpoint: str) -> Client | AsyncClient:
    """Return a client of one of the kinds of `client_kinds`."""
    transport, _, mode = kind.rpartition("-")
    settings: dict[str, Any] = {**TRANSPORTS[transport], "endpoint": endpoint}
    if transport == "connect":
        settings["http_version"] = 1
    return AsyncClient(token, **settings) if mode == "async" else Client(token, **settings)


def token() -> str:
    """Return the token. As it comes from a function, the client fetches it under a lock."""
    return "token"


def call_outcome(client: Client | AsyncClient, *, close: bool = False) -> str:
    """Make a call; return the name of the gateway that was read, or the error."""
    try:
        return _call(client, close) if isinstance(client, Client) else asyncio.run(_call_async(client, close))
    except errors.InferenceError as error:
        return f"{type(error).__name__}: {error}"


def _call(client: Client, close: bool) -> str:
    name = client.gateways.get("x", timeout=40).spec.name
    if close:
        client.close()
    return name


async def _call_async(client: AsyncClient, close: bool) -> str:
    name = (await client.gateways.get("x", timeout=40)).spec.name
    if close:
        await client.close()
    return name


def report(who: str, outcome: str) -> None:
    """Write a line to standard output, without the buffer that both processes would flush."""
    os.write(1, f"{who}: {outcome}\n".encode())


def fork_while_another_thread_holds_our_locks() -> int:
    """Fork as `os.fork`, while a thread of the parent holds all locks of the library."""
    held, forked = threading.Event(), threading.Event()

    def hold() -> None:
        acquired = [lock for lock in our_locks() if lock.acquire(timeout=1)]
        held.set()
        forked.wait()
        for lock in acquired:
            lock.release()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    child = os.fork()
    if child != 0:
        forked.set()
        holder.join()
    return child


def our_locks() -> Iterator[Any]:
    """Yield all locks of objects and modules of the library."""
    for owner in gc.get_objects():
        name = owner.__name__ if isinstance(owner, ModuleType) else type(owner).__module__
        if str(name).startswith("cwinference."):
            for value in list(getattr(owner, "__dict__", {}).values()):
                if isinstance(value, type(threading.Lock()) | threading.Condition):
                    yield value


def main(kind: str, endpoint: str, moment: str, locked: str = "") -> None:
    """Report the outcomes that `fork_outcomes` returns."""
    client = new_client(kind, endpoint)
    if moment != "unused":
        report("before", call_outcome(client, close=moment == "closed"))
    child = fork_while_another_thread_holds_our_locks() if locked else os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            report("same", call_outcome(client, close=bool(locked)))
            report("new", call_outcome(new_client(kind, endpoint)))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    report("after", call_outcome(client))
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])

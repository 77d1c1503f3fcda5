"""A program that uses a client, forks, and tells how the calls of both processes end.

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


def forked(kind: str, endpoint: str, *how: str) -> dict[str, str]:
    """What a parent got before and after a fork, and its child with the same client and with a new one."""
    command = [sys.executable, "-W", "ignore", "-m", __name__, kind, endpoint, *how]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    lines = (line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    return {who: what for who, what in lines if who in ("before", "same", "new", "after")}


def new_client(kind: str, endpoint: str) -> Client | AsyncClient:
    transport, _, mode = kind.rpartition("-")
    settings: dict[str, Any] = {**TRANSPORTS[transport], "endpoint": endpoint}
    if transport == "connect":
        settings["http_version"] = 1
    return AsyncClient(token, **settings) if mode == "async" else Client(token, **settings)


def token() -> str:
    """Has to be asked, for which there is a lock."""
    return "token"


def call(client: Client | AsyncClient, *, close: bool = False) -> str:
    """How a call ends: the name of what was read, or the error."""
    try:
        return _call(client, close) if isinstance(client, Client) else asyncio.run(_call_async(client, close))
    except errors.InferenceError as error:
        return f"{type(error).__name__}: {error}"


def _call(client: Client, close: bool) -> str:
    name = client.gateways.get("x", timeout=20).spec.name
    if close:
        client.close()
    return name


async def _call_async(client: AsyncClient, close: bool) -> str:
    name = (await client.gateways.get("x", timeout=20)).spec.name
    if close:
        await client.close()
    return name


def tell(who: str, what: str) -> None:
    os.write(1, f"{who}: {what}\n".encode())


def fork_while_another_thread_holds_our_locks() -> int:
    held, forked = threading.Event(), threading.Event()

    def hold() -> None:
        taken = [lock for lock in our_locks() if lock.acquire(timeout=1)]
        held.set()
        forked.wait()
        for lock in taken:
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
    """All locks that objects and modules of the library keep."""
    for owner in gc.get_objects():
        name = owner.__name__ if isinstance(owner, ModuleType) else type(owner).__module__
        if str(name).startswith("cwinference."):
            for value in list(getattr(owner, "__dict__", {}).values()):
                if isinstance(value, type(threading.Lock()) | threading.Condition):
                    yield value


def main(kind: str, endpoint: str, moment: str, locked: str = "") -> None:
    """Tell what the parent got before, what the child got with the same client and a new one, and the parent after."""
    client = new_client(kind, endpoint)
    if moment != "unused":
        tell("before", call(client, close=moment == "closed"))
    child = fork_while_another_thread_holds_our_locks() if locked else os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            tell("same", call(client, close=bool(locked)))
            tell("new", call(new_client(kind, endpoint)))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    tell("after", call(client))
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])

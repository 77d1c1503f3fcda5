"""A program whose children leave HTTP work unfinished and exit at once, some of them at a time.

`python -m tests.support.exit_program WORK ENDPOINT EXITS AT_ONCE` prints the exit codes other than 0. The children are
forked before anything is used, so that an exit does not cost the start of an interpreter.
"""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from cwinference import AsyncClient, Client, errors

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024
SENT = "/sent/"
"""Before a name: the path by which a child waits until responses to its calls have begun."""


class Interrupted(Exception):
    """Raised by the handler of an alarm."""


def bad_exits(work: str, endpoint: str, exits: int, at_once: int) -> list[str]:
    """Run the program; return the exit codes of children that did not exit cleanly."""
    command = [sys.executable, "-W", "ignore", "-m", __name__, work, endpoint, str(exits), str(at_once)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=600, check=True)
    return done.stdout.split()


async def leave_unread(endpoint: str) -> None:
    """Get a response that is too large."""
    client = AsyncClient("t", endpoint=endpoint, transport="rest", retry=None, max_reply_bytes=MIB)
    with suppress(errors.ProtocolError):
        await client.gateways.get("x")


async def cancel(endpoint: str) -> None:
    """Cancel ten calls whose responses are arriving."""
    client = AsyncClient("t", endpoint=endpoint, transport="rest", retry=None, max_reply_bytes=2**31 - 1)
    name = str(os.getpid())
    calls = [asyncio.create_task(client.gateways.get(name)) for _ in range(10)]
    await wait_until_sent(endpoint, name)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


async def wait_until_sent(endpoint: str, name: str) -> None:
    """Wait until the server has begun ten responses to calls for that name. It says so by closing a connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(endpoint.rpartition(":")[2]))
    writer.write(f"GET {SENT}{name} HTTP/1.1\r\n\r\n".encode())
    await reader.read()
    writer.close()


async def interrupt(endpoint: str) -> None:
    """Interrupt a call of a sync client by a signal."""

    def handle(*_: object) -> None:
        raise Interrupted

    signal.signal(signal.SIGALRM, handle)
    client = Client("t", endpoint=endpoint, transport="rest", retry=None, max_reply_bytes=2**31 - 1)
    with suppress(Interrupted, errors.InferenceError):
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            client.gateways.get("x")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


WORK = {work.__name__: work for work in (leave_unread, cancel, interrupt)}


def main() -> None:
    name, endpoint, exits, at_once = sys.argv[1:]
    codes = list[int]()
    import_module("cwinference.transports.rest")
    for number in range(int(exits)):
        if number >= int(at_once):
            codes.append(next_code())
        if os.fork() == 0:
            asyncio.run(WORK[name](endpoint))
            sys.exit()
    codes += [next_code() for _ in range(int(exits) - len(codes))]
    sys.stdout.write(" ".join(str(code) for code in codes if code != 0))


def next_code() -> int:
    return os.waitstatus_to_exitcode(os.wait()[1])


if __name__ == "__main__":
    main()

"""A program that forks while a stream is open on a connection that takes no more calls, and reports what happens to it.

`python -m tests.support.drained_fork_program sync|async URL`

It prints what the child's close and the parent's stream come to. The child lives until its standard input ends, with
copies of the parent's descriptors.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from cwinference.inference import AsyncInference, Inference
from cwinference.transports._pool import EARLY_ENDS_PER_CONNECTION

from .client_kinds import TOKEN
from .distant_server import LONG
from .inference_kinds import MESSAGES

SECONDS = 20
"""After which a process that hangs is killed."""


def main(mode: str, url: str) -> None:
    """Run the program."""
    signal.alarm(SECONDS)
    if mode == "sync":
        run_sync(url)
    else:
        asyncio.run(run_async(url))


def run_sync(url: str) -> None:
    with Inference(url, token=TOKEN, http_version=2) as inference:
        stream = inference.chat.completions.stream(model=LONG, messages=MESSAGES)
        chunks = iter(stream)
        next(chunks)
        for number in range(EARLY_ENDS_PER_CONNECTION):
            with inference.chat.completions.stream(model=f"short-{number}", messages=MESSAGES) as short:
                next(iter(short))
        for _ in forked(stream.close):
            report("parent", stream.text)
            stream.close()


async def run_async(url: str) -> None:
    async with AsyncInference(url, token=TOKEN, http_version=2) as inference:
        stream = inference.chat.completions.stream(model=LONG, messages=MESSAGES)
        chunks = aiter(stream)
        await anext(chunks)
        for number in range(EARLY_ENDS_PER_CONNECTION):
            async with inference.chat.completions.stream(model=f"short-{number}", messages=MESSAGES) as short:
                await anext(aiter(short))
        for _ in forked(lambda: run_to_end(stream.close())):
            report("parent", stream.text)
            await stream.close()


def run_to_end(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that awaits nothing which is not ready: the child has no event loop."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("it waits")


def forked(close: Callable[[], None]) -> Iterator[None]:
    """Fork; the child closes its copy of the stream, then the parent does its work, and the child ends."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        os.close(write_end)
        try:
            close()
            report("child", "closed")
            os.read(read_end, 1)  # until the parent is done
        finally:
            os._exit(0)
    yield
    sys.stdin.read()
    os.close(write_end)
    os.waitpid(child, 0)


def report(who: str, what: str) -> None:
    os.write(1, f"{who}: {what}\n".encode())  # in one piece: both processes write


if __name__ == "__main__":
    main(*sys.argv[1:])

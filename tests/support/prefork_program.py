"""A prefork server in short: the parent uses a client and forks workers, all of them call, then the parent calls again.

`python -m tests.support.prefork_program KIND ENDPOINT fork|multiprocessing`
"""

import asyncio
import multiprocessing
import os
import sys
from collections.abc import Callable
from typing import Any

from cwinference import errors
from cwinference.inference import AsyncInference, Inference

from .fork_program import call_outcome, new_client, report
from .inference_kinds import MESSAGES
from .scripted_model_server import MODEL

WORKERS = 4
CALLS = 5
COMPLETION: dict[str, Any] = {"model": MODEL, "messages": MESSAGES, "timeout": 20}


def caller(kind: str, endpoint: str) -> Callable[[], str]:
    """Return a function that makes a call, always with the same client, and returns its outcome."""
    if kind == "completions-sync":
        sync_inference = Inference(endpoint, token="token")
        return lambda: outcome(lambda: sync_inference.chat.completions.create(**COMPLETION).text)
    if kind == "completions-async":
        async_inference = AsyncInference(endpoint, token="token")
        return lambda: outcome(lambda: asyncio.run(_complete(async_inference)))
    client = new_client(kind, endpoint)
    return lambda: call_outcome(client)


async def _complete(inference: AsyncInference) -> str:
    return (await inference.chat.completions.create(**COMPLETION)).text


def outcome(call: Callable[[], str]) -> str:
    """Return the result of a call, or its error."""
    try:
        return call()
    except errors.InferenceError as error:
        return f"{type(error).__name__}: {error}"


def work(call: Callable[[], str]) -> None:
    """Report the different outcomes of the calls of a worker."""
    report("worker", "; ".join(sorted({call() for _ in range(CALLS)})))


def run_forked(call: Callable[[], str]) -> None:
    """Run the workers in processes made by `os.fork`."""
    children = []
    for _ in range(WORKERS):
        child = os.fork()
        if child == 0:
            try:
                work(call)
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def run_multiprocessing(call: Callable[[], str]) -> None:
    """Run the workers in processes made by multiprocessing."""
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=work, args=(call,)) for _ in range(WORKERS)]
    for child in children:
        child.start()
    for child in children:
        child.join()


def main(kind: str, endpoint: str, how: str) -> None:
    call = caller(kind, endpoint)
    report("before", call())
    (run_forked if how == "fork" else run_multiprocessing)(call)
    report("after", call())
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])

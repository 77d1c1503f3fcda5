"""A small prefork server's life: the parent uses a client, forks its workers, all of them call, the parent goes on.

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

from .fork_program import call, new_client, tell
from .inference_kinds import MESSAGES
from .scripted_model_server import MODEL

WORKERS = 4
CALLS = 5
ASK: dict[str, Any] = {"model": MODEL, "messages": MESSAGES, "timeout": 20}


def caller(kind: str, endpoint: str) -> Callable[[], str]:
    """Asks with one client, again and again."""
    if kind == "completions-sync":
        front = Inference(endpoint, token="token")
        return lambda: told(lambda: front.chat.completions.create(**ASK).text)
    if kind == "completions-async":
        awaited = AsyncInference(endpoint, token="token")
        return lambda: told(lambda: asyncio.run(_ask(awaited)))
    client = new_client(kind, endpoint)
    return lambda: call(client)


async def _ask(front: AsyncInference) -> str:
    return (await front.chat.completions.create(**ASK)).text


def told(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except errors.InferenceError as error:
        return f"{type(error).__name__}: {error}"


def work(ask: Callable[[], str]) -> None:
    tell("worker", "; ".join(sorted({ask() for _ in range(CALLS)})))


def forked(ask: Callable[[], str]) -> None:
    children = []
    for _ in range(WORKERS):
        child = os.fork()
        if child == 0:
            try:
                work(ask)
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def processed(ask: Callable[[], str]) -> None:
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=work, args=(ask,)) for _ in range(WORKERS)]
    for child in children:
        child.start()
    for child in children:
        child.join()


def main(kind: str, endpoint: str, how: str) -> None:
    ask = caller(kind, endpoint)
    tell("before", ask())
    (forked if how == "fork" else processed)(ask)
    tell("after", ask())
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])

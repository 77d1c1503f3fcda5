"""A program that makes completions on an event loop, before and after a child that it has forked uses the same client.

`python -m tests.support.direct_fork_program URL`
"""

import asyncio
import gc
import os
import sys

from cwinference import errors
from cwinference.inference import AsyncInference

from .fork_program import report
from .inference_kinds import MESSAGES
from .scripted_model_server import MODEL


async def outcome(inference: AsyncInference) -> str:
    try:
        return (await inference.chat.completions.create(model=MODEL, messages=MESSAGES, timeout=5)).text
    except errors.InferenceError as error:
        return type(error).__name__


async def used_and_closed(inference: AsyncInference) -> str:
    found = await outcome(inference)
    await inference.close()
    return found


def main(url: str) -> None:
    inference = AsyncInference(url, token="token", retry=None)
    with asyncio.Runner() as runner:
        report("before", runner.run(outcome(inference)))
        child = os.fork()
        if child == 0:
            report("child", asyncio.run(used_and_closed(inference)))
            del inference
            gc.collect()
            os._exit(0)
        os.waitpid(child, 0)
        report("after", runner.run(outcome(inference)))
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])

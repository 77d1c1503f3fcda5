"""A program that forks in the middle of a stream of completions, and tells how it goes on in both processes.

`python -m tests.support.split_stream_program URL HTTP_VERSION`
"""

import os
import signal
import sys
from collections.abc import Callable

from cwinference.inference import Answer, Chunk, Inference

from .fork_program import fork_while_another_thread_holds_our_locks, tell
from .inference_kinds import MESSAGES
from .scripted_model_server import MODEL


def text_of(ask: Callable[[], Chunk | Answer]) -> str:
    """The text that is given, or the name of the error."""
    try:
        return ask().text
    except Exception as error:
        return type(error).__name__


def main(url: str, version: str) -> None:
    with (
        Inference(url, token="token", limit=1, http_version=1 if version == "1" else 2) as inference,
        inference.chat.completions.stream(model=MODEL, messages=MESSAGES, idle_timeout=5) as stream,
    ):
        chunks = iter(stream)
        next(chunks)
        child = fork_while_another_thread_holds_our_locks()
        if child == 0:
            signal.alarm(20)
            tell("queue", text_of(lambda: inference.chat.completions.create(model=MODEL, messages=MESSAGES, timeout=5)))
            tell("stream", text_of(lambda: next(chunks)))
            stream.close()
            tell("child", "closed")
            os._exit(0)
        os.waitpid(child, 0)
        tell("parent", text_of(lambda: next(chunks)))
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A program that forks in the middle of a stream of a completion, and reports how both processes continue.

`python -m tests.support.split_stream_program URL HTTP_VERSION`
"""

import os
import signal
import sys
from collections.abc import Callable

from cwinference.inference import Chunk, Completion, Inference

from .fork_program import fork_while_another_thread_holds_our_locks, report
from .inference_kinds import MESSAGES
from .scripted_model_server import MODEL


def text_or_error(call: Callable[[], Chunk | Completion]) -> str:
    """Return the text of the result, or the name of the error."""
    try:
        return call().text
    except Exception as error:
        return type(error).__name__


def main(url: str, version: str) -> None:
    with (
        Inference(url, token="token", limit=1, http_version=1 if version == "1" else 2) as inference,
        inference.chat.completions.stream(model=MODEL, messages=MESSAGES, idle_timeout=5) as stream,
    ):
        create = inference.chat.completions.create
        chunks = iter(stream)
        next(chunks)
        child = fork_while_another_thread_holds_our_locks()
        if child == 0:
            signal.alarm(20)
            report("queue", text_or_error(lambda: create(model=MODEL, messages=MESSAGES, timeout=5)))
            report("stream", text_or_error(lambda: next(chunks)))
            stream.close()
            report("child", "closed")
            os._exit(0)
        os.waitpid(child, 0)
        report("parent", text_or_error(lambda: next(chunks)))
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])

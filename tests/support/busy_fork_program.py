"""A program that forks again and again while a stream is received, and reports how many children could close it.

`python -m tests.support.busy_fork_program URL`
"""

import os
import signal
import sys
import threading
from collections import deque

from cwinference.inference import Inference

from .client_kinds import TOKEN
from .inference_kinds import MESSAGES
from .scripted_model_server import MODEL

CHILDREN = 100
SECONDS = 2
"""After which a child that hangs is killed."""


def main(url: str) -> None:
    """Run the program."""
    inference = Inference(url, token=TOKEN, http_version=2)
    stream = inference.chat.completions.stream(model=MODEL, messages=MESSAGES)
    chunks = iter(stream)
    next(chunks)
    threading.Thread(target=lambda: deque(chunks, maxlen=0), daemon=True).start()
    ended = 0
    for _ in range(CHILDREN):
        child = os.fork()
        if child == 0:
            signal.alarm(SECONDS)
            stream.close()
            os._exit(0)
        ended += os.waitpid(child, 0)[1] == 0
    print(ended)  # noqa: T201
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])

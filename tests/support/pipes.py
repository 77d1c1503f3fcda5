"""Named pipes that give their content once, as what a shell makes of `<(command)` does."""

import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def pipe_with(path: Path, content: bytes) -> Generator[Path]:
    """Make a pipe from which the content can be read once. Whoever opens it again waits for ever."""
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(content,))
    writer.start()
    yield path
    while writer.is_alive():
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))  # the reader for whom it still waits
        writer.join(0.01)

"""A process that has left a response unread, or canceled a call, exits without an error.

`CWINFERENCE_EXITS` is the number of exits, 200 in `make soak`.
"""

import os
import socket
import threading
import time
from collections import Counter
from itertools import repeat

import pytest

from tests.support.exit_program import MIB, SENT, WORK, bad_exits
from tests.support.scripted_server import read_request
from tests.support.socket_servers import SocketServer

EXITS = int(os.environ.get("CWINFERENCE_EXITS", "36"))


@pytest.mark.parametrize("work", WORK)
def test_processes_exit_cleanly_right_after_unfinished_work(work: str) -> None:
    with SocketServer(Flood()) as server:
        assert bad_exits(work, server.endpoint, EXITS, at_once=12) == []


class Flood:
    """Responds with far more than anybody reads. It counts responses by the names in the paths of their requests."""

    def __init__(self) -> None:
        self._begun = Counter[str]()
        self._changed = threading.Condition()

    def __call__(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            _, path, _, _ = read_request(stream)
        name = path.rpartition("/")[2]
        if path.startswith(SENT):
            with self._changed:
                assert self._changed.wait_for(lambda: self._begun[name] == 10, 60)
            return
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1073741824\r\n\r\n")
        for number, piece in enumerate(repeat(bytes(MIB // 16), 1000)):
            connection.sendall(piece)
            if number == 0:
                with self._changed:
                    self._begun[name] += 1
                    self._changed.notify_all()
            time.sleep(0.001)  # a real pause, so that it goes on while the process exits

"""A process that has left a response unread, or canceled a call, exits without an error.

`CWINFERENCE_EXITS` is the number of exits, 200 in `make soak`.
"""

import os
import socket
import time
from itertools import repeat

import pytest

from tests.support.exit_program import MIB, WORK, bad_exits
from tests.support.scripted_server import read_request
from tests.support.socket_servers import SocketServer

EXITS = int(os.environ.get("CWINFERENCE_EXITS", "36"))


@pytest.mark.parametrize("work", WORK)
def test_processes_exit_cleanly_right_after_unfinished_work(work: str) -> None:
    with SocketServer(flood) as server:
        assert bad_exits(work, server.endpoint, EXITS, at_once=12) == []


def flood(connection: socket.socket) -> None:
    with connection.makefile("rb") as stream:
        read_request(stream)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1073741824\r\n\r\n")
    for piece in repeat(bytes(MIB // 16), 1000):
        connection.sendall(piece)
        time.sleep(0.001)

"""A process that has left a response unread exits without an error."""

import asyncio
import socket
import subprocess
import sys
from itertools import repeat

import pytest

from cwinference import AsyncClient, errors
from tests.support.scripted_server import read_request
from tests.support.socket_servers import SocketServer

MIB = 1024 * 1024


def leave_unread(endpoint: str) -> None:
    """Reject a response that is too large, and return, after which the program ends."""

    async def call() -> None:
        async with AsyncClient("t", endpoint=endpoint, transport="rest", retry=None, max_reply_bytes=MIB) as client:
            with pytest.raises(errors.ProtocolError):
                await client.gateways.get("x")

    asyncio.run(call())


def flood(connection: socket.socket) -> None:
    with connection.makefile("rb") as stream:
        read_request(stream)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 4294967296\r\n\r\n")
    for piece in repeat(bytes(MIB), 64):
        connection.sendall(piece)


def test_a_process_exits_cleanly_after_an_unread_response() -> None:
    program = "import sys; from tests.faults.test_process_exit import leave_unread; leave_unread(sys.argv[1])"
    with SocketServer(flood) as server:
        command = [sys.executable, "-c", program, server.endpoint]
        codes = [subprocess.run(command, capture_output=True, timeout=60).returncode for _ in range(4)]
    assert codes == [0] * 4

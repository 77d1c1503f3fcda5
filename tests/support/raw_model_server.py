"""A model server on a plain socket, for what servers do to connections: tests say each byte that it sends."""

import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from cwinference.inference import AsyncInference

from .client_kinds import TOKEN
from .scripted_model_server import MODEL, completion, json_response
from .scripted_server import read_request
from .socket_servers import SocketServer

BODY = b"".join(json_response(completion()).pieces)
LENGTH = b"content-length: %d\r\n" % len(BODY)
OK = b"HTTP/1.1 200 OK\r\n"


class RawServer(SocketServer):
    """Has a function respond to each request, given its connection and number."""

    def __init__(self, respond: Callable[[socket.socket, int], object]) -> None:
        super().__init__(self._respond)
        self._act = respond
        self.heads: list[tuple[str, str, Any]] = []

    def _respond(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            while True:
                verb, path, headers, _ = read_request(stream)
                self.heads.append((verb, path, headers))
                self._act(connection, len(self.heads))


def always(response: bytes) -> Callable[[socket.socket, int], object]:
    return lambda connection, _: connection.sendall(response)


@asynccontextmanager
async def connected(
    respond: Callable[[socket.socket, int], object],
) -> AsyncGenerator[tuple[AsyncInference, RawServer]]:
    with RawServer(respond) as server:
        async with AsyncInference(server.endpoint, token=TOKEN, retry=None) as inference:
            yield inference, server


async def chat(inference: AsyncInference, content: str = "x") -> str:
    messages = [{"role": "user", "content": content}]
    return (await inference.chat.completions.create(model=MODEL, messages=messages, timeout=20)).text

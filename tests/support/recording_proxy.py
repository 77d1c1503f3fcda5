"""Proxies on loopback that record what they are asked for, and lead everything to one port."""

import socket

from .socket_servers import relay


class RecordingProxy:
    """An HTTP proxy: opens tunnels, forwards requests for http://, and keeps the head of each, in lower case."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.heads: list[list[str]] = []

    def __call__(self, connection: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += _exactly(connection, 1)
        self.heads.append(head.decode().lower().split("\r\n"))
        with socket.create_connection(("127.0.0.1", self._port)) as target:
            if head.startswith(b"CONNECT "):
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                target.sendall(head)
            relay(connection, target)


class RefusingProxy:
    """An HTTP proxy that opens no tunnel, and counts how often it was asked for one."""

    def __init__(self, status: str) -> None:
        self._status = status
        self.asked = 0

    def __call__(self, connection: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += _exactly(connection, 1)
        self.asked += 1
        connection.sendall(f"HTTP/1.1 {self._status}\r\ncontent-length: 0\r\n\r\n".encode())


class RecordingSocksProxy:
    """A SOCKS5 proxy that demands a user and a password, and keeps them."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.users: list[tuple[bytes, bytes]] = []

    def __call__(self, connection: socket.socket) -> None:
        _exactly(connection, _exactly(connection, 2)[1])
        connection.sendall(b"\x05\x02")
        user = _exactly(connection, _exactly(connection, 2)[1])
        self.users.append((user, _exactly(connection, _exactly(connection, 1)[0])))
        connection.sendall(b"\x01\x00")
        kind = _exactly(connection, 4)[3]
        _exactly(connection, {1: 6, 4: 18}.get(kind) or _exactly(connection, 1)[0] + 2)
        connection.sendall(b"\x05\x00\x00\x01" + bytes(6))
        with socket.create_connection(("127.0.0.1", self._port)) as target:
            relay(connection, target)


def _exactly(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        data = connection.recv(size - len(received))
        if not data:
            raise EOFError
        received += data
    return received

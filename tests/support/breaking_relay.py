"""A relay of bytes that breaks connections at a chosen byte of what passes through."""

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass
from typing import Literal

from .socket_servers import SocketServer

Direction = Literal["up", "down"]
"""From the client to the server, or back."""

_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Cut:
    """Where connections break."""

    direction: Direction
    offset: int
    """How many bytes still pass that way, counted from when the cut was armed, then from when a connection began."""
    times: int = 1
    """How many connections break one after the other."""
    reset: bool = True
    """Whether the client sees a reset, or an ordinary end."""


class Cutter(SocketServer):
    """Relays to a port of this machine."""

    def __init__(self, port: int) -> None:
        super().__init__(self._relay)
        self._target = port
        self._lock = threading.Lock()
        self._cut: Cut | None = None
        self._left = 0
        self.cuts = 0
        """Connections broken since the last `arm`."""
        self.passed: dict[Direction, int] = {"up": 0, "down": 0}
        """Bytes since the last `arm`."""

    def arm(self, cut: Cut | None) -> None:
        """From now on break connections as told, or let everything pass."""
        with self._lock:
            self._cut = cut
            self._left = cut.times if cut else 0
            self.cuts = 0
            self.passed = {"up": 0, "down": 0}

    def _relay(self, client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._target)) as server:
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=self._carry, args=("down", server, client, client))
            back.start()
            self._carry("up", client, server, client)
            back.join()

    def _carry(self, direction: Direction, source: socket.socket, target: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                allowed, cut = self._allowed(direction, len(data))
                target.sendall(data[:allowed])
                if cut is not None:
                    if cut.reset:
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    break
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _allowed(self, direction: Direction, size: int) -> tuple[int, Cut | None]:
        """How much of what came may pass, and the cut that follows, if it does."""
        with self._lock:
            cut, before = self._cut, self.passed[direction]
            self.passed[direction] += size
            if cut is None or not self._left or cut.direction != direction or before + size <= cut.offset:
                return size, None
            self._left -= 1
            self.cuts += 1
            self.passed = {"up": 0, "down": 0}
            return max(0, cut.offset - before), cut

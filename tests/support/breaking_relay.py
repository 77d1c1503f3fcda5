"""A relay that breaks connections at a chosen byte of the traffic."""

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
    """How many bytes still pass that way, counted from `arm` for the first cut, from the last cut for a later one."""
    times: int = 1
    """How many connections break one after the other."""
    reset: bool = True
    """Whether the client sees a reset, or an ordinary end."""


class BreakingRelay(SocketServer):
    """Relays to the port `target` of this machine. `port`: the one to listen on; 0: any free one."""

    def __init__(self, target: int, port: int = 0) -> None:
        super().__init__(self._relay, port=port)
        self._target = target
        self._lock = threading.Lock()
        self._cut: Cut | None = None
        self._remaining = 0
        self.cuts = 0
        """How many connections broke since the last `arm`."""
        self.passed: dict[Direction, int] = {"up": 0, "down": 0}
        """How many bytes passed since the last `arm` or cut."""

    def arm(self, cut: Cut | None) -> None:
        """Break connections like this from now on; None lets everything pass."""
        with self._lock:
            self._cut = cut
            self._remaining = cut.times if cut else 0
            self.cuts = 0
            self.passed = {"up": 0, "down": 0}

    def _relay(self, client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._target)) as server:
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=self._copy, args=("down", server, client, client))
            back.start()
            self._copy("up", client, server, client)
            back.join()

    def _copy(self, direction: Direction, source: socket.socket, target: socket.socket, client: socket.socket) -> None:
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
        """Return how many of the received bytes may pass, and the cut that follows, if there is one."""
        with self._lock:
            cut, before = self._cut, self.passed[direction]
            self.passed[direction] += size
            if cut is None or not self._remaining or cut.direction != direction or before + size <= cut.offset:
                return size, None
            self._remaining -= 1
            self.cuts += 1
            self.passed = {"up": 0, "down": 0}
            return max(0, cut.offset - before), cut

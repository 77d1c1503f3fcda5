"""The emulator's state and protocols on a real socket, with faults, and a record of the calls that reach its state."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from cwinference._wire.methods import METHODS, Method
from cwinference.emulator.api.emulated_api import EmulatedApi
from cwinference.emulator.behavior import Behavior
from cwinference.emulator.clock import Clock
from cwinference.emulator.faults.faults import Faults
from cwinference.emulator.faults.middleware import FaultLayer
from cwinference.emulator.interfaces import Caller
from cwinference.emulator.protocols.app import Front
from cwinference.emulator.protocols.service import Service
from cwinference.emulator.server import Certificate, Server
from cwinference.emulator.tokens import Tokens
from tests.support.client_kinds import TOKEN


@dataclass
class Recorded:
    """The state, and the name of each call that got to it."""

    api: EmulatedApi
    calls: list[str] = field(default_factory=list)

    def call(self, method: Method, request: Message, caller: Caller) -> Message:
        self.calls.append(method.name)
        return self.api.call(method, request, caller)

    def count(self, method: str) -> int:
        """How often a method was called."""
        return self.calls.count(method)


@dataclass
class Faulty:
    """A running server that goes wrong as it is told."""

    endpoint: str
    port: int
    faults: Faults
    recorded: Recorded


@contextmanager
def faulty(tls: Certificate | None = None, **behaviour: Any) -> Generator[Faulty]:
    """A server with a state of its own, for as long as the block runs."""
    recorded = Recorded(EmulatedApi(clock=Clock(), behaviour=Behavior(**behaviour)))
    front = Front(Service(recorded, Tokens({TOKEN: Caller("cw1a2b")})), METHODS.values())
    faults = Faults()
    server = Server(FaultLayer(front, faults, front.method_of), tls=tls)
    server.start()
    try:
        scheme = "http" if tls is None else "https"
        yield Faulty(f"{scheme}://127.0.0.1:{server.port}", server.port, faults, recorded)
    finally:
        server.stop()
        recorded.api.close()

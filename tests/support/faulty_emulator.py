"""The emulated API and its protocols on a real socket, with faults, and a record of the calls that reach the API."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from cwinference._wire.methods import METHODS, Method
from cwinference.emulator.api.emulated_api import EmulatedApi
from cwinference.emulator.behavior import Behavior
from cwinference.emulator.clock import EmulatorClock
from cwinference.emulator.faults.faults import Faults
from cwinference.emulator.faults.middleware import FaultMiddleware
from cwinference.emulator.interfaces import Caller
from cwinference.emulator.protocols.app import ProtocolRouter
from cwinference.emulator.protocols.service import Service
from cwinference.emulator.server import Certificate, Server
from cwinference.emulator.tokens import Tokens
from tests.support.client_kinds import TOKEN


@dataclass
class RecordingApi:
    """The emulated API, and the name of each method that was called."""

    api: EmulatedApi
    calls: list[str] = field(default_factory=list)

    def call(self, method: Method, request: Message, caller: Caller) -> Message:
        self.calls.append(method.name)
        return self.api.call(method, request, caller)

    def count(self, method: str) -> int:
        """Return how often a method was called."""
        return self.calls.count(method)


@dataclass
class FaultyEmulator:
    """A running server with injected faults."""

    endpoint: str
    port: int
    faults: Faults
    recorded: RecordingApi


@contextmanager
def faulty_emulator(tls: Certificate | None = None, **behavior: Any) -> Generator[FaultyEmulator]:
    """Run a server with an API of its own."""
    recorded = RecordingApi(EmulatedApi(clock=EmulatorClock(), behavior=Behavior(**behavior)))
    router = ProtocolRouter(Service(recorded, Tokens({TOKEN: Caller("cw1a2b")})), METHODS.values())
    faults = Faults()
    server = Server(FaultMiddleware(router, faults, router.method_of), tls=tls)
    server.start()
    try:
        scheme = "http" if tls is None else "https"
        yield FaultyEmulator(f"{scheme}://127.0.0.1:{server.port}", server.port, faults, recorded)
    finally:
        server.stop()
        recorded.api.close()

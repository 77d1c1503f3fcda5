"""Every test runs over each transport, with both clients, on real sockets."""

import ssl
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest

from cwinference import AsyncClient
from cwinference.emulator import Emulator
from tests.support import certificates
from tests.support.client_kinds import KINDS, open_client


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Return the kind of client that runs the test: `grpc-sync`, `connect-json-async` and so on."""
    return str(request.param)


@pytest.fixture(scope="session")
def untrusted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return a server's TLS context with an untrusted certificate, and that certificate as an authority to trust."""
    certificate, key = certificates.make(tmp_path_factory.mktemp("tls"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return {"context": context, "ca": certificate}


@pytest.fixture
def emulator() -> Generator[Emulator]:
    """Run an emulator of the test's own."""
    with Emulator() as running:
        yield running


@pytest.fixture
def calls() -> list[str]:
    """Return the methods that the client calls, in order."""
    return []


@pytest.fixture
async def client(kind: str, emulator: Emulator, calls: list[str]) -> AsyncGenerator[AsyncClient]:
    """Open a client of the emulator that notes its calls."""

    def note(method: str, code: str, attempts: int, seconds: float) -> None:
        calls.append(method)

    async with open_client(kind, emulator.endpoint, emulator.token, on_call=note) as opened:
        yield opened

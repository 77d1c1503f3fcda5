"""Every test runs over each transport, with both clients, on real sockets."""

import ssl
from typing import Any

import pytest

from tests.support import certificates
from tests.support.client_kinds import KINDS


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

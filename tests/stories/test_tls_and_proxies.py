"""Certificates and proxies work alike for every transport, for calls that travel as JSON, and for completions."""

import ssl
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cwinference import TLS, errors
from cwinference.emulator import Emulator
from tests.support import certificates
from tests.support.client_kinds import open_client
from tests.support.inference_kinds import open_inference
from tests.support.recording_proxy import RecordingProxy
from tests.support.socket_servers import SocketServer, silence

Pair = tuple[Path, Path]
HOST = "https://inference.test:8443"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Return a certificate and its key."""
    return certificates.make(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Return another certificate and its key."""
    return certificates.make(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def emulator(pair: Pair) -> Iterator[Emulator]:
    """Run an emulator with the certificate."""
    with Emulator(tls_cert=pair[0], tls_key=pair[1], public_url=HOST) as emulator:
        yield emulator


@pytest.fixture(params=["argument", "environment"])
def proxied(
    request: pytest.FixtureRequest, emulator: Emulator, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[RecordingProxy, dict[str, Any]]]:
    """Run a proxy with a password that leads to the emulator; return it and settings for a client."""
    proxy = RecordingProxy(int(emulator.endpoint.rpartition(":")[2]))
    with SocketServer(proxy) as server:
        url = f"http://user:password@127.0.0.1:{server.port}"
        monkeypatch.delenv("https_proxy", raising=False)
        monkeypatch.setenv("HTTPS_PROXY", url if request.param == "environment" else "http://127.0.0.1:9")
        settings = {"proxy": url} if request.param == "argument" else {}
        yield proxy, {"token": emulator.token, "tls": TLS(ca=pair[0]), **settings}
    assert {head[0] for head in proxy.heads} == {"connect inference.test:8443 http/1.1"}
    password = f"proxy-authorization: basic {b64encode(b'user:password').decode()}".lower()
    assert all(password in head for head in proxy.heads)


async def test_calls_use_the_proxy_also_those_that_travel_as_json(
    kind: str, proxied: tuple[RecordingProxy, dict[str, Any]]
) -> None:
    proxy, settings = proxied
    async with open_client(kind, HOST, **settings) as client:
        assert await client.gateways.list() == []
        assert [each async for each in client.hot_loads.list()] == []
    assert len(proxy.heads) == (1 if kind.startswith("rest") else 2)


@pytest.mark.parametrize("mode", ["sync-1", "async-2"])
async def test_completions_use_the_proxy(mode: str, proxied: tuple[RecordingProxy, dict[str, Any]]) -> None:
    proxy, settings = proxied
    async with open_inference(mode, f"{HOST}/gateway/unknown", **settings) as inference:
        with pytest.raises(errors.NotFound):
            await inference.chat()
    assert len(proxy.heads) == 1


async def test_a_client_presents_its_certificate(kind: str, pair: Pair, other: Pair) -> None:
    presented: list[bytes | None] = []

    def record(connection: Any) -> None:
        presented.append(connection.getpeercert(binary_form=True))

    with SocketServer(record, tls=requiring_certificate(pair, other[0])) as server:
        tls = TLS(ca=pair[0], cert=other[0], key=other[1].read_bytes())
        async with open_client(kind, f"https://localhost:{server.port}", tls=tls, retry=None) as client:
            with pytest.raises(errors.Unavailable):
                await client.gateways.list()
            with pytest.raises(errors.Unavailable):
                assert [each async for each in client.hot_loads.list()] == []
    assert set(presented) == {ssl.PEM_cert_to_DER_cert(other[0].read_text())}


@pytest.mark.parametrize("wrong", ["ca", "cut", "key", "both"])
async def test_unusable_certificates_are_refused(kind: str, wrong: str, pair: Pair, other: Pair) -> None:
    empty = b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
    tls = {
        "ca": TLS(ca=empty),
        "cut": TLS(ca=empty[:28]),
        "key": TLS(ca=pair[0], cert=pair[0], key=other[1]),
        "both": TLS(ca=pair[0], cert=empty, key=pair[1]),
    }[wrong]
    with SocketServer(silence, tls=requiring_certificate(pair, other[0])) as server:
        async with open_client(kind, f"https://localhost:{server.port}", tls=tls) as client:
            with pytest.raises(errors.ConfigurationError, match="^tls: the certificates or the key cannot be used: "):
                await client.gateways.list()


def requiring_certificate(pair: Pair, trusted: Path) -> ssl.SSLContext:
    """Return a server's TLS context that requires a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    context.load_verify_locations(trusted)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context

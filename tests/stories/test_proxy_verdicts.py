"""Every transport, completions and the openai package obey the one verdict about proxies, and read nothing themselves.

The endpoint is https://0.0.0.0, which is this machine, but to the rules of proxies no loopback address.
"""

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cwinference import TLS, AsyncInference, Inference, errors
from cwinference._proxies import NO_PROXY_VARIABLES, PROXY_VARIABLES
from cwinference.emulator import Emulator
from tests.support import certificates
from tests.support.client_kinds import open_client
from tests.support.inference_kinds import open_inference
from tests.support.recording_proxy import RecordingProxy, RecordingSocksProxy, RefusingProxy
from tests.support.socket_servers import SocketServer

OF_GRPC = ("grpc_proxy", "no_grpc_proxy", "GRPC_ADDRESS_HTTP_PROXY", "GRPC_ADDRESS_HTTP_PROXY_ENABLED_ADDRESSES")
DEAD = "http://127.0.0.1:9"

SETTINGS: dict[str, tuple[Mapping[str, str], bool]] = {
    "none": ({}, False),
    "lower case": ({"https_proxy": "PROXY"}, True),
    "upper case": ({"HTTPS_PROXY": "PROXY"}, True),
    "lower case first": ({"https_proxy": "PROXY", "HTTPS_PROXY": DEAD}, True),
    "all": ({"ALL_PROXY": "PROXY"}, True),
    "all in lower case": ({"all_proxy": "PROXY"}, True),
    "without a scheme": ({"https_proxy": "HOST"}, True),
    "of another scheme": ({"http_proxy": DEAD, "HTTP_PROXY": DEAD}, False),
    "gRPC's own": ({"grpc_proxy": DEAD}, False),
    "gRPC's own as well": ({"grpc_proxy": DEAD, "https_proxy": "PROXY"}, True),
    "gRPC's exemption": ({"https_proxy": "PROXY", "no_grpc_proxy": "*"}, True),
    "gRPC's for addresses": (
        {"GRPC_ADDRESS_HTTP_PROXY": "127.0.0.1:9", "GRPC_ADDRESS_HTTP_PROXY_ENABLED_ADDRESSES": "0.0.0.0/0"},
        False,
    ),
    "star": ({"https_proxy": DEAD, "NO_PROXY": "*"}, False),
    "network": ({"https_proxy": DEAD, "no_proxy": "10.0.0.0/8,0.0.0.0/8"}, False),
    "network in upper case": ({"HTTPS_PROXY": DEAD, "NO_PROXY": "0.1.2.3/8"}, False),
    "address in upper case": ({"https_proxy": DEAD, "NO_PROXY": "0.0.0.0,other"}, False),
    "separated by a space": ({"https_proxy": DEAD, "NO_PROXY": "other.example 0.0.0.0"}, False),
    "another port": ({"https_proxy": "PROXY", "no_proxy": "0.0.0.0:1"}, True),
    "part of the address": ({"https_proxy": "PROXY", "no_proxy": "0.0.0"}, True),
    "all, but exempt": ({"ALL_PROXY": DEAD, "NO_PROXY": "0.0.0.0/32"}, False),
    "argument": ({"argument": "PROXY", "https_proxy": DEAD, "no_proxy": "*", "NO_PROXY": "*"}, True),
    "argument without a scheme": ({"argument": "HOST", "no_proxy": "0.0.0.0,other"}, True),
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a certificate and its key."""
    return certificates.make(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def emulator(pair: tuple[Path, Path]) -> Iterator[Emulator]:
    """Run an emulator that can be reached as https://0.0.0.0."""
    with Emulator(tls_cert=pair[0], tls_key=pair[1], public_url="https://0.0.0.0") as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXY_VARIABLES, *NO_PROXY_VARIABLES, *OF_GRPC):
        monkeypatch.delenv(name, raising=False)


def port_of(emulator: Emulator) -> int:
    return int(emulator.endpoint.rpartition(":")[2])


class Setup:
    """A proxy in front of the emulator, the environment that may name it, and the settings of a client."""

    def __init__(self, emulator: Emulator, ca: Path, proxy: RecordingProxy, port: int, name: str, patch: Any) -> None:
        self._proxy = proxy
        environment, self._is_proxied = SETTINGS[name]
        self._has_password = "PROXY" in environment.values()
        forms = {"PROXY": f"http://user:pass%20word@127.0.0.1:{port}", "HOST": f"127.0.0.1:{port}"}
        values = {key: forms.get(value, value) for key, value in environment.items()}
        argument = values.pop("argument", None)
        for key, value in values.items():
            patch.setenv(key, value)
        self.port = port_of(emulator)
        self.endpoint = f"https://0.0.0.0:{self.port}"
        self.options: dict[str, Any] = {"token": emulator.token, "tls": TLS(ca=ca), "proxy": argument, "retry": None}

    def check(self) -> None:
        """Check that the connections were made as the setting says."""
        heads = {(head[0], *(each for each in head if "authorization" in each)) for head in self._proxy.heads}
        tunnel = f"connect 0.0.0.0:{self.port} http/1.1"
        # In lower case, as the heads are: base64 of "user:pass word".
        password = ["proxy-authorization: basic dxnlcjpwyxnzihdvcmq="] if self._has_password else []
        assert heads == ({(tunnel, *password)} if self._is_proxied else set())


@pytest.fixture(params=SETTINGS)
def setup(
    request: pytest.FixtureRequest, emulator: Emulator, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Setup]:
    """Run a proxy, with one of the settings, and check at the end whether it was used."""
    proxy = RecordingProxy(port_of(emulator))
    with SocketServer(proxy) as server:
        setup = Setup(emulator, pair[0], proxy, server.port, request.param, monkeypatch)
        yield setup
        setup.check()


async def test_calls_go_where_the_settings_say_also_those_that_travel_as_json(kind: str, setup: Setup) -> None:
    async with open_client(kind, setup.endpoint, **setup.options) as client:
        assert await client.gateways.list() == []
        assert [each async for each in client.hot_loads.list()] == []


@pytest.mark.parametrize("mode", ["sync-1", "async-2"])
async def test_completions_go_where_the_settings_say(mode: str, setup: Setup) -> None:
    async with open_inference(mode, f"{setup.endpoint}/gateway/unknown", **setup.options) as inference:
        with pytest.raises(errors.NotFound):
            await inference.chat()


def test_the_openai_packages_client_goes_where_the_settings_say(setup: Setup) -> None:
    openai = pytest.importorskip("openai")
    with (
        Inference(f"{setup.endpoint}/gateway/unknown", **setup.options) as inference,
        inference.openai(max_retries=0) as client,
        pytest.raises(openai.NotFoundError),
    ):
        client.models.list()


async def test_the_openai_packages_async_client_goes_where_the_settings_say(setup: Setup) -> None:
    openai = pytest.importorskip("openai")
    async with (
        AsyncInference(f"{setup.endpoint}/gateway/unknown", **setup.options) as inference,
        inference.openai(max_retries=0) as client,
    ):
        with pytest.raises(openai.NotFoundError):
            await client.models.list()


async def test_a_socks_proxy_is_used_with_its_password_except_over_grpc(
    kind: str, emulator: Emulator, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = RecordingSocksProxy(port_of(emulator))
    with SocketServer(proxy) as server:
        monkeypatch.setenv("ALL_PROXY", f"socks5h://user:pass%20word@127.0.0.1:{server.port}")
        await call_unless_grpc(kind, emulator, pair[0], "ALL_PROXY")
    assert proxy.users == ([] if kind.startswith("grpc") else [(b"user", b"pass word")])


async def test_a_proxy_is_reached_over_tls_except_by_grpc(
    kind: str, emulator: Emulator, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = RecordingProxy(port_of(emulator))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    with SocketServer(proxy, tls=context) as server:
        monkeypatch.setenv("HTTPS_PROXY", f"https://127.0.0.1:{server.port}")
        await call_unless_grpc(kind, emulator, pair[0], "HTTPS_PROXY")
    tunnels = [] if kind.startswith("grpc") else [f"connect 0.0.0.0:{port_of(emulator)} http/1.1"]
    assert [head[0] for head in proxy.heads] == tunnels


async def call_unless_grpc(kind: str, emulator: Emulator, ca: Path, variable: str) -> None:
    """Make a call; over gRPC check that the client is refused, with the name of the variable."""
    opening = open_client(kind, f"https://0.0.0.0:{port_of(emulator)}", emulator.token, tls=TLS(ca=ca), retry=None)
    if kind.startswith("grpc"):
        with pytest.raises(errors.ConfigurationError, match=f"^{variable}: gRPC can use http:// proxies only"):
            await opening.__aenter__()
    else:
        async with opening as client:
            assert await client.gateways.list() == []


async def test_a_proxys_host_that_is_not_valid_is_an_error_and_never_a_direct_connection(
    kind: str, emulator: Emulator, pair: tuple[Path, Path]
) -> None:
    options: dict[str, Any] = {"tls": TLS(ca=pair[0]), "retry": None, "proxy": "http://xn--a:1"}
    async with open_client(kind, f"https://0.0.0.0:{port_of(emulator)}", emulator.token, **options) as client:
        with pytest.raises(errors.Unavailable if kind.startswith("grpc") else errors.ConfigurationError):
            await client.gateways.list()


async def test_a_proxy_that_refuses_the_password_is_asked_once(kind: str, emulator: Emulator) -> None:
    proxy = RefusingProxy("407 Proxy Authentication Required")
    with SocketServer(proxy) as server:
        options: dict[str, Any] = {"proxy": f"http://user:wrong@127.0.0.1:{server.port}"}
        async with open_client(kind, f"https://0.0.0.0:{port_of(emulator)}", emulator.token, **options) as client:
            with pytest.raises(errors.Unavailable, match=r"407|proxy authorization required") as caught:
                await client.gateways.list()
    assert (caught.value.attempts, caught.value.retryable, proxy.asked) == (1, False, 1)


@pytest.mark.filterwarnings("ignore:the token is sent unencrypted")
async def test_a_proxy_forwards_plain_http_and_tunnels_grpc(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Emulator(public_url="http://0.0.0.0") as emulator:
        port = port_of(emulator)
        proxy = RecordingProxy(port)
        with SocketServer(proxy) as server:
            monkeypatch.setenv("http_proxy", f"127.0.0.1:{server.port}")
            monkeypatch.setenv("https_proxy", DEAD)
            options: Any = {"token": emulator.token, "allow_plaintext": True, "retry": None}
            async with open_client(kind, f"http://0.0.0.0:{port}", **options) as client:
                assert await client.gateways.list() == []
    tunnel, forwarded = f"connect 0.0.0.0:{port} http/1.1", f"http://0.0.0.0:{port}/"
    assert [head[0] == tunnel if kind.startswith("grpc") else forwarded in head[0] for head in proxy.heads] == [True]

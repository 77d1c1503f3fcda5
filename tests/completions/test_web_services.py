"""The examples of web services, each run by its own server in a process of its own, on real sockets."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Generator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cwinference import types
from tests.completions.test_gateways import gateway
from tests.support.client_kinds import TOKEN
from tests.support.scripted_model_server import (
    DONE,
    MODEL,
    HttpRequest,
    ScriptedModelServer,
    ScriptedResponse,
    chunk_event,
    endless_silence,
    json_response,
    stream_response,
)
from tests.support.scripted_server import ScriptedServer
from tests.support.waiting import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
COMMANDS = {
    "uvicorn": ["uvicorn", "--port", "0", "--no-access-log", "web_service:app"],
    "gunicorn": [
        "gunicorn", "--bind", "127.0.0.1:0", "--worker-class", "gthread", "--threads", "4", "web_service_threads:app"
    ],
}  # fmt: skip


def respond(request: HttpRequest) -> ScriptedResponse:
    """A model server that does what the last message says."""
    match request.body["messages"][-1]["content"]:
        case "fail":
            return json_response({"error": {"message": "no such model"}}, 404)
        case "fail late":
            return stream_response(b'data: {"error": {"message": "overloaded", "code": 503}}\n\n')
        case "go on":
            return stream_response(chunk_event("a"), after=iter(lambda: chunk_event("b"), b""))
        case "be silent":
            return stream_response(after=endless_silence())
        case _:
            return stream_response(chunk_event("Par"), chunk_event("is", "stop"), DONE)


class Service:
    def __init__(self, url: str, model_server: ScriptedModelServer, has_loop: bool) -> None:
        self._address = urlsplit(url)
        self.model_server = model_server
        self.has_loop = has_loop

    def post(self, message: str) -> tuple[HTTPConnection, HTTPResponse | None]:
        """Send a chat. Return the connection and the response, if one is awaited."""
        chat = {"model": MODEL, "messages": [{"role": "user", "content": message}]}
        connection = self.send(json.dumps(chat).encode())
        return connection, None if message == "be silent" else connection.getresponse()

    def send(self, body: bytes) -> HTTPConnection:
        connection = HTTPConnection(self._address.hostname or "", self._address.port, timeout=60)
        connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        return connection

    def read(self, message: str) -> tuple[int, str]:
        connection, response = self.post(message)
        assert response is not None
        text = response.read().decode()
        connection.close()
        return response.status, text


@pytest.fixture(params=COMMANDS, scope="module")
def service(request: pytest.FixtureRequest) -> Generator[Service]:
    with ScriptedModelServer(respond) as models:
        found = types.GetGatewayResponse(gateway=gateway(models))
        with ScriptedServer("grpc", lambda _: found) as api:
            environment = {
                **os.environ,
                "COREWEAVE_API_TOKEN": TOKEN,
                "COREWEAVE_API_ENDPOINT": api.endpoint,
                "GATEWAYS": "g-1",
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            }
            command = [sys.executable, "-m", *COMMANDS[request.param]]
            process = subprocess.Popen(command, cwd=EXAMPLES, env=environment, stderr=subprocess.PIPE, text=True)
            assert process.stderr is not None
            try:
                log = list[str]()
                while not (match := re.search(r"http://127\.0\.0\.1:\d+", "".join(log[-1:]))):
                    log.append(process.stderr.readline())
                    assert log[-1], "".join(log)
                yield Service(match[0], models, request.param == "uvicorn")
            finally:
                process.terminate()
                process.stderr.read()
                process.wait(60)
                process.stderr.close()


def test_a_chat_is_streamed(service: Service) -> None:
    status, text = service.read("Hi")

    assert status == 200
    lines = [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n")[:-2]]
    assert [line["choices"][0]["delta"]["content"] for line in lines] == ["Par", "is"]
    assert text.endswith("data: [DONE]\n\n")


def test_an_error_before_the_first_byte_is_a_status(service: Service) -> None:
    assert service.read("fail")[0] == 404


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"null", b'"text"', b"{not json", b"\xff", b'{"model": 1}'])
def test_a_body_that_is_no_chat_is_a_bad_request(service: Service, body: bytes) -> None:
    connection = service.send(body)
    response = connection.getresponse()
    assert (response.status, "message" in json.loads(response.read())["error"]) == (400, True)
    connection.close()


def test_so_is_an_error_in_place_of_the_first_chunk(service: Service) -> None:
    status, text = service.read("fail late")

    assert status == 502
    assert "overloaded" in text


def test_a_caller_that_leaves_a_stream_leaves_the_model_too(service: Service) -> None:
    service.model_server.hung_up.clear()
    connection, response = service.post("go on")
    assert response is not None
    assert response.readline().startswith(b"data:")
    response.close()
    connection.close()

    assert service.model_server.was_left()


def test_so_does_one_that_leaves_before_the_first_byte(service: Service) -> None:
    if not service.has_loop:
        pytest.skip("on threads a caller's hang-up shows at the next write")
    service.model_server.hung_up.clear()
    before = len(service.model_server.requests)
    connection, _ = service.post("be silent")
    wait_until(lambda: len(service.model_server.requests) > before)
    connection.close()

    assert service.model_server.was_left()

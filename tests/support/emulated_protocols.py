"""The emulator's protocols in front of a scripted API, and hand-made requests to them."""

import http.client
import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from cwinference._wire.methods import METHODS, Method
from cwinference.emulator.interfaces import Caller, RpcError
from cwinference.emulator.protocols.app import ProtocolRouter
from cwinference.emulator.protocols.service import Service
from cwinference.emulator.server import Certificate, Server
from cwinference.emulator.tokens import Tokens

ADMIN, VIEWER = "CW-SECRET-of-an-admin", "CW-SECRET-of-a-viewer"
ROOT = "/v1alpha1/inference"


@dataclass
class ScriptedApi:
    """Responds to each method with the message under its name, or raises the exception there."""

    responses: dict[str, Message | Exception] = field(default_factory=dict)
    calls: list[tuple[str, Any, Caller]] = field(default_factory=list)

    def call(self, method: Method, request: Message, caller: Caller) -> Message:
        self.calls.append((method.name, request, caller))
        response = self.responses.get(method.name, RpcError("unknown", "no scripted response"))
        if isinstance(response, Exception):
            raise response
        return response


@dataclass
class ApiServer:
    """A running server, the API behind it, and plain HTTP/1.1 to it."""

    api: ScriptedApi
    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def request(self) -> Any:
        """The request of the last call."""
        return self.api.calls[-1][1]

    def http(
        self, verb: str, path: str, body: bytes | None = None, *, token: str | None = ADMIN, **headers: str
    ) -> "HttpResponse":
        """Send one request; names of headers are written with underscores."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            names["authorization"] = f"Bearer {token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(verb, path, body, names)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return HttpResponse(response.status, found, response.read())
        finally:
            connection.close()


@dataclass
class HttpResponse:
    """A complete response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@contextmanager
def serve_api(tls: Certificate | None = None) -> Generator[ApiServer]:
    """Run a server with a scripted API."""
    api = ScriptedApi()
    tokens = Tokens({ADMIN: Caller("cw1a2b"), VIEWER: Caller("cw1a2b", admin=False)})
    server = Server(ProtocolRouter(Service(api, tokens), METHODS.values()), tls=tls)
    server.start()
    try:
        yield ApiServer(api, server.port)
    finally:
        server.stop()

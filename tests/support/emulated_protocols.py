"""The emulator's protocols over an API that answers as it is told, and requests to it made by hand."""

import http.client
import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from cwinference._wire.methods import METHODS, Method
from cwinference.emulator.interfaces import Caller, Refusal
from cwinference.emulator.protocols.app import Front
from cwinference.emulator.protocols.service import Service
from cwinference.emulator.server import Certificate, Server
from cwinference.emulator.tokens import Tokens

ADMIN, VIEWER = "CW-SECRET-of-an-admin", "CW-SECRET-of-a-viewer"
ROOT = "/v1alpha1/inference"


@dataclass
class ToldApi:
    """Answers each method with what stands under its name."""

    answers: dict[str, Message | Exception] = field(default_factory=dict)
    calls: list[tuple[str, Any, Caller]] = field(default_factory=list)

    def call(self, method: Method, request: Message, caller: Caller) -> Message:
        self.calls.append((method.name, request, caller))
        answer = self.answers.get(method.name, Refusal("unknown", "told nothing"))
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class Served:
    """A running server, the API behind it, and plain HTTP/1.1 to it."""

    api: ToldApi
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
    ) -> "Answer":
        """Send one request; names of headers are written with underscores."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            names["authorization"] = f"Bearer {token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(verb, path, body, names)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@contextmanager
def served(tls: Certificate | None = None) -> Generator[Served]:
    """A server for as long as the block runs."""
    api = ToldApi()
    tokens = Tokens({ADMIN: Caller("cw1a2b"), VIEWER: Caller("cw1a2b", admin=False)})
    server = Server(Front(Service(api, tokens), METHODS.values()), tls=tls)
    server.start()
    try:
        yield Served(api, server.port)
    finally:
        server.stop()

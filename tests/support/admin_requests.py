"""Plain HTTP requests to the admin routes of an emulator, as a program in any language sends them."""

import http.client
import json
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from cwinference.emulator import Emulator

from .emulated_protocols import HttpResponse


def raw_request(
    emulator: Emulator, verb: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> HttpResponse:
    """Send a request to a path of the emulator with nothing added."""
    address = urlsplit(emulator.endpoint)
    with closing(http.client.HTTPConnection(address.hostname or "", address.port or 0, timeout=60)) as connection:
        connection.request(verb, path, body, headers or {})
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return HttpResponse(response.status, fields, response.read())


def admin(
    emulator: Emulator, verb: str, path: str, body: Any = ..., *, token: str | None = "", **headers: str
) -> HttpResponse:
    """Send a request to an admin route, with the admin token unless another one is given; `...`: without a body."""
    sent = None if body is ... else body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        fields["authorization"] = f"Bearer {token or emulator.token}"
    return raw_request(emulator, verb, f"/_emulator/{path}", sent, fields)

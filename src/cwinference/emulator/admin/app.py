"""The admin routes as an ASGI application in front of another one, which gets all other requests."""

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, TypeAlias, cast
from urllib.parse import parse_qs, unquote

from ..._version import __version__
from ..interfaces import Caller, RpcError
from ..protocols.asgi import App, AsgiExchange, Disconnected, Receive, Scope, Send
from ..protocols.codecs import HTTP_STATUS
from .controls import Controls
from .request_log import CAPACITY

PREFIX = "/_emulator/"
"""What the paths of the admin routes begin with."""
MAX_BODY_BYTES = 64 * 1024 * 1024
"""Larger than the limit of API calls: a state contains all resources."""
_STATUS = {**HTTP_STATUS, "failed_precondition": 409, "resource_exhausted": 413, "unimplemented": 405}
_OFF = "the admin routes are off beyond the loopback interface; start the emulator with --admin"
_JSON = (b"content-type", b"application/json")
_log = logging.getLogger("cwinference.emulator")
_VARIABLE = re.compile(r"\\\{(\w+)\\\}")

AdminResponse: TypeAlias = tuple[int, object]
"""A status, and a body for JSON; None: there is none."""


@dataclass(frozen=True, slots=True)
class AdminRoute:
    """A verb and a path, and what they do."""

    verb: str
    template: str
    handler: Callable[..., AdminResponse]
    body: str = ""
    """"required", "optional", or empty."""
    is_public: bool = False
    """Whether it needs no token, and is there whatever interface the emulator listens on."""

    def match(self, path: str) -> Mapping[str, str] | None:
        """Return the variables in a path, still percent-encoded, or None if it has another form."""
        found = re.fullmatch(_VARIABLE.sub(r"(?P<\1>[^/]+)", re.escape(self.template)), path)
        return None if found is None else {name: unquote(value) for name, value in found.groupdict().items()}


class AdminRoutes:
    """An ASGI application that responds below `/_emulator/`, and passes all other requests on."""

    def __init__(
        self,
        app: App,
        controls: Controls,
        authenticate: Callable[[str | None], Caller],
        admin: Caller,
        *,
        is_open: bool,
    ) -> None:
        """Wrap an application.

        Args:
            app: gets all other requests.
            controls: what the routes do.
            authenticate: returns the caller that the value of an `Authorization` header authenticates.
            admin: the caller that may use the routes.
            is_open: whether the routes other than `health` and `ready` are there.
        """
        self._app = app
        self._controls = controls
        self._authenticate = authenticate
        self._admin = admin
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        exchange = AsgiExchange(scope, receive, send, limit=MAX_BODY_BYTES)
        try:
            status, body = await self._respond(exchange)
        except Disconnected:
            return
        except _NotAllowed as error:
            allowed = (b"allow", ", ".join(error.verbs).encode())
            await _send(exchange, 405, {"code": "unimplemented", "message": f"use {' or '.join(error.verbs)}"}, allowed)
        except RpcError as error:
            await _send(exchange, _STATUS[error.code], {"code": error.code, "message": error.message})
        except Exception:
            _log.exception("%s %s failed", exchange.verb, exchange.raw_path)
            await _send(exchange, 500, {"code": "internal", "message": "internal error in the emulator; see its log"})
        else:
            await _send(exchange, status, body)

    async def _respond(self, exchange: AsgiExchange) -> AdminResponse:
        route, variables = _find(exchange.verb, exchange.raw_path)
        if not route.is_public:
            if not self._is_open:
                raise RpcError("not_found", _OFF)
            if self._authenticate(exchange.header(b"authorization")) != self._admin:
                raise RpcError("permission_denied", "the admin routes need the emulator's admin token")
        arguments: list[object] = list(variables.values())
        body = await exchange.body()
        if route.body:
            arguments.append(_parse(body, optional=route.body == "optional"))
        if route.template == "requests":
            arguments += _numbers(exchange)
        return route.handler(self._controls, *arguments)


class _NotAllowed(Exception):
    """A path that exists for other verbs only."""

    def __init__(self, verbs: Sequence[str]) -> None:
        super().__init__(verbs)
        self.verbs = verbs


def _find(verb: str, path: str) -> tuple[AdminRoute, Mapping[str, str]]:
    found = [
        (route, variables) for route in ROUTES if (variables := route.match(path.removeprefix(PREFIX))) is not None
    ]
    if not found:
        raise RpcError("not_found", f"there is no route {path}; see {PREFIX}openapi.json")
    for route, variables in found:
        if verb == route.verb or (verb == "HEAD" and route.verb == "GET"):
            return route, variables
    raise _NotAllowed([route.verb for route, _ in found])


async def _send(exchange: AsgiExchange, status: int, body: object, *headers: tuple[bytes, bytes]) -> None:
    if status == 204:
        await exchange.respond(status, headers)
    else:
        text = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        await exchange.respond(status, [_JSON, (b"cache-control", b"no-store"), *headers], text + b"\n")


def _parse(body: bytes, *, optional: bool) -> object:
    if optional and not body.strip():
        return {}
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair cannot be encoded
    except (ValueError, RecursionError) as error:
        raise RpcError("invalid_argument", f"the body is not JSON: {str(error)[:200]}") from None
    return value


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not valid in JSON")


def _numbers(exchange: AsgiExchange) -> list[object]:
    """Return `limit` and `after` of the query."""
    query = parse_qs(exchange.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    limits = {"limit": (1, CAPACITY, CAPACITY), "after": (0, 2**53, 0)}
    numbers: list[object] = []
    for name, (least, most, default) in limits.items():
        text = query.get(name, [str(default)])[-1]
        if not (text.isascii() and text.isdecimal() and least <= int(text[:20]) <= most):
            raise RpcError("invalid_argument", f"{name}: expected a whole number from {least} to {most}, got {text!r}")
        numbers.append(int(text))
    return numbers


def _object(value: object, *known: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise RpcError("invalid_argument", "the body is not a JSON object")
    fields = cast(dict[str, Any], value)
    for key in fields:
        if known and key not in known:
            raise RpcError("invalid_argument", f"unknown key {key!r}; known keys are {', '.join(known)}")
    return fields


def _health(controls: Controls) -> AdminResponse:
    return 200, {"status": "ok", "version": __version__}


def _ready(controls: Controls) -> AdminResponse:
    return (200, {"status": "ready"}) if controls.ready else (503, {"status": "starting"})


def _openapi(controls: Controls) -> AdminResponse:
    text = resources.files("cwinference.emulator.admin").joinpath("openapi.json").read_text("utf-8")
    return 200, json.loads(text)


def _reset(controls: Controls, body: object) -> AdminResponse:
    keep_seed = _object(body, "keep_seed").get("keep_seed", False)
    if not isinstance(keep_seed, bool):
        raise RpcError("invalid_argument", f"keep_seed: expected true or false, got {keep_seed!r}")
    return 200, {"resources": controls.reset(keep_seed=keep_seed)}


def _state(controls: Controls) -> AdminResponse:
    return 200, controls.state()


def _set_state(controls: Controls, body: object) -> AdminResponse:
    return 200, {"resources": controls.set_state(_object(body))}


def _faults(controls: Controls) -> AdminResponse:
    return 200, {"faults": controls.faults()}


def _add_fault(controls: Controls, body: object) -> AdminResponse:
    return 201, controls.add_fault(_object(body))


def _remove_faults(controls: Controls) -> AdminResponse:
    controls.remove_faults()
    return 204, None


def _remove_fault(controls: Controls, id: str) -> AdminResponse:
    controls.remove_fault(id)
    return 204, None


def _fates(controls: Controls) -> AdminResponse:
    return 200, {"fates": controls.fates()}


def _set_fate(controls: Controls, name: str, body: object) -> AdminResponse:
    controls.set_fate(name, body)
    return 200, {"name": name, "fate": controls.fates().get(name)}


def _clock(controls: Controls) -> AdminResponse:
    return 200, controls.clock()


def _advance(controls: Controls, body: object) -> AdminResponse:
    controls.advance(_object(body, "advance").get("advance"))
    return 200, controls.clock()


def _requests(controls: Controls, limit: int, after: int) -> AdminResponse:
    return 200, {"requests": controls.requests(limit, after)}


ROUTES = (
    AdminRoute("GET", "health", _health, is_public=True),
    AdminRoute("GET", "ready", _ready, is_public=True),
    AdminRoute("GET", "openapi.json", _openapi),
    AdminRoute("POST", "reset", _reset, body="optional"),
    AdminRoute("GET", "state", _state),
    AdminRoute("PUT", "state", _set_state, body="required"),
    AdminRoute("GET", "faults", _faults),
    AdminRoute("POST", "faults", _add_fault, body="required"),
    AdminRoute("DELETE", "faults", _remove_faults),
    AdminRoute("DELETE", "faults/{id}", _remove_fault),
    AdminRoute("GET", "fates", _fates),
    AdminRoute("PUT", "fates/{name}", _set_fate, body="required"),
    AdminRoute("GET", "clock", _clock),
    AdminRoute("POST", "clock", _advance, body="required"),
    AdminRoute("GET", "requests", _requests),
)

"""The routes below a gateway's endpoint: OpenAI's chat completions, completions and models, as an ASGI application."""

import asyncio
import json
import random
import re
import uuid
from collections.abc import Callable, Collection, Coroutine, Mapping
from functools import partial
from typing import Any, NoReturn, TypeAlias, cast, get_args
from urllib.parse import unquote

from ... import types
from ..interfaces import Caller, Directory, RpcError
from ..protocols.asgi import App, AsgiExchange, Receive, Scope, Send, state_of
from ..protocols.codecs import decompress
from . import routing
from .models import TextModel
from .openai_request import CompletionRoute, GatewayError, ModelRequest, invalid_value
from .response import ResponseWriter, encode_json

Authenticate: TypeAlias = Callable[[str | None], Caller]
"""Returns the caller that the value of an `Authorization` header authenticates, or raises `RpcError`."""

MAX_BODY_BYTES = 32 * 1024 * 1024
"""Larger than the limit of API calls: chats can contain pictures."""
ROUTES: frozenset[str] = frozenset(get_args(CompletionRoute))
_MODELS = re.compile(r"models(?:/.+)?", re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
"""A JSON escape of one half of a surrogate pair."""
_GATEWAY_PATH = re.compile(r"/gateway/(?P<id>[^/]+)(?P<path>.*)", re.DOTALL)


class CompletionsApp:
    """The ASGI application for every path below `/gateway/<id>`."""

    def __init__(
        self,
        directory: Directory,
        model_for: Callable[[types.Deployment], TextModel],
        authenticate: Authenticate,
        *,
        random: Callable[[], float] = random.random,
    ) -> None:
        """Create the application.

        Args:
            directory: where to look up gateways and their deployments.
            model_for: returns the model that generates the completions of a deployment.
            authenticate: returns the caller with a CoreWeave token.
            random: returns a number from 0 up to, but not including, 1. It decides between deployments of one model.
        """
        self._directory = directory
        self._model_for = model_for
        self._authenticate = authenticate
        self._random = random

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request; stop when the client disconnects."""
        exchange = AsgiExchange(scope, receive, send, limit=MAX_BODY_BYTES)
        request_id = exchange.header(b"x-request-id") or uuid.uuid4().hex
        response = ResponseWriter(exchange, {"x-request-id": request_id})
        await _with_errors(self._dispatch(exchange, receive, response), response)

    async def _dispatch(self, exchange: AsgiExchange, receive: Receive, response: ResponseWriter) -> None:
        gateway, path = self._gateway(exchange.scope)
        self._check_access(gateway, exchange.header(b"authorization"))
        routing.check_ready(gateway)
        target = routing.parse_path(gateway, path)
        deployments = self._directory.deployments(gateway.spec.id)
        if target.route not in ROUTES and not _MODELS.fullmatch(target.route):
            raise GatewayError(404, f"Unknown route /v1/{target.route}", code="unknown_url")
        if target.route in ROUTES:
            _check_verb(exchange, "POST")
            body = await _body(exchange)
            name = routing.model_name(gateway, target, exchange, body)
            deployment = routing.choose(name, deployments, self._random)
            routing.check_model_name(body.get("model"), deployment)
            request = ModelRequest(cast(CompletionRoute, target.route), {**body, "model": name})
            serve = partial(_serve, self._model_for(deployment), request, response.headers)
            around = state_of(exchange.scope).get("around_deployment", _as_it_is)
            app = around((deployment.spec.id, deployment.spec.name), serve)
            await app(exchange.scope, _after_body(receive), _stamped(exchange.send, deployment))
        else:
            _check_verb(exchange, "GET", "HEAD")
            await response.send(200, encode_json(_models(target, routing.serving(deployments))))

    def _gateway(self, scope: Scope) -> tuple[types.Gateway, str]:
        # The raw path: the name of a model in it can contain an encoded slash, which must not separate segments.
        found = _GATEWAY_PATH.fullmatch(scope["raw_path"].decode("latin-1"))
        gateway = self._directory.gateway(unquote(found["id"])) if found else None
        if found is None or gateway is None:
            raise GatewayError(404, "There is no gateway at this address", code="gateway_not_found")
        return gateway, found["path"]

    def _check_access(self, gateway: types.Gateway, authorization: str | None) -> None:
        by_wandb = gateway.spec.WhichOneof("auth") == "weights_and_biases_auth"
        try:
            caller = self._authenticate(authorization)
        except RpcError as error:
            # The emulator knows no Weights & Biases keys, so it accepts any that could be one.
            scheme, _, key = (authorization or "").partition(" ")
            if by_wandb and scheme.lower() == "bearer" and key.strip():
                return
            raise _unauthorized("expected a Weights & Biases API key" if by_wandb else error.message) from None
        if by_wandb:
            raise _unauthorized("this is a CoreWeave token; this gateway accepts Weights & Biases API keys only")
        if caller.organization != gateway.spec.organization_id:
            raise GatewayError(403, "This token belongs to another organization than the gateway", code="forbidden")


async def _serve(
    model: TextModel, request: ModelRequest, headers: Mapping[str, str], scope: Scope, receive: Receive, send: Send
) -> None:
    """Generate a completion for a request that was read: an ASGI application, so that faults can be put around it."""
    exchange = AsgiExchange(scope, receive, send)
    await exchange.body()
    response = ResponseWriter(exchange, headers)
    await _with_errors(_run_until_disconnect(model.complete(request, response), exchange), response)


async def _with_errors(work: Coroutine[Any, Any, None], response: ResponseWriter) -> None:
    """Respond with the error that the work raises."""
    try:
        await work
    except GatewayError as error:
        response.headers.update(error.headers)
        await response.send(error.status, encode_json(error.body))


def _as_it_is(deployment: Collection[str], app: App) -> App:
    return app


def _after_body(receive: Receive) -> Receive:
    """Return a `receive` for what handles a request whose body was read: it gives an empty one first."""
    is_first = True

    async def receive_after_body() -> Mapping[str, Any]:
        nonlocal is_first
        if is_first:
            is_first = False
            return {"type": "http.request", "body": b"", "more_body": False}
        return await receive()

    return receive_after_body


def _stamped(send: Send, deployment: types.Deployment) -> Send:
    """Return a `send` that adds to each response, also to that of a fault, which deployment it is from."""
    stamp = (b"x-emulator-deployment", deployment.spec.id.encode("latin-1", "replace"))

    async def send_stamped(event: Mapping[str, Any]) -> None:
        if event["type"] == "http.response.start":
            event = {**event, "headers": [*event["headers"], stamp]}
        await send(event)

    return send_stamped


def _unauthorized(message: str) -> GatewayError:
    return GatewayError(
        401, f"Incorrect API key provided: {message}", code="invalid_api_key", headers={"www-authenticate": "Bearer"}
    )


def _check_verb(exchange: AsgiExchange, *allowed: str) -> None:
    if exchange.verb not in allowed:
        message = f"Method {exchange.verb} is not allowed here; use {allowed[0]}"
        raise GatewayError(405, message, code="method_not_allowed", headers={"allow": ", ".join(allowed)})


async def _body(exchange: AsgiExchange) -> dict[str, Any]:
    encoding = exchange.header(b"content-encoding") or ""
    try:
        text = decompress(await exchange.body(), encoding, MAX_BODY_BYTES)
        body = json.loads(text.decode("utf-8"), parse_constant=_refuse_constant)
        if _SURROGATE.search(text):
            # Python's parser accepts half a surrogate pair, and only encoding the response would fail then. Encoding
            # the body now raises UnicodeEncodeError, a ValueError, while the request can still be refused.
            encode_json(body)
    except RpcError as error:
        if error.code == "resource_exhausted":
            raise GatewayError(413, error.message, code="request_too_large") from None
        raise invalid_value(None, error.message) from None
    except (ValueError, RecursionError) as error:
        raise invalid_value(None, f"The body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise invalid_value(None, "The body is not a JSON object")
    return cast(dict[str, Any], body)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not valid in JSON")


async def _run_until_disconnect(work: Coroutine[Any, Any, None], exchange: AsgiExchange) -> None:
    """Run a coroutine, and cancel it when the client disconnects.

    ASGI reports a disconnect only to an application that waits for it. Otherwise a completion would be generated to its
    end, or wait for another server, though nobody receives it. All of the body must have been read.
    """
    working = asyncio.create_task(work)
    watching = asyncio.create_task(exchange.wait_for_disconnect())
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        # This also runs when the task itself is canceled, because the server stops. `gather` waits until the completion
        # has cleaned up: it may have to close a connection to another server.
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


def _models(target: routing.RequestTarget, deployments: list[types.Deployment]) -> dict[str, Any]:
    """Return the list of models for `models`, or one of them for `models/<name>`."""
    # In reverse order, so that the first of several deployments of a model determines its entry; reversed again below.
    by_name = {
        each.spec.model.name: {
            "id": each.spec.model.name,
            "object": "model",
            "created": each.status.created_at.seconds,
            "owned_by": each.spec.organization_id,
        }
        for each in reversed(deployments)
        if target.model in (None, each.spec.model.name)
    }
    name = target.route.removeprefix("models").removeprefix("/")
    if (wanted := name or target.model) and wanted not in by_name:
        raise routing.model_not_found(f"The model {wanted!r} does not exist")
    return by_name[name] if name else {"object": "list", "data": [*reversed(by_name.values())]}

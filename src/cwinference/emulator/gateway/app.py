"""What stands below a gateway's endpoint: OpenAI's chat completions, completions and models, as an ASGI app."""

import asyncio
import json
import random
import re
import uuid
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, cast, get_args
from urllib.parse import unquote

from ... import types
from ..interfaces import Caller, Directory, Refusal
from ..protocols.asgi import Exchange, Receive, Scope, Send
from ..protocols.codecs import decompress
from . import routing
from .models import Engine
from .openai_request import Problem, Request, Route, invalid
from .response import Reply, encoded

Authorize: TypeAlias = Callable[[str | None], Caller]
"""Who the value of an `Authorization` header stands for; raises `Refusal` when it is nobody."""

MAX_BODY_BYTES = 32 * 1024 * 1024
"""Pictures in chats, and token ids, are long."""
ROUTES: frozenset[str] = frozenset(get_args(Route))
_MODELS = re.compile(r"models(?:/.+)?", re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_BELOW = re.compile(r"/gateway/(?P<id>[^/]+)(?P<path>.*)", re.DOTALL)


class Completions:
    """Answers everything below `/gateway/<id>`."""

    def __init__(
        self,
        directory: Directory,
        engines: Callable[[types.Deployment], Engine],
        authorize: Authorize,
        *,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._directory = directory
        self._engines = engines
        """The engine that answers for a deployment."""
        self._authorize = authorize
        self._random = random
        """A number from 0 up to 1, for the choice among deployments that share a model."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, and stop working on it when its client hangs up."""
        exchange = Exchange(scope, receive, send, limit=MAX_BODY_BYTES)
        reply = Reply(exchange, {"x-request-id": exchange.header(b"x-request-id") or uuid.uuid4().hex})
        try:
            await self._dispatch(exchange, reply)
        except Problem as problem:
            reply.headers.update(problem.headers)
            await reply.whole(problem.status, encoded(problem.body))

    async def _dispatch(self, exchange: Exchange, reply: Reply) -> None:
        gateway, path = self._gateway(exchange.scope)
        self._admit(gateway, exchange.header(b"authorization"))
        routing.check_ready(gateway)
        target = routing.target(gateway, path)
        deployments = self._directory.deployments(gateway.spec.id)
        if target.route not in ROUTES and not _MODELS.fullmatch(target.route):
            raise Problem(404, f"No such route: /v1/{target.route}", code="unknown_url")
        if target.route in ROUTES:
            _check_verb(exchange, "POST")
            body = await _body(exchange)
            name = routing.model(gateway, target, exchange, body)
            deployment = routing.choose(name, deployments, self._random)
            routing.check_name(body.get("model"), deployment)
            reply.headers["x-emulator-deployment"] = deployment.spec.id
            request = Request(cast(Route, target.route), {**body, "model": name})
            await _unless_gone(self._engines(deployment).answer(request, reply), exchange)
        else:
            _check_verb(exchange, "GET", "HEAD")
            await reply.whole(200, encoded(_models(target, routing.serving(deployments))))

    def _gateway(self, scope: Scope) -> tuple[types.Gateway, str]:
        found = _BELOW.fullmatch(scope["raw_path"].decode("latin-1"))
        gateway = self._directory.gateway(unquote(found["id"])) if found else None
        if found is None or gateway is None:
            raise Problem(404, "There is no gateway at this address", code="gateway_not_found")
        return gateway, found["path"]

    def _admit(self, gateway: types.Gateway, authorization: str | None) -> None:
        by_wandb = gateway.spec.WhichOneof("auth") == "weights_and_biases_auth"
        try:
            caller = self._authorize(authorization)
        except Refusal as refusal:
            scheme, _, key = (authorization or "").partition(" ")
            if by_wandb and scheme.lower() == "bearer" and key.strip():
                return
            raise _unauthorized("a Weights & Biases API key is expected" if by_wandb else refusal.message) from None
        if by_wandb:
            raise _unauthorized("this is a CoreWeave token; this gateway takes Weights & Biases API keys")
        if caller.organization != gateway.spec.organization_id:
            raise Problem(403, "This token belongs to another organization than the gateway", code="forbidden")


def _unauthorized(message: str) -> Problem:
    return Problem(
        401, f"Incorrect API key provided: {message}", code="invalid_api_key", headers={"www-authenticate": "Bearer"}
    )


def _check_verb(exchange: Exchange, *allowed: str) -> None:
    if exchange.verb not in allowed:
        message = f"Method {exchange.verb} is not allowed here; use {allowed[0]}"
        raise Problem(405, message, code="method_not_allowed", headers={"allow": ", ".join(allowed)})


async def _body(exchange: Exchange) -> dict[str, Any]:
    encoding = exchange.header(b"content-encoding") or ""
    try:
        text = decompress(await exchange.body(), encoding, MAX_BODY_BYTES)
        body = json.loads(text)
        if _SURROGATE.search(text):
            encoded(body)  # which halves of pairs break
    except Refusal as refusal:
        if refusal.code == "resource_exhausted":
            raise Problem(413, refusal.message, code="request_too_large") from None
        raise invalid(None, refusal.message) from None
    except (ValueError, RecursionError) as error:
        raise invalid(None, f"The body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise invalid(None, "The body is not a JSON object")
    return cast(dict[str, Any], body)


async def _unless_gone(work: Coroutine[Any, Any, None], exchange: Exchange) -> None:
    """Do the work, and give it up when the client hangs up."""
    working = asyncio.create_task(work)
    watching = asyncio.create_task(exchange.gone())
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


def _models(target: routing.Target, deployments: list[types.Deployment]) -> dict[str, Any]:
    """The list of models, or one of them: `models` or `models/<name>`."""
    listed = {
        each.spec.model.name: {
            "id": each.spec.model.name,
            "object": "model",
            "created": each.status.created_at.seconds,
            "owned_by": each.spec.organization_id,
        }
        for each in reversed(deployments)
        if target.model in (None, each.spec.model.name)
    }
    one = target.route.removeprefix("models").removeprefix("/")
    if (wanted := one or target.model) and wanted not in listed:
        raise routing.unknown(f"The model {wanted!r} does not exist")
    return listed[one] if one else {"object": "list", "data": [*reversed(listed.values())]}

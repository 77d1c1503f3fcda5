"""How a gateway finds the deployment that a request is for: by body, header or path, then by traffic weights."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from ... import types
from ...status import State
from ..protocols.asgi import Exchange
from .openai_request import Problem, invalid

ALIVE = (State.READY, State.UPDATING)
"""States in which a deployment answers; an update leaves the old replicas in service until the new ones are."""
_TRY_AGAIN = {"retry-after": "1"}


@dataclass(frozen=True)
class Target:
    """Where a path below a gateway leads."""

    route: str
    """What stands behind `/v1/`."""
    model: str | None = None
    """The model, where the path names it."""


def target(gateway: types.Gateway, path: str) -> Target:
    """Take the path below a gateway apart, percent-encoded as it came."""
    found = re.fullmatch(r"(?:/(?P<model>[^/]+))?/v1/(?P<route>.+)", path)
    by_path = gateway.spec.WhichOneof("routing") == "path_based_routing"
    if found and by_path == (found["model"] is not None):
        return Target(unquote(found["route"]), unquote(found["model"]) if by_path else None)
    form = "/<model, percent-encoded>/v1/..." if by_path else "/v1/..."
    raise Problem(404, f"No such path: {path or '/'}; this gateway answers at {form}", code="unknown_url")


def model(gateway: types.Gateway, at: Target, exchange: Exchange, body: Mapping[str, Any]) -> str:
    """The name of the model that a request wants."""
    named = body.get("model")
    if named is not None and not isinstance(named, str):
        raise invalid("model", "expected a text")
    if at.model is not None:
        return at.model
    if gateway.spec.WhichOneof("routing") == "header_based_routing":
        header = gateway.spec.header_based_routing.header_name
        if not (routed := exchange.header(header.lower().encode())):
            raise invalid(None, f"This gateway finds the model by the header {header!r}, which is missing")
        return routed
    if not named:
        raise invalid("model", "this gateway finds the model by this field, which is missing")
    return named


def serving(deployments: Sequence[types.Deployment]) -> list[types.Deployment]:
    """Those that answer requests now."""
    return [each for each in deployments if not each.spec.disabled and State.of(each) in ALIVE]


def choose(name: str, deployments: Sequence[types.Deployment], random: Callable[[], float]) -> types.Deployment:
    """One of the deployments of a model, by their weights; evenly when all of these are 0."""
    sharing = [each for each in deployments if each.spec.model.name == name]
    candidates = serving(sharing)
    if not candidates:
        raise _nobody(name, sharing)
    weights = [each.spec.traffic.weight for each in candidates]
    if not any(weights):
        weights = [1] * len(candidates)
    point = random() * sum(weights)
    for candidate, weight in zip(candidates, weights, strict=True):
        point -= weight
        if point < 0:
            return candidate
    raise AssertionError("random() gives numbers below 1")


def check_name(named: str | None, deployment: types.Deployment) -> None:
    """An engine refuses a body that names another model than the one it runs."""
    if named is not None and named != deployment.spec.model.name:
        served = deployment.spec.model.name
        raise unknown(f"The model {named!r} does not exist here: this request was routed to {served!r}")


def _nobody(name: str, sharing: Sequence[types.Deployment]) -> Problem:
    if not sharing:
        return unknown(f"The model {name!r} does not exist")
    if all(each.spec.disabled for each in sharing):
        return unknown(f"The deployment of model {name!r} is disabled")
    states = ", ".join(f"{each.spec.name} is {State.of(each).name}" for each in sharing if not each.spec.disabled)
    return Problem(503, f"No deployment of model {name!r} is ready: {states}", code="not_ready", headers=_TRY_AGAIN)


def unknown(message: str) -> Problem:
    """There is no such model here."""
    return Problem(404, message, code="model_not_found", param="model")


def check_ready(gateway: types.Gateway) -> None:
    """A gateway has no address before it is READY."""
    state = State.of(gateway)
    if state not in ALIVE:
        name = gateway.spec.name
        raise Problem(503, f"The gateway {name} is {state.name}", code="not_ready", headers=_TRY_AGAIN)

"""How a gateway finds the deployment for a request: the model by body, header or path, then one by traffic weights."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from ... import types
from ...status import State
from ..protocols.asgi import AsgiExchange
from .openai_request import GatewayError, invalid_value

SERVING_STATES = (State.READY, State.UPDATING)
"""States in which a deployment serves requests: during an update the old replicas serve until the new ones do."""
_RETRY_HEADERS = {"retry-after": "1"}


@dataclass(frozen=True)
class RequestTarget:
    """What a path below a gateway's endpoint leads to."""

    route: str
    """The part after `/v1/`."""
    model: str | None = None
    """The model, when the path names it."""


def parse_path(gateway: types.Gateway, path: str) -> RequestTarget:
    """Split the path below a gateway's endpoint, still percent-encoded. Raises `GatewayError` for an unknown form."""
    found = re.fullmatch(r"(?:/(?P<model>[^/]+))?/v1/(?P<route>.+)", path)
    by_path = gateway.spec.WhichOneof("routing") == "path_based_routing"
    if found and by_path == (found["model"] is not None):
        return RequestTarget(unquote(found["route"]), unquote(found["model"]) if by_path else None)
    form = "/<model, percent-encoded>/v1/..." if by_path else "/v1/..."
    raise GatewayError(404, f"Unknown path {path or '/'}; this gateway serves {form}", code="unknown_url")


def model_name(gateway: types.Gateway, target: RequestTarget, exchange: AsgiExchange, body: Mapping[str, Any]) -> str:
    """Return the name of the model that a request is for, from the place that the gateway's routing says."""
    named = body.get("model")
    if named is not None and not isinstance(named, str):
        raise invalid_value("model", "expected a string")
    if target.model is not None:
        return target.model
    if gateway.spec.WhichOneof("routing") == "header_based_routing":
        header = gateway.spec.header_based_routing.header_name
        if not (routed := exchange.header(header.lower().encode())):
            raise invalid_value(None, f"This gateway selects the model by the header {header!r}, which is missing")
        return routed
    if not named:
        raise invalid_value("model", "this gateway selects the model by this field, which is missing")
    return named


def serving(deployments: Sequence[types.Deployment]) -> list[types.Deployment]:
    """Return the deployments that serve requests now."""
    return [each for each in deployments if not each.spec.disabled and State.of(each) in SERVING_STATES]


def choose(name: str, deployments: Sequence[types.Deployment], random: Callable[[], float]) -> types.Deployment:
    """Choose a deployment of a model at random, by traffic weights; evenly if these are all 0.

    `random` returns a number from 0 up to, but not including, 1. Raises `GatewayError` if no deployment serves.
    """
    of_model = [each for each in deployments if each.spec.model.name == name]
    candidates = serving(of_model)
    if not candidates:
        raise _unavailable(name, of_model)
    weights = [each.spec.traffic.weight for each in candidates]
    if not any(weights):
        weights = [1] * len(candidates)
    # The weights, end to end, form a line, and a random point on it lies within the share of one candidate. Less than
    # 0, not 0, ends the search: a candidate of weight 0 has no share, and must not be chosen when the point is 0.
    point = random() * sum(weights)
    for candidate, weight in zip(candidates, weights, strict=True):
        point -= weight
        if point < 0:
            return candidate
    raise AssertionError("random() must return numbers below 1")


def check_model_name(named: str | None, deployment: types.Deployment) -> None:
    """Raise `GatewayError` if a body names another model than the deployment runs, as its engine would refuse it."""
    if named is not None and named != deployment.spec.model.name:
        served = deployment.spec.model.name
        raise model_not_found(f"The model {named!r} does not exist here: this request was routed to {served!r}")


def _unavailable(name: str, of_model: Sequence[types.Deployment]) -> GatewayError:
    if not of_model:
        return model_not_found(f"The model {name!r} does not exist")
    if all(each.spec.disabled for each in of_model):
        return model_not_found(f"The deployment of model {name!r} is disabled")
    states = ", ".join(f"{each.spec.name} is {State.of(each).name}" for each in of_model if not each.spec.disabled)
    message = f"No deployment of model {name!r} is ready: {states}"
    return GatewayError(503, message, code="not_ready", headers=_RETRY_HEADERS)


def model_not_found(message: str) -> GatewayError:
    """Return the error for a model that this gateway does not serve."""
    return GatewayError(404, message, code="model_not_found", param="model")


def check_ready(gateway: types.Gateway) -> None:
    """Raise `GatewayError` for a gateway that is not READY: the real one has no address before."""
    state = State.of(gateway)
    if state not in SERVING_STATES:
        message = f"The gateway {gateway.spec.name} is {state.name}"
        raise GatewayError(503, message, code="not_ready", headers=_RETRY_HEADERS)

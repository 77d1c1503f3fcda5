"""Gateways and deployments as a directory holds them, made without the management API."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cwinference import State, types
from cwinference.emulator.gateway.app import Completions
from cwinference.emulator.interfaces import Caller, Refusal

ORGANIZATION = "cw1a2b"
OURS = {"authorization": "Bearer ours"}
THEIRS = {"authorization": "Bearer theirs"}
MODEL = "org/model"

BY_BODY: Any = {"body_based_routing": types.BodyBasedRouting(api_type=types.BodyBasedRouting.API_TYPE_OPENAI)}
BY_HEADER: Any = {"header_based_routing": types.HeaderBasedRouting(header_name="X-Model")}
BY_PATH: Any = {"path_based_routing": types.PathBasedRouting()}


def gateway(id: str = "front", state: State = State.READY, **spec: Any) -> types.Gateway:
    """Routed by body and open to CoreWeave tokens, unless told otherwise."""
    made: Any = types.Gateway
    routing = {} if any(name.endswith("routing") for name in spec) else BY_BODY
    auth = {} if "weights_and_biases_auth" in spec else {"core_weave_auth": types.CoreWeaveAuth()}
    full = {"id": id, "name": id, "organization_id": ORGANIZATION, **routing, **auth, **spec}
    return made(spec=full, status={"status": state.value})  # type: ignore[no-any-return]


def deployment(
    id: str, model: str = MODEL, *, state: State = State.READY, weight: int = 0, disabled: bool = False
) -> types.Deployment:
    made: Any = types.Deployment
    spec = {
        "id": id,
        "name": id,
        "organization_id": ORGANIZATION,
        "model": {"name": model},
        "traffic": {"weight": weight},
        "disabled": disabled,
    }
    return made(spec=spec, status={"status": state.value, "created_at": {"seconds": 7}})  # type: ignore[no-any-return]


@dataclass
class Directory:
    """One gateway and its deployments."""

    front: types.Gateway
    behind: Sequence[types.Deployment]

    def gateway(self, id: str) -> types.Gateway | None:
        return self.front if id == self.front.spec.id else None

    def deployments(self, gateway_id: str) -> Sequence[types.Deployment]:
        return self.behind


def authorize(authorization: str | None) -> Caller:
    """Two organizations, with a token each."""
    organizations = {"Bearer ours": ORGANIZATION, "Bearer theirs": "other"}
    if authorization not in organizations:
        raise Refusal("unauthenticated", "the token is not valid")
    return Caller(organizations[authorization])


def completions(
    engine: Any, front: types.Gateway | None = None, behind: Sequence[types.Deployment] | None = None, **settings: Any
) -> Completions:
    """What stands below the endpoint of a gateway, with the same engine behind every deployment."""
    directory = Directory(front or gateway(), [deployment("one")] if behind is None else behind)
    return Completions(directory, lambda deployment: engine, authorize, **settings)

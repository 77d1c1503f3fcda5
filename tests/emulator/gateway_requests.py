"""Gateways and deployments in a directory, created without the management API."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cwinference import State, types
from cwinference.emulator.gateway.app import CompletionsApp
from cwinference.emulator.interfaces import Caller, RpcError

ORGANIZATION = "cw1a2b"
OURS = {"authorization": "Bearer ours"}
THEIRS = {"authorization": "Bearer theirs"}
MODEL = "org/model"

BY_BODY: Any = {"body_based_routing": types.BodyBasedRouting(api_type=types.BodyBasedRouting.API_TYPE_OPENAI)}
BY_HEADER: Any = {"header_based_routing": types.HeaderBasedRouting(header_name="X-Model")}
BY_PATH: Any = {"path_based_routing": types.PathBasedRouting()}


def gateway(id: str = "front", state: State = State.READY, **spec: Any) -> types.Gateway:
    """Return a gateway; by default one that is routed by body and takes CoreWeave tokens."""
    message_type: Any = types.Gateway
    routing = {} if any(name.endswith("routing") for name in spec) else BY_BODY
    auth = {} if "weights_and_biases_auth" in spec else {"core_weave_auth": types.CoreWeaveAuth()}
    full = {"id": id, "name": id, "organization_id": ORGANIZATION, **routing, **auth, **spec}
    return message_type(spec=full, status={"status": state.value})  # type: ignore[no-any-return]


def deployment(
    id: str, model: str = MODEL, *, state: State = State.READY, weight: int = 0, disabled: bool = False
) -> types.Deployment:
    message_type: Any = types.Deployment
    spec = {
        "id": id,
        "name": id,
        "organization_id": ORGANIZATION,
        "model": {"name": model},
        "traffic": {"weight": weight},
        "disabled": disabled,
    }
    return message_type(spec=spec, status={"status": state.value, "created_at": {"seconds": 7}})  # type: ignore[no-any-return]


@dataclass
class Directory:
    """One gateway and its deployments."""

    only_gateway: types.Gateway
    all_deployments: Sequence[types.Deployment]

    def gateway(self, id: str) -> types.Gateway | None:
        return self.only_gateway if id == self.only_gateway.spec.id else None

    def deployments(self, gateway_id: str) -> Sequence[types.Deployment]:
        return self.all_deployments


def authenticate(authorization: str | None) -> Caller:
    """Return the caller of a token: each of two organizations has one."""
    organizations = {"Bearer ours": ORGANIZATION, "Bearer theirs": "other"}
    if authorization not in organizations:
        raise RpcError("unauthenticated", "the token is not valid")
    return Caller(organizations[authorization])


def completions_app(
    model: Any,
    served: types.Gateway | None = None,
    deployments: Sequence[types.Deployment] | None = None,
    **settings: Any,
) -> CompletionsApp:
    """Return the application below a gateway's endpoint, with the same model behind every deployment."""
    directory = Directory(served or gateway(), [deployment("one")] if deployments is None else deployments)
    return CompletionsApp(directory, lambda deployment: model, authenticate, **settings)

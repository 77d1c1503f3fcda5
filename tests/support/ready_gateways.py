"""An emulator with a gateway and a deployment that are READY, to request completions from."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cwinference import Client, types
from cwinference.emulator import Emulator

MODEL = "org/model"
ROUTINGS: dict[str, Any] = {
    "body": {"body_based_routing": types.BodyBasedRouting(api_type=types.BodyBasedRouting.API_TYPE_OPENAI)},
    "header": {"header_based_routing": types.HeaderBasedRouting(header_name="X-Model")},
    "path": {"path_based_routing": types.PathBasedRouting()},
}


@dataclass
class ReadyGateway:
    """A gateway with a deployment behind it, the emulator they are in, and a client of it."""

    emulator: Emulator
    client: Client
    gateway: types.Gateway
    deployment: types.Deployment

    @property
    def endpoint(self) -> str:
        """The gateway's endpoint."""
        return self.gateway.status.endpoints[0]


@contextmanager
def ready_gateway(routing: str = "body", **settings: Any) -> Generator[ReadyGateway]:
    """Run an emulator with these settings, a gateway and a deployment, for as long as the block runs."""
    with Emulator(**settings) as emulator, Client(emulator.token, endpoint=emulator.endpoint) as client:
        gateway = client.gateways.create("front", core_weave_auth=types.CoreWeaveAuth(), **ROUTINGS[routing], wait=True)
        yield ReadyGateway(emulator, client, gateway, deploy(client, gateway, wait=True))


def deploy(client: Client, gateway: types.Gateway, name: str = "one", **changes: Any) -> types.Deployment:
    """Create a deployment of `MODEL` on a gateway; `changes` replace parts of its spec."""
    spec: dict[str, Any] = {
        "runtime": types.DeploymentRuntime(engine="vllm", version="0.22.0"),
        "resources": types.DeploymentResources(instance_type="gd-8xh100ib-i128", gpu_count=8),
        "model": types.DeploymentModel(name=MODEL, bucket="models", path="model"),
        "autoscaling": types.DeploymentAutoscaling(min=1, max=1),
        "traffic": types.DeploymentTraffic(),
    }
    return client.deployments.create(name, gateway_ids=[gateway.spec.id], **{**spec, **changes})

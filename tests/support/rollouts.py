"""Two deployments of a model in an emulated API without sockets, for rollouts from one to the other."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from cwinference import Rollout, types
from cwinference.resources._changes import replacement

from .memory_client import MemoryApi

MODEL = "org/model"
STEPS = (1, 5, 25, 100)


class Session:
    """What the client of a world has sent, and what happens meanwhile."""

    def __init__(self, memory: MemoryApi) -> None:
        self.sent: list[Message] = []
        self.before: Callable[[Any], object] = lambda request: None
        """Called before each attempt is processed. What it raises is what comes of the attempt."""
        self.after: Callable[[Any], object] = lambda request: None
        """Called after each attempt was processed, in the same way."""
        memory.before_call = self._begin
        memory.after_call = self._end

    def _begin(self, name: str, request: Message) -> None:
        self.before(request)
        self.sent.append(request)

    def _end(self, name: str, request: Message) -> None:
        self.after(request)


class Api:
    """The API of a world, called as somebody else does."""

    def __init__(self, memory: MemoryApi) -> None:
        self._memory = memory
        self.emulated = memory.emulated
        self.pass_time = memory.pass_time

    def __call__(self, request: Message) -> Any:
        """Send a request; return the response."""
        return self._memory(request)

    def deployment(self, id: str) -> types.Deployment:
        """Get a deployment."""
        found: types.Deployment = self(types.GetDeploymentRequest(id=id)).deployment
        return found


class RolloutWorld:
    """A gateway with the deployments `v1` and `v2`, both READY; changes take a second."""

    def __init__(self, folder: Path, weights: tuple[int, int] = (0, 100), **settings: Any) -> None:
        self.memory = MemoryApi(**{"ready_after": 1, **settings})
        self.client, self.clock = self.memory.client, self.memory.clock
        self.session, self.api = Session(self.memory), Api(self.memory)
        self.path = folder / "rollout.json"
        self.gateway = self.client.gateways.create("front", core_weave_auth={}, path_based_routing={}, wait=True)
        self.v1 = self.deploy("v1", weights[1]).spec.id
        self.v2 = self.deploy("v2", weights[0]).spec.id
        self.former = self.specs()
        self.session.sent.clear()

    def deploy(self, name: str, weight: int, **changes: Any) -> types.Deployment:
        """Create a deployment of the model."""
        spec: dict[str, Any] = {
            "gateway_ids": [self.gateway.spec.id],
            "runtime": {"engine": "vllm", "version": "0.22.0", "engine_env": {"VLLM_LOGGING_LEVEL": "hunter2"}},
            "resources": {"instance_type": "gd-8xh100ib-i128", "gpu_count": 8},
            "model": {"name": MODEL, "bucket": "models", "path": "model"},
            "autoscaling": {"min": 1, "max": 4},
            "traffic": {"weight": weight},
        }
        return self.client.deployments.create(name, wait=True, **{**spec, **changes})

    def rollout(self, **options: Any) -> Rollout[Any]:
        """Return a rollout from `v1` to `v2`."""
        how: dict[str, Any] = {"replaces": "v1", "journal": self.path, **options}
        return self.client.rollout("v2", **how)

    def resumed(self, **options: Any) -> Rollout[Any]:
        """Return the rollout of the journal."""
        return Rollout.resume(self.client, self.path, **options)

    @property
    def weights(self) -> tuple[int, int]:
        """The weights of `v2` and `v1`."""
        return self.weight(self.v2), self.weight(self.v1)

    def weight(self, id: str) -> int:
        """The weight of a deployment, whatever is wrong with the API."""
        return self.api.deployment(id).spec.traffic.weight

    def specs(self) -> tuple[types.DeploymentSpec, types.DeploymentSpec]:
        """The specs of `v2` and `v1`, whatever is wrong with the API."""
        return self.api.deployment(self.v2).spec, self.api.deployment(self.v1).spec

    def change(self, id: str, **changes: Any) -> None:
        """Change a deployment as somebody else does, whatever is wrong with the API."""
        request = replacement(types.UpdateDeploymentRequest(id=id), self.api.deployment(id).spec, changes)
        self.api(request)

    @property
    def updates(self) -> list[tuple[str, int]]:
        """Whose weight was set to what, in order: the names of the deployments and their weights."""
        names = {self.v1: "v1", self.v2: "v2"}
        return [
            (names[each.id], each.traffic.weight)
            for each in self.session.sent
            if isinstance(each, types.UpdateDeploymentRequest)
        ]

    def phase(self) -> str:
        """What the journal says is being done."""
        phase: str = json.loads(self.path.read_text().rpartition("\nsha256")[0])["phase"]
        return phase

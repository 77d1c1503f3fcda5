"""The emulated API, called as a function in the process of the test, with a stopped clock."""

from datetime import UTC, datetime
from typing import Any, cast

from google.protobuf.message import Message

from cwinference import types
from cwinference._wire.methods import METHODS
from cwinference.emulator.api.emulated_api import EmulatedApi
from cwinference.emulator.clock import EmulatorClock
from cwinference.emulator.interfaces import Caller
from tests.support import samples

START = datetime(2026, 10, 1, 9, tzinfo=UTC)
GATEWAY_ID = "3f0e6c0a-6f0b-4c5e-9a53-0f6f2f6f7a11"
DEPLOYMENT_ID = "5b2d9c1e-7a44-4f0d-8b6a-91c3e5d7f002"
CLAIM_ID = "0d9f8e7c-6b5a-4938-8271-605f4e3d2c1b"
OURS = Caller("cw1a2b")
STRANGER = Caller("cwffff")
"""A caller of another organization."""


class InProcessApi:
    """An `EmulatedApi` that is called without a server; resources are READY after 10 seconds of a stopped clock."""

    def __init__(self, *, clock: EmulatorClock | None = None, ready_after: float | None = 10, **settings: Any) -> None:
        self.clock = clock or EmulatorClock(START, running=False)
        self.emulated = EmulatedApi(clock=self.clock, ready_after=ready_after, **settings)

    def __call__(self, request: Message, caller: Caller = OURS) -> Any:
        """Send a request; return the resource in the response, or the response itself if it contains more."""
        response = self.emulated.call(METHODS[type(request)], request, caller)
        fields = response.DESCRIPTOR.fields
        return getattr(response, fields[0].name) if len(fields) == 1 and not fields[0].is_repeated else response

    def sample(self, name: str, caller: Caller = OURS) -> Any:
        """Send a sample request: `CreateGateway`, or with its variant `CreateDeployment.newer`."""
        return self(request(name), caller)

    def pass_time(self, seconds: float) -> None:
        """Advance the clock."""
        self.clock.advance(seconds)

    def gateway(self, id: str = GATEWAY_ID) -> types.Gateway:
        """Get a gateway."""
        return cast(types.Gateway, self(types.GetGatewayRequest(id=id)))

    def deployment(self, id: str = DEPLOYMENT_ID) -> types.Deployment:
        """Get a deployment."""
        return cast(types.Deployment, self(types.GetDeploymentRequest(id=id)))

    def claim(self, id: str = CLAIM_ID) -> types.CapacityClaim:
        """Get a capacity claim."""
        return cast(types.CapacityClaim, self(types.GetCapacityClaimRequest(id=id)))


def request(name: str) -> Any:
    """Return a sample request by the name of its method, with the variant if there is one: `CreateDeployment.newer`."""
    method, _, variant = name.partition(".")
    service = samples.BY_NAME[method].service.rpartition(".")[2]
    return samples.request(f"{service}.{method}.request{'.' + variant if variant else ''}.json")

"""The emulated API called as a function, under a clock that stands still."""

from datetime import UTC, datetime
from typing import Any, cast

from google.protobuf.message import Message

from cwinference import types
from cwinference._wire.methods import METHODS
from cwinference.emulator.api.emulated_api import EmulatedApi
from cwinference.emulator.clock import Clock
from cwinference.emulator.interfaces import Caller
from tests.support import samples

START = datetime(2026, 10, 1, 9, tzinfo=UTC)
GATEWAY_ID = "3f0e6c0a-6f0b-4c5e-9a53-0f6f2f6f7a11"
DEPLOYMENT_ID = "5b2d9c1e-7a44-4f0d-8b6a-91c3e5d7f002"
CLAIM_ID = "0d9f8e7c-6b5a-4938-8271-605f4e3d2c1b"
OURS = Caller("cw1a2b")
STRANGER = Caller("cwffff")


class Emulated:
    """An `EmulatedApi` that becomes ready after 10 seconds, unless told otherwise."""

    def __init__(self, *, clock: Clock | None = None, ready_after: float | None = 10, **settings: Any) -> None:
        self.clock = clock or Clock(START, running=False)
        self.api = EmulatedApi(clock=self.clock, ready_after=ready_after, **settings)

    def __call__(self, request: Message, caller: Caller = OURS) -> Any:
        """The resource inside the reply, or the reply itself where it holds more."""
        reply = self.api.call(METHODS[type(request)], request, caller)
        fields = reply.DESCRIPTOR.fields
        return getattr(reply, fields[0].name) if len(fields) == 1 and not fields[0].is_repeated else reply

    def sample(self, name: str, caller: Caller = OURS) -> Any:
        """Send a sample request: `CreateGateway`, or with its variant `CreateDeployment.newer`."""
        return self(request(name), caller)

    def pass_time(self, seconds: float) -> None:
        """Move the clock."""
        self.clock.advance(seconds)

    def gateway(self, id: str = GATEWAY_ID) -> types.Gateway:
        """The gateway as it stands."""
        return cast(types.Gateway, self(types.GetGatewayRequest(id=id)))

    def deployment(self, id: str = DEPLOYMENT_ID) -> types.Deployment:
        """The deployment as it stands."""
        return cast(types.Deployment, self(types.GetDeploymentRequest(id=id)))

    def claim(self, id: str = CLAIM_ID) -> types.CapacityClaim:
        """The claim as it stands."""
        return cast(types.CapacityClaim, self(types.GetCapacityClaimRequest(id=id)))


def request(name: str) -> Any:
    """A sample request by the name of its method, with its variant if any."""
    method, _, variant = name.partition(".")
    service = samples.BY_NAME[method].service.rpartition(".")[2]
    return samples.request(f"{service}.{method}.request{'.' + variant if variant else ''}.json")

"""The messages and generated stubs as type checkers see them: checked in strict mode, never run."""

from collections.abc import Mapping
from typing import Literal, assert_type

import grpc
from connectrpc.request import RequestContext
from coreweave.inference.v1alpha1.gateway_connect import (
    GatewayService,
    GatewayServiceASGIApplication,
    GatewayServiceClient,
    GatewayServiceClientSync,
)
from coreweave.inference.v1alpha1.gateway_pb2 import GetGatewayRequest, GetGatewayResponse
from coreweave.inference.v1alpha1.gateway_pb2_grpc import (
    GatewayServiceServicer,
    GatewayServiceStub,
    add_GatewayServiceServicer_to_server,
)

from cwinference import types


def messages(deployment: types.Deployment, claim: types.CapacityClaimResources) -> None:
    assert_type(deployment.spec.autoscaling.min, int)
    assert_type(deployment.spec.runtime.engine_env["A"], str)
    assert_type(types.CapacityType.Name(claim.capacity_type), str)
    claim.zones.append("US-EAST-04A")
    claim.capacity_type = types.CapacityType.CAPACITY_TYPE_MANAGED
    claim.instance_count = "1"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    types.CapacityClaimResources(instance_cuont=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def oneofs(spec: types.GatewaySpec) -> Literal["core_weave_auth", "weights_and_biases_auth"] | None:
    spec.HasField("nmae")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return spec.WhichOneof("auth")


def sync_stub(channel: grpc.Channel) -> None:
    stub = GatewayServiceStub(channel)
    assert_type(stub.GetGateway(GetGatewayRequest(id="id"), timeout=5), GetGatewayResponse)
    stub.GetGateway(types.GetDeploymentRequest())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def async_stub(channel: grpc.aio.Channel) -> None:
    assert_type(await GatewayServiceStub(channel).GetGateway(GetGatewayRequest(id="id")), GetGatewayResponse)


def serve(server: grpc.Server, servicer: GatewayServiceServicer) -> None:
    add_GatewayServiceServicer_to_server(servicer, server)


def sync_connect(headers: Mapping[str, str]) -> None:
    with GatewayServiceClientSync("https://api.coreweave.com") as client:
        assert_type(client.get_gateway(GetGatewayRequest(id="id"), headers=headers), GetGatewayResponse)


async def async_connect() -> None:
    async with GatewayServiceClient("https://api.coreweave.com", timeout_ms=1000) as client:
        assert_type(await client.get_gateway(GetGatewayRequest(id="id")), GetGatewayResponse)


class Handlers(GatewayService):
    async def get_gateway(
        self, request: GetGatewayRequest, ctx: RequestContext[GetGatewayRequest, GetGatewayResponse], /
    ) -> GetGatewayResponse:
        return GetGatewayResponse(gateway=types.Gateway(spec=types.GatewaySpec(id=request.id)))


app = GatewayServiceASGIApplication(Handlers())

"""gRPC with grpcio's client, and gRPC-Web by hand: valid requests and invalid ones."""

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from coreweave.inference.v1alpha1.deployment_pb2_grpc import DeploymentServiceStub
from coreweave.inference.v1alpha1.gateway_pb2_grpc import GatewayServiceStub
from coreweave.inference.v1alpha1.hot_load_pb2_grpc import HotLoadServiceStub
from google.rpc import error_details_pb2, status_pb2

from cwinference import types
from cwinference.emulator.interfaces import RpcError
from tests.support import samples
from tests.support.emulated_protocols import ADMIN, VIEWER, ApiServer

AS_ADMIN = (("authorization", f"Bearer {ADMIN}"),)
PACKAGE = "/coreweave.inference.v1alpha1"


@pytest.fixture
def channel(server: ApiServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel


def send_bytes(
    channel: grpc.Channel, body: bytes, path: str = f"{PACKAGE}.GatewayService/GetGateway", **options: Any
) -> Any:
    call: Any = channel.unary_unary(path)
    return call(body, **{"metadata": AS_ADMIN, "timeout": 10, **options})


def rpc_error(call: Any, *args: Any, **options: Any) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        call(*args, **options)
    return caught.value


@pytest.mark.parametrize("name", samples.names("request"))
def test_every_method_but_those_of_hot_loads_works_in_binary(
    server: ApiServer, channel: grpc.Channel, name: str
) -> None:
    method, request = samples.method_of(name), samples.request(name)
    if method.travels_as_json(request):
        return
    server.api.responses[method.name] = samples.response_to(method)
    response = method.response.FromString(send_bytes(channel, request.SerializeToString(), method.path))
    assert response == samples.response_to(method)
    assert server.request == request


def test_an_error_has_its_code_its_message_and_its_details(server: ApiServer, channel: grpc.Channel) -> None:
    gone = error_details_pb2.ResourceInfo(resource_type="gateway", resource_name="7")
    server.api.responses["GetGateway"] = RpcError("not_found", "gateway »7« not found: 100 %\n", gone)
    error = rpc_error(GatewayServiceStub(channel).GetGateway, types.GetGatewayRequest(id="7"), metadata=AS_ADMIN)
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error.details() == "gateway »7« not found: 100 %\n"
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    info = error_details_pb2.ResourceInfo()
    assert status.details[0].Unpack(info)
    assert info == gone


def test_details_too_large_for_clients_are_omitted(server: ApiServer, channel: grpc.Channel) -> None:
    many = error_details_pb2.BadRequest()
    for number in range(1000):
        many.field_violations.add(field=f"zones[{number}]", description="not a zone")
    server.api.responses["GetGateway"] = RpcError("invalid_argument", "many", many)
    error = rpc_error(GatewayServiceStub(channel).GetGateway, types.GetGatewayRequest(id="7"), metadata=AS_ADMIN)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "many"


def test_a_failure_of_the_emulator_itself_is_an_internal_error_without_its_text(
    server: ApiServer, channel: grpc.Channel
) -> None:
    server.api.responses["GetGateway"] = ZeroDivisionError("a secret")
    error = rpc_error(GatewayServiceStub(channel).GetGateway, types.GetGatewayRequest(id="7"), metadata=AS_ADMIN)
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "a secret" not in str(error)


@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer CW-SECRET-of-nobody", f"Basic {ADMIN}"])
def test_a_call_without_a_known_token_is_unauthenticated(
    server: ApiServer, channel: grpc.Channel, authorization: str | None
) -> None:
    metadata = () if authorization is None else (("authorization", authorization),)
    error = rpc_error(send_bytes, channel, b"", metadata=metadata)
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert not server.api.calls


def test_a_viewer_may_read_and_not_write(server: ApiServer, channel: grpc.Channel) -> None:
    server.api.responses["ListGateways"] = types.ListGatewaysResponse()
    gateways, as_viewer = GatewayServiceStub(channel), (("authorization", f"bearer {VIEWER}"),)
    gateways.ListGateways(types.ListGatewaysRequest(), metadata=as_viewer)
    error = rpc_error(gateways.DeleteGateway, types.DeleteGatewayRequest(id="7"), metadata=as_viewer)
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert [name for name, _, _ in server.api.calls] == ["ListGateways"]


def test_hot_loads_are_unimplemented_in_binary(server: ApiServer, channel: grpc.Channel) -> None:
    error = rpc_error(HotLoadServiceStub(channel).GetHotLoad, types.GetHotLoadRequest(id="7"), metadata=AS_ADMIN)
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert not server.api.calls


def test_fields_with_placeholder_numbers_are_neither_read_nor_written(server: ApiServer, channel: grpc.Channel) -> None:
    hot = types.DeploymentHotLoad(bucket="weights")
    kept = types.Deployment(spec=types.DeploymentSpec(id="7", hot_load=hot))
    server.api.responses["ListDeployments"] = types.ListDeploymentsResponse(items=[kept])
    server.api.responses["CreateDeployment"] = types.CreateDeploymentResponse(deployment=kept)
    deployments = DeploymentServiceStub(channel)
    listed = deployments.ListDeployments(types.ListDeploymentsRequest(), metadata=AS_ADMIN)
    assert listed.items[0].spec == types.DeploymentSpec(id="7")
    created = deployments.CreateDeployment(types.CreateDeploymentRequest(name="x", hot_load=hot), metadata=AS_ADMIN)
    assert created.deployment.spec == types.DeploymentSpec(id="7")
    assert server.request == types.CreateDeploymentRequest(name="x")
    assert kept.spec.hot_load == hot


def test_an_unknown_method_is_unimplemented(server: ApiServer, channel: grpc.Channel) -> None:
    for path in (f"{PACKAGE}.GatewayService/PaintGateway", "/some.other.Service/Call", "/gateway/7/v1/models"):
        assert rpc_error(send_bytes, channel, b"", path).code() is grpc.StatusCode.UNIMPLEMENTED


def test_malformed_protobuf_is_an_invalid_argument(server: ApiServer, channel: grpc.Channel) -> None:
    for body in (b"\xff\xff\xff", b"\x0a\x05ab", b"\x0a\x01\xff"):
        assert rpc_error(send_bytes, channel, body).code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not server.api.calls


def test_a_request_can_be_compressed(server: ApiServer, channel: grpc.Channel) -> None:
    server.api.responses["GetGateway"] = types.GetGatewayResponse()
    request = types.GetGatewayRequest(id="7" * 2000)
    send_bytes(channel, request.SerializeToString(), compression=grpc.Compression.Gzip)
    assert server.request == request
    error = rpc_error(send_bytes, channel, request.SerializeToString(), compression=grpc.Compression.Deflate)
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_request_of_100_megabytes_is_rejected_and_the_connection_stays_open(
    server: ApiServer, channel: grpc.Channel
) -> None:
    server.api.responses["GetGateway"] = types.GetGatewayResponse()
    error = rpc_error(send_bytes, channel, bytes(100_000_000), timeout=60)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert send_bytes(channel, b"") == b""


def test_a_gzip_bomb_is_rejected(server: ApiServer, channel: grpc.Channel) -> None:
    error = rpc_error(send_bytes, channel, bytes(50_000_000), compression=grpc.Compression.Gzip, timeout=60)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_1500_calls_in_parallel_all_get_responses(server: ApiServer) -> None:
    server.api.responses["GetGateway"] = types.GetGatewayResponse()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        call = GatewayServiceStub(channel).GetGateway
        await asyncio.gather(*(call(types.GetGatewayRequest(id=str(n)), metadata=AS_ADMIN) for n in range(1500)))
    assert {request.id for _, request, _ in server.api.calls} == {str(n) for n in range(1500)}


def test_grpc_over_http_1_is_rejected(server: ApiServer) -> None:
    response = server.http("POST", f"{PACKAGE}.GatewayService/GetGateway", bytes(5), content_type="application/grpc")
    assert response.status == 505


class TestWeb:
    """gRPC-Web, by hand over HTTP/1.1."""

    PATH = f"{PACKAGE}.GatewayService/GetGateway"

    def frames(self, body: bytes) -> list[tuple[int, bytes]]:
        found = []
        while body:
            end = 5 + int.from_bytes(body[1:5], "big")
            found.append((body[0], body[5:end]))
            body = body[end:]
        return found

    def framed(self, message: bytes) -> bytes:
        return b"\0" + len(message).to_bytes(4, "big") + message

    @pytest.mark.parametrize("kind", ["application/grpc-web", "application/grpc-web+proto"])
    def test_the_trailers_are_the_last_frame(self, server: ApiServer, kind: str) -> None:
        server.api.responses["GetGateway"] = expected = samples.response("GatewayService.GetGateway.response.json")
        request = types.GetGatewayRequest(id="7").SerializeToString()
        response = server.http("POST", self.PATH, self.framed(request), content_type=kind)
        assert (response.status, response.headers["content-type"]) == (200, kind)
        assert self.frames(response.body) == [(0, expected.SerializeToString()), (0x80, b"grpc-status: 0\r\n")]

    def test_text_is_base64_both_ways_and_can_be_in_parts(self, server: ApiServer) -> None:
        server.api.responses["GetGateway"] = expected = samples.response("GatewayService.GetGateway.response.json")
        request = self.framed(types.GetGatewayRequest(id="7").SerializeToString())
        body = base64.b64encode(request[:4]) + base64.b64encode(request[4:])
        response = server.http("POST", self.PATH, body, content_type="application/grpc-web-text")
        assert response.headers["content-type"] == "application/grpc-web-text"
        assert self.frames(base64.b64decode(response.body))[0] == (0, expected.SerializeToString())
        assert server.request.id == "7"

    def test_json_is_a_codec_too_and_works_for_hot_loads(self, server: ApiServer) -> None:
        server.api.responses["GetHotLoad"] = types.GetHotLoadResponse(
            hot_load=types.HotLoad(spec=types.HotLoadSpec(id="7"))
        )
        path = f"{PACKAGE}.HotLoadService/GetHotLoad"
        response = server.http("POST", path, self.framed(b'{"id": "7"}'), content_type="application/grpc-web+json")
        assert self.frames(response.body)[0] == (0, b'{"hotLoad": {"spec": {"id": "7"}}}')

    def test_an_error_is_only_a_frame_of_trailers(self, server: ApiServer) -> None:
        server.api.responses["GetGateway"] = RpcError("failed_precondition", "größer")
        response = server.http("POST", self.PATH, self.framed(b""), content_type="application/grpc-web")
        assert self.frames(response.body) == [(0x80, b"grpc-status: 9\r\ngrpc-message: gr%C3%B6%C3%9Fer\r\n")]

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"", 12),
            (b"\0\0\0", 3),
            (b"\0\0\0\0\x09abc", 3),
            (b"\0\xff\xff\xff\xff", 8),
            (b"\0\0\0\0\0" * 2, 12),
            (b"\1\0\0\0\0", 13),
            (b"\2\0\0\0\0", 13),
        ],
        ids=[
            "no bytes",
            "half a prefix",
            "half a message",
            "4 GB",
            "two messages",
            "flag without encoding",
            "unknown flag",
        ],
    )
    def test_a_body_that_is_not_one_message_is_rejected(self, server: ApiServer, body: bytes, status: int) -> None:
        response = server.http("POST", self.PATH, body, content_type="application/grpc-web")
        assert self.frames(response.body)[0][1].startswith(b"grpc-status: %d\r\n" % status)
        assert not server.api.calls

    @pytest.mark.parametrize("limit", ["5", "S", "-1S", "1234567890S", "1.5S"])
    def test_a_malformed_timeout_is_rejected(self, server: ApiServer, limit: str) -> None:
        response = server.http(
            "POST", self.PATH, self.framed(b""), content_type="application/grpc-web", grpc_timeout=limit
        )
        assert b"grpc-status: 3\r\n" in response.body

    def test_a_timeout_of_zero_has_expired(self, server: ApiServer) -> None:
        headers = {"content_type": "application/grpc-web", "grpc_timeout": "0n"}
        response = server.http("POST", self.PATH, self.framed(b""), **headers)
        assert b"grpc-status: 4\r\n" in response.body
        assert not server.api.calls

    def test_invalid_base64_is_rejected(self, server: ApiServer) -> None:
        response = server.http("POST", self.PATH, b"!!!!", content_type="application/grpc-web-text")
        assert b"grpc-status: 3\r\n" in base64.b64decode(response.body)

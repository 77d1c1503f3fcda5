"""The Connect protocol, with connectrpc's client, and by hand what no client sends."""

import base64
import gzip
import json
import socket
from typing import Any
from urllib.parse import quote

import pytest
from connectrpc.code import Code
from connectrpc.compat import google_protobuf_binary_codec, google_protobuf_json_codec
from connectrpc.errors import ConnectError
from connectrpc.protocol import ProtocolType
from coreweave.inference.v1alpha1.gateway_connect import GatewayServiceClientSync
from google.rpc import error_details_pb2
from pyqwest import HTTPVersion, SyncClient, SyncHTTPTransport

from cwinference import types
from cwinference.emulator.interfaces import RpcError
from tests.support import samples
from tests.support.emulated_protocols import ADMIN, VIEWER, ApiServer

PACKAGE = "/coreweave.inference.v1alpha1"
GET_GATEWAY = f"{PACKAGE}.GatewayService/GetGateway"
HEADERS = {"authorization": f"Bearer {ADMIN}"}
VARIANTS = [
    (protocol, codec, version)
    for protocol in (ProtocolType.CONNECT, ProtocolType.GRPC, ProtocolType.GRPC_WEB)
    for codec in ("proto", "json")
    for version in (HTTPVersion.HTTP1, HTTPVersion.HTTP2)
    if not (protocol is ProtocolType.GRPC and version is HTTPVersion.HTTP1)
]


@pytest.fixture(params=VARIANTS, ids=lambda variant: "-".join(str(getattr(each, "name", each)) for each in variant))
def client(server: ApiServer, request: pytest.FixtureRequest) -> GatewayServiceClientSync:
    protocol, codec, version = request.param
    return GatewayServiceClientSync(
        server.endpoint,
        protocol=protocol,
        codec=google_protobuf_json_codec() if codec == "json" else google_protobuf_binary_codec(),
        http_client=SyncClient(SyncHTTPTransport(http_version=version)),
    )


def test_connectrpc_gets_responses_by_every_protocol_codec_and_version(
    server: ApiServer, client: GatewayServiceClientSync
) -> None:
    request, response = (samples.request, samples.response)
    create: Any = request("GatewayService.CreateGateway.request.json")
    server.api.responses["CreateGateway"] = expected = response("GatewayService.CreateGateway.response.json")
    assert client.create_gateway(create, headers=HEADERS) == expected
    assert server.request == create


def test_connectrpc_gets_errors_with_details_by_every_variant(
    server: ApiServer, client: GatewayServiceClientSync
) -> None:
    taken = error_details_pb2.ResourceInfo(resource_name="front")
    server.api.responses["CreateGateway"] = RpcError("already_exists", "»front« is taken", taken)
    with pytest.raises(ConnectError) as caught:
        client.create_gateway(types.CreateGatewayRequest(), headers=HEADERS)
    assert (caught.value.code, caught.value.message) == (Code.ALREADY_EXISTS, "»front« is taken")
    assert error_details_pb2.ResourceInfo.FromString(caught.value.details[0]._any.value) == taken


def test_connectrpc_can_use_get_without_side_effects(server: ApiServer) -> None:
    server.api.responses["GetGateway"] = expected = samples.response("GatewayService.GetGateway.response.json")
    for codec in (google_protobuf_binary_codec(), google_protobuf_json_codec()):
        client = GatewayServiceClientSync(server.endpoint, codec=codec)
        assert client.get_gateway(types.GetGatewayRequest(id="7"), headers=HEADERS, use_get=True) == expected
        assert server.request.id == "7"


def call(server: ApiServer, body: bytes = b"", path: str = GET_GATEWAY, **headers: str) -> Any:
    return server.http("POST", path, body, **{"content_type": "application/json", **headers})


def test_an_error_has_the_form_of_the_protocol(server: ApiServer) -> None:
    gone = error_details_pb2.ResourceInfo(resource_name="7")
    server.api.responses["GetGateway"] = RpcError("not_found", "gateway not found", gone)
    response = call(server, b"{}")
    assert (response.status, response.headers["content-type"]) == (404, "application/json")
    value = base64.b64encode(gone.SerializeToString()).decode().rstrip("=")
    assert response.json == {
        "code": "not_found",
        "message": "gateway not found",
        "details": [{"type": "google.rpc.ResourceInfo", "value": value}],
    }


@pytest.mark.parametrize("form", ["base64", "plain", "json", "compressed"])
def test_a_get_by_hand_succeeds(server: ApiServer, form: str) -> None:
    server.api.responses["GetGateway"] = types.GetGatewayResponse()
    binary, text = types.GetGatewayRequest(id="7").SerializeToString(), quote('{"id": "7"}')
    packed = base64.urlsafe_b64encode(gzip.compress(binary)).decode().rstrip("=")
    query = {
        "base64": f"encoding=proto&base64=1&message={base64.urlsafe_b64encode(binary).decode()}",
        "plain": f"encoding=proto&message={quote(binary)}",
        "json": f"connect=v1&encoding=json&message={text}",
        "compressed": f"encoding=proto&base64=1&compression=gzip&message={packed}",
    }[form]
    response = server.http("GET", f"{GET_GATEWAY}?{query}")
    assert response.status == 200
    assert server.request.id == "7"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 415),
        ("encoding=xml&message=", 415),
        ("encoding=json", 400),
        ("encoding=json&message={", 400),
        ("encoding=proto&base64=1&message=a", 400),
        ("encoding=proto&base64=1&message=!!!!", 400),
        ("encoding=json&message={}&connect=v2", 400),
        ("encoding=json&message={}&compression=br", 501),
    ],
)
def test_a_malformed_get_is_rejected(server: ApiServer, query: str, status: int) -> None:
    assert server.http("GET", f"{GET_GATEWAY}?{query}").status == status
    assert not server.api.calls


def test_a_method_with_side_effects_does_not_allow_get(server: ApiServer) -> None:
    response = server.http("GET", f"{PACKAGE}.GatewayService/DeleteGateway?encoding=json&message={{}}")
    assert (response.status, response.headers["allow"]) == (405, "POST")
    assert server.http("PUT", GET_GATEWAY, b"{}").headers["allow"] == "GET, POST"


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "application/connect+proto",
        "application/xml",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
    ],
)
def test_the_response_to_an_unknown_content_type_lists_those_accepted(server: ApiServer, kind: str) -> None:
    response = call(server, b"{}", content_type=kind)
    assert response.status == 415
    assert "application/proto" in response.headers["accept-post"]


def test_parameters_of_the_content_type_change_nothing(server: ApiServer) -> None:
    server.api.responses["GetGateway"] = types.GetGatewayResponse()
    for parameters in ("charset=utf-8", 'charset="UTF-8"', "q=1"):
        assert call(server, b"{}", content_type=f"Application/JSON; {parameters}").status == 200


def test_an_unknown_method_is_not_found_at_all(server: ApiServer) -> None:
    response = call(server, b"{}", f"{PACKAGE}.GatewayService/PaintGateway")
    assert (response.status, response.headers["content-type"].partition(";")[0]) == (404, "text/plain")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'{"id": 7}', b'{"id": "\xff"}', b"[" * 100_000])
def test_bad_json_is_an_invalid_argument(server: ApiServer, body: bytes) -> None:
    response = call(server, body)
    assert (response.status, response.json["code"]) == (400, "invalid_argument")


def test_bad_protobuf_is_an_invalid_argument(server: ApiServer) -> None:
    response = call(server, b"\xff\xff", content_type="application/proto")
    assert (response.status, response.json["code"]) == (400, "invalid_argument")


def test_unknown_fields_and_enum_names_are_ignored_as_the_official_client_does(server: ApiServer) -> None:
    server.api.responses["CreateCapacityClaim"] = types.CreateCapacityClaimResponse()
    body = {"name": "x", "color": "red", "resources": {"capacityType": "CAPACITY_TYPE_LUNAR", "instanceCount": 2}}
    path = f"{PACKAGE}.CapacityClaimService/CreateCapacityClaim"
    assert call(server, json.dumps(body).encode(), path).status == 200
    assert server.request == types.CreateCapacityClaimRequest(
        name="x", resources=types.CapacityClaimResources(instance_count=2)
    )


def test_hot_loads_work_in_json_and_not_in_binary(server: ApiServer) -> None:
    server.api.responses["GetHotLoad"] = types.GetHotLoadResponse(
        hot_load=types.HotLoad(spec=types.HotLoadSpec(id="7"))
    )
    path = f"{PACKAGE}.HotLoadService/GetHotLoad"
    assert call(server, b'{"id": "7"}', path).json == {"hotLoad": {"spec": {"id": "7"}}}
    response = call(server, b"", path, content_type="application/proto")
    assert (response.status, response.json["code"]) == (501, "unimplemented")


def test_requests_and_responses_can_be_compressed(server: ApiServer) -> None:
    many = types.ListGatewaysResponse(items=[types.Gateway(spec=types.GatewaySpec(id=str(n))) for n in range(200)])
    server.api.responses["ListGateways"] = many
    path, body = f"{PACKAGE}.GatewayService/ListGateways", gzip.compress(b"{}")
    response = call(server, body, path, content_encoding="gzip", accept_encoding="br, gzip;q=0.5")
    assert response.headers["content-encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(response.body))["items"]) == 200
    assert (
        "content-encoding" not in call(server, body, path, content_encoding="gzip", accept_encoding="gzip;q=0").headers
    )


@pytest.mark.parametrize(
    ("body", "encoding", "code"),
    [
        (b"{}", "gzip", "invalid_argument"),
        (gzip.compress(b"{}", mtime=0)[:-6], "gzip", "invalid_argument"),
        (b"{}", "br", "unimplemented"),
        (gzip.compress(bytes(50_000_000), mtime=0), "gzip", "resource_exhausted"),
    ],
)
def test_a_body_that_is_not_compressed_as_declared_is_rejected(
    server: ApiServer, body: bytes, encoding: str, code: str
) -> None:
    assert call(server, body, content_encoding=encoding).json["code"] == code


def test_100_megabytes_are_rejected(server: ApiServer) -> None:
    response = call(server, bytes(100_000_000))
    assert (response.status, response.json["code"]) == (429, "resource_exhausted")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"connect_protocol_version": "2"}, "invalid_argument"),
        ({"connect_timeout_ms": "soon"}, "invalid_argument"),
        ({"connect_timeout_ms": "-5"}, "invalid_argument"),
        ({"connect_timeout_ms": "12345678901"}, "invalid_argument"),
        ({"connect_timeout_ms": "0"}, "deadline_exceeded"),
    ],
)
def test_headers_of_the_protocol_are_checked(server: ApiServer, headers: dict[str, str], code: str) -> None:
    assert call(server, b"{}", **headers).json["code"] == code
    assert not server.api.calls


def test_a_request_that_does_not_arrive_before_its_deadline_fails(server: ApiServer) -> None:
    head = f"POST {GET_GATEWAY} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(f"{head}connect-timeout-ms: 1\r\ncontent-length: 10\r\n\r\n".encode())
        assert b"deadline_exceeded" in connection.makefile("rb").read()


def test_a_client_that_disconnects_early_affects_no_other(server: ApiServer) -> None:
    server.api.responses["GetGateway"] = types.GetGatewayResponse()
    head = f"POST {GET_GATEWAY} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(head.encode() + b"{")
    assert call(server, b"{}").status == 200
    assert len(server.api.calls) == 1


def test_roles_are_checked_here_too(server: ApiServer) -> None:
    path = f"{PACKAGE}.GatewayService/DeleteGateway"
    assert server.http("POST", path, b"{}", token=VIEWER, content_type="application/json").status == 403
    assert server.http("POST", path, b"{}", token=None, content_type="application/json").status == 401

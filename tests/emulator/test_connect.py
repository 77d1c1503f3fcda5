"""The Connect protocol as connectrpc's client speaks it, and by hand where no client would go."""

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
from cwinference.emulator.interfaces import Refusal
from tests.support import samples
from tests.support.emulated_protocols import ADMIN, VIEWER, Served

PACKAGE = "/coreweave.inference.v1alpha1"
GET_GATEWAY = f"{PACKAGE}.GatewayService/GetGateway"
HEADERS = {"authorization": f"Bearer {ADMIN}"}
WAYS = [
    (protocol, codec, version)
    for protocol in (ProtocolType.CONNECT, ProtocolType.GRPC, ProtocolType.GRPC_WEB)
    for codec in ("proto", "json")
    for version in (HTTPVersion.HTTP1, HTTPVersion.HTTP2)
    if not (protocol is ProtocolType.GRPC and version is HTTPVersion.HTTP1)
]


@pytest.fixture(params=WAYS, ids=lambda way: "-".join(str(getattr(each, "name", each)) for each in way))
def client(server: Served, request: pytest.FixtureRequest) -> GatewayServiceClientSync:
    protocol, codec, version = request.param
    return GatewayServiceClientSync(
        server.endpoint,
        protocol=protocol,
        codec=google_protobuf_json_codec() if codec == "json" else google_protobuf_binary_codec(),
        http_client=SyncClient(SyncHTTPTransport(http_version=version)),
    )


def test_connectrpc_gets_its_answers_by_every_protocol_codec_and_version(
    server: Served, client: GatewayServiceClientSync
) -> None:
    request, response = (samples.request, samples.response)
    create: Any = request("GatewayService.CreateGateway.request.json")
    server.api.answers["CreateGateway"] = reply = response("GatewayService.CreateGateway.response.json")
    assert client.create_gateway(create, headers=HEADERS) == reply
    assert server.request == create


def test_connectrpc_gets_errors_with_details_by_every_way(server: Served, client: GatewayServiceClientSync) -> None:
    taken = error_details_pb2.ResourceInfo(resource_name="front")
    server.api.answers["CreateGateway"] = Refusal("already_exists", "»front« is taken", taken)
    with pytest.raises(ConnectError) as caught:
        client.create_gateway(types.CreateGatewayRequest(), headers=HEADERS)
    assert (caught.value.code, caught.value.message) == (Code.ALREADY_EXISTS, "»front« is taken")
    assert error_details_pb2.ResourceInfo.FromString(caught.value.details[0]._any.value) == taken


def test_connectrpc_may_get_without_side_effects(server: Served) -> None:
    server.api.answers["GetGateway"] = reply = samples.response("GatewayService.GetGateway.response.json")
    for codec in (google_protobuf_binary_codec(), google_protobuf_json_codec()):
        client = GatewayServiceClientSync(server.endpoint, codec=codec)
        assert client.get_gateway(types.GetGatewayRequest(id="7"), headers=HEADERS, use_get=True) == reply
        assert server.request.id == "7"


def call(server: Served, body: bytes = b"", path: str = GET_GATEWAY, **headers: str) -> Any:
    return server.http("POST", path, body, **{"content_type": "application/json", **headers})


def test_an_error_has_the_form_of_the_protocol(server: Served) -> None:
    gone = error_details_pb2.ResourceInfo(resource_name="7")
    server.api.answers["GetGateway"] = Refusal("not_found", "gateway not found", gone)
    answer = call(server, b"{}")
    assert (answer.status, answer.headers["content-type"]) == (404, "application/json")
    value = base64.b64encode(gone.SerializeToString()).decode().rstrip("=")
    assert answer.json == {
        "code": "not_found",
        "message": "gateway not found",
        "details": [{"type": "google.rpc.ResourceInfo", "value": value}],
    }


@pytest.mark.parametrize("way", ["base64", "plain", "json", "compressed"])
def test_a_get_by_hand_is_answered(server: Served, way: str) -> None:
    server.api.answers["GetGateway"] = types.GetGatewayResponse()
    binary, text = types.GetGatewayRequest(id="7").SerializeToString(), quote('{"id": "7"}')
    packed = base64.urlsafe_b64encode(gzip.compress(binary)).decode().rstrip("=")
    query = {
        "base64": f"encoding=proto&base64=1&message={base64.urlsafe_b64encode(binary).decode()}",
        "plain": f"encoding=proto&message={quote(binary)}",
        "json": f"connect=v1&encoding=json&message={text}",
        "compressed": f"encoding=proto&base64=1&compression=gzip&message={packed}",
    }[way]
    answer = server.http("GET", f"{GET_GATEWAY}?{query}")
    assert answer.status == 200
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
def test_a_get_that_cannot_be_read_is_refused(server: Served, query: str, status: int) -> None:
    assert server.http("GET", f"{GET_GATEWAY}?{query}").status == status
    assert not server.api.calls


def test_a_method_with_side_effects_does_not_answer_get(server: Served) -> None:
    answer = server.http("GET", f"{PACKAGE}.GatewayService/DeleteGateway?encoding=json&message={{}}")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
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
def test_an_unknown_content_type_is_told_what_is_accepted(server: Served, kind: str) -> None:
    answer = call(server, b"{}", content_type=kind)
    assert answer.status == 415
    assert "application/proto" in answer.headers["accept-post"]


def test_parameters_of_the_content_type_change_nothing(server: Served) -> None:
    server.api.answers["GetGateway"] = types.GetGatewayResponse()
    for parameters in ("charset=utf-8", 'charset="UTF-8"', "q=1"):
        assert call(server, b"{}", content_type=f"Application/JSON; {parameters}").status == 200


def test_an_unknown_method_is_not_found_at_all(server: Served) -> None:
    answer = call(server, b"{}", f"{PACKAGE}.GatewayService/PaintGateway")
    assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (404, "text/plain")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'{"id": 7}', b'{"id": "\xff"}', b"[" * 100_000])
def test_bad_json_is_an_invalid_argument(server: Served, body: bytes) -> None:
    answer = call(server, body)
    assert (answer.status, answer.json["code"]) == (400, "invalid_argument")


def test_bad_protobuf_is_an_invalid_argument(server: Served) -> None:
    answer = call(server, b"\xff\xff", content_type="application/proto")
    assert (answer.status, answer.json["code"]) == (400, "invalid_argument")


def test_unknown_fields_and_enum_names_are_ignored_as_the_official_client_does(server: Served) -> None:
    server.api.answers["CreateCapacityClaim"] = types.CreateCapacityClaimResponse()
    body = {"name": "x", "colour": "red", "resources": {"capacityType": "CAPACITY_TYPE_LUNAR", "instanceCount": 2}}
    path = f"{PACKAGE}.CapacityClaimService/CreateCapacityClaim"
    assert call(server, json.dumps(body).encode(), path).status == 200
    assert server.request == types.CreateCapacityClaimRequest(
        name="x", resources=types.CapacityClaimResources(instance_count=2)
    )


def test_hot_loads_answer_in_json_and_not_in_binary(server: Served) -> None:
    server.api.answers["GetHotLoad"] = types.GetHotLoadResponse(hot_load=types.HotLoad(spec=types.HotLoadSpec(id="7")))
    path = f"{PACKAGE}.HotLoadService/GetHotLoad"
    assert call(server, b'{"id": "7"}', path).json == {"hotLoad": {"spec": {"id": "7"}}}
    answer = call(server, b"", path, content_type="application/proto")
    assert (answer.status, answer.json["code"]) == (501, "unimplemented")


def test_gzip_is_understood_both_ways(server: Served) -> None:
    many = types.ListGatewaysResponse(items=[types.Gateway(spec=types.GatewaySpec(id=str(n))) for n in range(200)])
    server.api.answers["ListGateways"] = many
    path, body = f"{PACKAGE}.GatewayService/ListGateways", gzip.compress(b"{}")
    answer = call(server, body, path, content_encoding="gzip", accept_encoding="br, gzip;q=0.5")
    assert answer.headers["content-encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(answer.body))["items"]) == 200
    assert (
        "content-encoding" not in call(server, body, path, content_encoding="gzip", accept_encoding="gzip;q=0").headers
    )


@pytest.mark.parametrize(
    ("body", "encoding", "code"),
    [
        (b"{}", "gzip", "invalid_argument"),
        (gzip.compress(b"{}")[:-6], "gzip", "invalid_argument"),
        (b"{}", "br", "unimplemented"),
        (gzip.compress(bytes(50_000_000)), "gzip", "resource_exhausted"),
    ],
)
def test_a_body_that_is_not_as_compressed_as_it_says_is_refused(
    server: Served, body: bytes, encoding: str, code: str
) -> None:
    assert call(server, body, content_encoding=encoding).json["code"] == code


def test_100_megabytes_are_refused(server: Served) -> None:
    answer = call(server, bytes(100_000_000))
    assert (answer.status, answer.json["code"]) == (429, "resource_exhausted")


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
def test_headers_of_the_protocol_are_checked(server: Served, headers: dict[str, str], code: str) -> None:
    assert call(server, b"{}", **headers).json["code"] == code
    assert not server.api.calls


def test_a_request_that_does_not_arrive_in_its_time_is_over(server: Served) -> None:
    head = f"POST {GET_GATEWAY} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(f"{head}connect-timeout-ms: 1\r\ncontent-length: 10\r\n\r\n".encode())
        assert b"deadline_exceeded" in connection.makefile("rb").read()


def test_a_client_that_leaves_in_the_middle_harms_nobody(server: Served) -> None:
    server.api.answers["GetGateway"] = types.GetGatewayResponse()
    head = f"POST {GET_GATEWAY} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head.encode() + b"{")
    assert call(server, b"{}").status == 200
    assert len(server.api.calls) == 1


def test_roles_hold_here_too(server: Served) -> None:
    path = f"{PACKAGE}.GatewayService/DeleteGateway"
    assert server.http("POST", path, b"{}", token=VIEWER, content_type="application/json").status == 403
    assert server.http("POST", path, b"{}", token=None, content_type="application/json").status == 401

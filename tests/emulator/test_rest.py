"""REST by hand, as the API's documentation shows it."""

import gzip
import json
from typing import Any, cast

import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2

from cwinference import types
from cwinference.emulator.interfaces import RpcError
from cwinference.errors import CODES
from cwinference.transports._http_rule import target
from cwinference.transports.http_errors import error_of as read_error
from tests.support import samples
from tests.support.emulated_protocols import ROOT, VIEWER, ApiServer, HttpResponse


def code_of(response: HttpResponse) -> str:
    """Return the code that the library's own client reads from a response."""
    return read_error(response.status, cast(Any, response.headers), response.body, "").code


def post(server: ApiServer, path: str, fields: Any, **headers: str) -> Any:
    body = json.dumps(fields).encode()
    return server.http("POST", ROOT + path, body, **{"content_type": "application/json", **headers})


@pytest.mark.parametrize("name", samples.names("request"))
def test_every_method_is_reached_by_its_http_rule(server: ApiServer, name: str) -> None:
    method, request = samples.method_of(name), samples.request(name)
    server.api.responses[method.name] = expected = samples.response_to(method)
    path, body = target(method, request)
    assert method.http is not None
    response = server.http(method.http.verb, path, body, **({"content_type": "application/json"} if body else {}))
    assert (response.status, response.json) == (200, MessageToDict(expected))
    assert server.request == request


def test_paths_are_as_documented(server: ApiServer) -> None:
    for verb, path, method in [
        ("GET", "/gateways/parameters", "GetGatewayParameters"),
        ("GET", "/gateways/parameter", "GetGateway"),
        ("GET", "/capacityclaims/7", "GetCapacityClaim"),
        ("GET", "/hotLoads/7/replicas?maxPageSize=5", "ListHotLoadReplicas"),
        ("POST", "/hotLoads/7:cancel", "CancelHotLoad"),
        ("PATCH", "/deployments/7", "UpdateDeployment"),
    ]:
        server.http(verb, ROOT + path)
        assert server.api.calls[-1][0] == method


def test_an_id_in_the_path_is_decoded_and_wins_over_the_body(server: ApiServer) -> None:
    server.http("PATCH", f"{ROOT}/gateways/a%2Fb%20c", b'{"id": "other", "name": "x"}', content_type="application/json")
    assert server.request == types.UpdateGatewayRequest(id="a/b c", name="x")


TIME = "updated_after: expected a time with its offset, such as 2026-01-31T12:00:00Z, got '{}'"


def test_a_query_can_use_either_name_and_repeat_lists(server: ApiServer) -> None:
    server.http("GET", f"{ROOT}/deployments?parentGatewayId=7&updated_after=2026-09-01T00:00:00.5%2B02:00&color=red")
    assert server.request.parent_gateway_id == "7"
    assert server.request.updated_after.ToJsonString() == "2026-08-31T22:00:00.500Z"
    server.http("GET", f"{ROOT}/deployments/parameters?gatewayIds=1&gatewayIds=2")
    assert server.request.gateway_ids == ["1", "2"]


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("updatedAfter=yesterday", TIME.format("yesterday")),
        ("updatedAfter=2026-09-01T00:00:00", TIME.format("2026-09-01T00:00:00")),
        ("updated_after=2026-09-01", TIME.format("2026-09-01")),
        ("updatedAfter=", TIME.format("")),
        ("parentGatewayId=1&parentGatewayId=2", "parent_gateway_id: given more than once"),
    ],
)
def test_a_malformed_query_is_rejected(server: ApiServer, query: str, problem: str) -> None:
    response = server.http("GET", f"{ROOT}/deployments?{query}")
    assert (response.status, response.json["code"], response.json["message"]) == (400, 400, problem)
    assert not server.api.calls


def test_an_error_has_the_documented_form(server: ApiServer) -> None:
    wrong = error_details_pb2.BadRequest(field_violations=[{"field": "name", "description": "is required"}])
    server.api.responses["CreateGateway"] = RpcError("invalid_argument", "name is required", wrong)
    response = post(server, "/gateways", {})
    assert (response.status, response.headers["content-type"]) == (400, "application/json")
    assert response.json == {
        "code": 400,
        "message": "name is required",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"field": "name", "description": "is required"}],
            }
        ],
    }


@pytest.mark.parametrize("code", list(CODES))
def test_every_code_can_be_read_from_its_error(server: ApiServer, code: str) -> None:
    server.api.responses["GetGateway"] = RpcError(code, "scripted")
    response = server.http("GET", f"{ROOT}/gateways/7")
    assert code_of(response) == code


@pytest.mark.parametrize("body", [b"{", b"[]", b"7", b'{"name": {}}', b'{"name": "\xff"}', b"[" * 100_000])
def test_bad_json_is_an_invalid_argument(server: ApiServer, body: bytes) -> None:
    response = server.http("POST", f"{ROOT}/gateways", body, content_type="application/json")
    assert (response.status, response.json["code"]) == (400, 400)


def test_an_unknown_path_is_not_like_an_unknown_resource(server: ApiServer) -> None:
    for path in (f"{ROOT}/gateways/7/color", f"{ROOT}/gates", f"{ROOT}/", "/", "/v2/inference/gateways"):
        response = server.http("GET", path)
        assert response.status == 404
        assert code_of(response) == "unimplemented"


def test_the_response_to_a_wrong_verb_lists_those_allowed(server: ApiServer) -> None:
    response = server.http("PUT", f"{ROOT}/gateways/7", b"{}", content_type="application/json")
    assert (response.status, response.headers["allow"]) == (405, "DELETE, GET, PATCH")


def test_only_json_is_accepted_as_body(server: ApiServer) -> None:
    response = server.http("POST", f"{ROOT}/gateways", b"name=x", content_type="application/x-www-form-urlencoded")
    assert response.status == 415
    assert "application/json" in response.json["message"]
    latin = server.http("POST", f"{ROOT}/gateways", b"{}", content_type="application/json; charset=latin-1")
    assert latin.status == 415


def test_roles_are_checked_here_too(server: ApiServer) -> None:
    assert post(server, "/gateways", {}, token=VIEWER).json["code"] == 403
    assert server.http("GET", f"{ROOT}/gateways", token=None).json["code"] == 401
    assert not server.api.calls


def test_requests_and_responses_can_be_compressed(server: ApiServer) -> None:
    server.api.responses["CreateGateway"] = types.CreateGatewayResponse(
        gateway=types.Gateway(spec=types.GatewaySpec(name="x" * 5000))
    )
    body = gzip.compress(b'{"name": "x"}')
    headers = {"content_type": "application/json", "content_encoding": "gzip", "accept_encoding": "gzip"}
    response = server.http("POST", f"{ROOT}/gateways", body, **headers)
    assert json.loads(gzip.decompress(response.body))["gateway"]["spec"]["name"] == "x" * 5000
    assert server.request.name == "x"


def test_100_megabytes_are_rejected(server: ApiServer) -> None:
    response = server.http("POST", f"{ROOT}/gateways", bytes(100_000_000), content_type="application/json")
    assert (response.status, response.json["code"]) == (429, 429)

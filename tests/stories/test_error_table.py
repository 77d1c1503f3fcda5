"""The same failure raises the same class of error on every transport."""

import pickle
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import error_details_pb2

from cwinference import AsyncClient, errors
from tests.support.client_kinds import open_client
from tests.support.connected_client import connected
from tests.support.scripted_server import STATUS_OF, Failure, Raw, Responder, http_response
from tests.support.socket_servers import SocketServer, http2_response

BAD_REQUEST = error_details_pb2.BadRequest(
    field_violations=[error_details_pb2.BadRequest.FieldViolation(field="name", description="too long")]
)
HTTP_ONLY = ["connect-sync", "connect-async", "connect-json-sync", "connect-json-async", "rest-sync", "rest-async"]
PAGE = b"<html><body>nginx</body></html>"


async def failed(kind: str, respond: Responder, **settings: Any) -> Any:
    """Return the error that reading a gateway raises."""
    async with connected(kind, respond, retry=None, **settings) as (client, _):
        return await error_of(client)


async def error_of(client: AsyncClient, **options: Any) -> Any:
    with pytest.raises(errors.InferenceError) as caught:
        await client.gateways.get("some-id", **options)
    return caught.value


@pytest.mark.parametrize("code", STATUS_OF)
async def test_each_code_has_its_class(kind: str, code: str) -> None:
    error = await failed(kind, lambda _: Failure(code, "what happened"))
    assert type(error) is errors.CODES[code]
    assert (error.code, error.message, error.method, error.attempts) == (code, "what happened", "GetGateway", 1)
    assert error.http_status == (None if kind.startswith("grpc") else STATUS_OF[code][1])


@pytest.mark.parametrize("code", STATUS_OF)
async def test_details_are_decoded(kind: str, code: str) -> None:
    error = await failed(kind, lambda _: Failure(code, "no", [BAD_REQUEST]))
    assert error.details == (BAD_REQUEST,)


async def test_unknown_details_stay_packed(kind: str) -> None:
    error = await failed(kind, lambda _: Failure("internal", "no", [StringValue(value="x")]))
    (detail,) = error.details
    assert isinstance(detail, AnyMessage)
    assert detail.type_url.endswith("google.protobuf.StringValue")


async def test_a_delay_requested_by_the_server_is_an_attribute(kind: str) -> None:
    delay = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=2, nanos=500_000_000))
    error = await failed(kind, lambda _: Failure("resource_exhausted", "slow down", [delay]))
    assert error.retry_after == 2.5


async def test_an_error_can_be_pickled(kind: str) -> None:
    error = await failed(kind, lambda _: Failure("not_found", "gone", [BAD_REQUEST]))
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copy) is errors.NotFound
    assert (str(copy), copy.details, copy.code) == (str(error), error.details, "not_found")


async def test_control_characters_of_a_server_are_escaped(kind: str) -> None:
    error = await failed(kind, lambda _: Failure("internal", "\x1b[31mred"))
    assert error.message == "\x1b[31mred"
    assert "\x1b" not in str(error)


async def test_a_response_without_a_resource_is_a_protocol_error(kind: str) -> None:
    error = await failed(kind, lambda received: received.method.response())
    assert isinstance(error, errors.ProtocolError)


async def test_a_response_of_another_type_is_a_protocol_error(kind: str) -> None:
    error = await failed(kind, malformed(kind))
    assert isinstance(error, errors.ProtocolError)
    assert error.method == "GetGateway"


async def test_a_response_over_the_size_limit_is_a_protocol_error(kind: str) -> None:
    def long_one(received: Any) -> Message:
        response = received.method.response()
        response.gateway.spec.name = "x" * 5000
        return response  # type: ignore[no-any-return]

    error = await failed(kind, long_one, max_reply_bytes=4000)
    assert isinstance(error, errors.ProtocolError)
    assert "4000" in str(error)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, errors.Internal),
        (401, errors.Unauthenticated),
        (403, errors.PermissionDenied),
        (404, errors.Unimplemented),
        (418, errors.Unknown),
        (429, errors.Unavailable),
        (500, errors.Unknown),
        (502, errors.Unavailable),
        (503, errors.Unavailable),
        (504, errors.Unavailable),
        (302, errors.Unknown),
    ],
)
@pytest.mark.parametrize("kind", HTTP_ONLY)
async def test_a_page_of_a_proxy_is_never_mistaken_for_a_response_of_the_api(
    kind: str, status: int, expected: type[errors.ApiError]
) -> None:
    page = http_response(status, PAGE, {"content-type": "text/html", "location": "http://127.0.0.1:9/"})
    error = await failed(kind, lambda _: Raw(page))
    assert type(error) is expected
    assert error.http_status == status


@pytest.mark.parametrize("body", [b"", PAGE, b"{", b"[]", b'{"code": "nonsense"}', b"\xff\xfe"])
@pytest.mark.parametrize("kind", HTTP_ONLY)
async def test_the_http_status_decides_if_the_body_has_no_usable_code(kind: str, body: bytes) -> None:
    error = await failed(kind, lambda _: Raw(http_response(503, body, {"content-type": "application/json"})))
    assert type(error) is errors.Unavailable


@pytest.mark.parametrize("kind", HTTP_ONLY)
async def test_a_successful_response_in_html_is_a_protocol_error(kind: str) -> None:
    error = await failed(kind, lambda _: Raw(http_response(200, PAGE, {"content-type": "text/html"})))
    assert isinstance(error, errors.ProtocolError)
    assert error.http_status == 200


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, errors.Unauthenticated), (404, errors.Unimplemented), (418, errors.Unknown), (503, errors.Unavailable)],
)
@pytest.mark.parametrize("kind", ["grpc-sync", "grpc-async"])
async def test_a_response_of_a_proxy_to_grpc_keeps_its_http_status(
    kind: str, status: int, expected: type[errors.ApiError]
) -> None:
    with SocketServer(http2_response(status, {"content-type": "text/html"}, PAGE)) as server:
        async with open_client(kind, server.endpoint, retry=None) as client:
            error = await error_of(client)
    assert type(error) is expected
    assert error.http_status == status


def malformed(kind: str) -> Responder:
    """Return a responder that sends a success whose body is not a message of the right type."""
    if kind.startswith("grpc"):
        return lambda _: Raw(b"\x0a\xff\xff\xff\xff")
    if kind.startswith(("connect-json", "rest")):
        return lambda _: Raw(http_response(200, b'{"gateway": [1, 2]}', {"content-type": "application/json"}))
    return lambda _: Raw(http_response(200, b"\x0a\xff\xff\xff\xff", {"content-type": "application/proto"}))

"""The log of requests: what it says of each protocol, that it shows no secrets, and what it costs."""

import asyncio
import tracemalloc
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest

from cwinference import Client, Inference, errors
from cwinference.emulator import Emulator
from cwinference.emulator.admin import masking
from cwinference.emulator.admin.request_log import CAPACITY, RequestLog
from tests.support.admin_requests import admin, raw_request
from tests.support.ready_gateways import MODEL, ready_gateway

TRANSPORTS = ("grpc", "connect", "rest")
GET = "/coreweave.inference.v1alpha1.GatewayService/GetGateway"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


def logged(emulator: Emulator, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = admin(emulator, "GET", f"requests{query}").json["requests"]
    return found


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_calls_are_logged_with_method_and_code(emulator: Emulator, transport: Any) -> None:
    with Client(emulator.token, endpoint=emulator.endpoint, transport=transport, retry=None) as client:
        client.gateways.create("front", core_weave_auth={}, path_based_routing={})
        with pytest.raises(errors.AlreadyExists):
            client.gateways.create("front", core_weave_auth={}, path_based_routing={})
        with pytest.raises(errors.NotFound):
            client.gateways.get("5b2d9c1e-7a44-4f0d-8b6a-91c3e5d7f002")
    found = logged(emulator)
    assert [(each["protocol"], each["method"], each["code"]) for each in found] == [
        (transport, "CreateGateway", "ok"),
        (transport, "CreateGateway", "already_exists"),
        (transport, "GetGateway", "not_found"),
    ]
    assert all(0 < each["ms"] < 10_000 and each["headers"]["authorization"] == "Bearer ***" for each in found)
    assert "CW-SECRET" not in str(found)


@pytest.mark.parametrize("code", ["aborted", "data_loss", "failed_precondition", "out_of_range", "unknown", "internal"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_code_is_that_which_the_client_gets(emulator: Emulator, transport: Any, code: str) -> None:
    emulator.faults.add("error", code=code)
    client = Client(emulator.token, endpoint=emulator.endpoint, transport=transport, retry=None)
    with client, pytest.raises(errors.ApiError) as caught:
        client.gateways.list()
    assert caught.value.code == code == logged(emulator)[0]["code"]


@pytest.mark.parametrize("text", [False, True])
def test_grpc_web_is_logged_with_its_code(emulator: Emulator, text: bool) -> None:
    empty = bytes(5)
    for headers in ({"authorization": f"Bearer {emulator.token}"}, {}):
        kind = {"content-type": "application/grpc-web" + ("-text" if text else "")}
        raw_request(emulator, "POST", GET, b64encode(empty) if text else empty, kind | headers)
    assert [(each["protocol"], each["code"]) for each in logged(emulator)] == [
        ("grpc-web", "invalid_argument"),
        ("grpc-web", "unauthenticated"),
    ]


def test_completions_are_logged_by_their_route() -> None:
    with ready_gateway() as ready, Inference(ready.endpoint, token=ready.emulator.token) as inference:
        inference.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}])
        with inference.completions.stream(model=MODEL, prompt="Hi") as stream:
            list(stream)
        with pytest.raises(errors.NotFound):
            inference.chat.completions.create(model="none", messages=[{"role": "user", "content": "Hi"}])
        found = logged(ready.emulator)[-3:]
    assert [(each["protocol"], each["method"], each["code"]) for each in found] == [
        ("openai", "chat/completions", "ok"),
        ("openai", "completions", "ok"),
        ("openai", "chat/completions", "not_found"),
    ]
    assert found[0]["request"].startswith('{"model":"org/model"')
    assert found[1]["response"].startswith("data: {")


def test_a_request_without_a_response_is_logged_too(emulator: Emulator) -> None:
    emulator.faults.add("cut", when="before")
    with suppress(OSError):
        raw_request(emulator, "GET", "/nothing?token=x")
    [found] = logged(emulator)
    assert (found["protocol"], found["method"], found["code"], found["status"]) == ("http", None, None, None)
    assert found["path"] == "/nothing?token=***"


def test_the_newest_and_those_after_an_id_can_be_asked_for(emulator: Emulator) -> None:
    for number in range(5):
        raw_request(emulator, "GET", f"/{number}")
    assert [each["path"] for each in logged(emulator, "?limit=2")] == ["/3", "/4"]
    last = logged(emulator)[-1]["id"]
    raw_request(emulator, "GET", "/5")
    assert [each["path"] for each in logged(emulator, f"?after={last}")] == ["/5"]
    assert logged(emulator, f"?after={last + 1}") == []


def test_secrets_in_bodies_and_headers_are_masked(emulator: Emulator) -> None:
    body = b'{"name":"front","weightsAndBiasesAuth":{"apiKey":"wandb-secret\\"x"},"pathBasedRouting":{}}'
    headers = {"content-type": "application/json", "x-api-key": "secret-1", "cookie": "secret-2", "x-auth": "secret-3"}
    raw_request(emulator, "POST", "/v1alpha1/inference/gateways", body, headers)
    [found] = logged(emulator)
    assert "secret-" not in str(found)
    assert "wandb-secret" not in str(found)
    assert found["request"].startswith('{"name":"front","weightsAndBiasesAuth":{"apiKey":"***"}')


@pytest.mark.parametrize(
    ("body", "masked"),
    [
        ('{"api_key": "abc', '{"api_key": "***'),
        ('{"api_key": "abc\\', '{"api_key": "***\\'),
        ('{"password":"a\\"b","x":1}', '{"password":"***","x":1}'),
        ('{"pageToken":"abc","max_tokens":5}', '{"pageToken":"abc","max_tokens":5}'),
        ("use CW-SECRET-abc.def now", "use CW-SECRET-*** now"),
        ("Bearer CW-SECRET-", "Bearer CW-SECRET-***"),
    ],
)
def test_bodies_are_masked_also_where_they_are_cut_off(body: str, masked: str) -> None:
    assert masking.body(body) == masked


@pytest.mark.parametrize("codec", ["proto", "json"])
def test_the_bodies_of_json_are_shown_and_those_of_binary_are_not(emulator: Emulator, codec: Any) -> None:
    with Client(emulator.token, endpoint=emulator.endpoint, transport="connect", codec=codec) as client:
        client.gateways.create("front", core_weave_auth={}, path_based_routing={})
    [found] = logged(emulator)
    if codec == "json":
        assert '"name":"front"' in found["request"].replace(" ", "")
        assert found["response"].startswith('{"gateway"')
    else:
        assert found["request"] is found["response"] is None


def test_a_character_that_is_cut_off_does_not_hide_the_rest(emulator: Emulator) -> None:
    body = ("x" * 255 + "\u00f6").encode()
    raw_request(emulator, "POST", GET, body, {"content-type": "application/json"})
    assert logged(emulator)[0]["request"] == "x" * 255


def test_binary_bodies_and_broken_headers_are_not_shown(emulator: Emulator) -> None:
    kind = {"content-type": "application/json", "x": "y" * 2000, "authorization": "Bearer secret"}
    raw_request(emulator, "POST", GET, b"\xff\0\1", kind)
    [found] = logged(emulator)
    assert found["request"] is None
    assert found["headers"]["x"].startswith("yyy")
    assert len(str(found["headers"])) < 1000
    assert "secret" not in str(found)


def test_a_full_log_has_at_most_2_megabytes() -> None:
    async def respond(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"y" * 100_000})

    async def send(event: Mapping[str, Any]) -> None:
        pass

    log = RequestLog(respond)

    async def fill() -> None:
        for number in range(CAPACITY + 500):

            async def receive() -> Mapping[str, Any]:
                return {"type": "http.request", "body": b"x" * 100_000}

            headers = [(b"header-%d" % each, b"%d" % number * 200) for each in range(30)]
            path = b"/%d/" % number + b"x" * 5000
            await log(
                {"type": "http", "method": "POST", "raw_path": path, "query_string": b"", "headers": headers},
                receive,
                send,
            )

    tracemalloc.start()
    try:
        asyncio.run(fill())
        size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert [each.number for each in log.last()] == list(range(501, 1501))
    assert size < 2_000_000

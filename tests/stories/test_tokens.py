"""Tokens in requests: every attempt has the right one, and no other server gets it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cwinference import Retry, auth, errors, types
from tests.support import samples
from tests.support.client_kinds import open_client
from tests.support.connected_client import connected
from tests.support.scripted_server import Failure, Raw, ReceivedRequest, ScriptedServer, http_response
from tests.support.socket_servers import SocketServer, http2_response

ASYNC = ["grpc-async", "connect-async", "connect-json-async", "rest-async"]
SYNC = ["grpc-sync", "connect-sync", "connect-json-sync", "rest-sync"]
OVER_HTTP = ["connect-sync", "connect-async", "connect-json-sync", "rest-sync", "rest-async"]


def accepting(*tokens: str) -> Any:
    """Return a responder that sends the samples to requests with one of these tokens, else UNAUTHENTICATED."""

    def respond(received: ReceivedRequest) -> Any:
        known = received.headers.get("authorization") in [f"Bearer {token}" for token in tokens]
        return samples.response_to(received.method) if known else Failure("unauthenticated", "unknown token")

    return respond


def tokens_sent(server: ScriptedServer) -> list[str]:
    """Return the tokens of the requests."""
    return [each.headers["authorization"].removeprefix("Bearer ") for each in server.received]


async def test_a_wrong_token_is_unauthenticated_without_a_retry(kind: str) -> None:
    async with connected(kind, accepting("good"), token="bad", retry=Retry(initial_backoff=0)) as (client, server):
        with pytest.raises(errors.Unauthenticated) as caught:
            await client.gateways.list()
    assert (caught.value.attempts, tokens_sent(server)) == (1, ["bad"])


async def test_a_token_without_the_role_is_denied_without_a_retry(kind: str) -> None:
    denied = Failure("permission_denied", "needs Inference Admin")
    async with connected(kind, lambda _: denied, token=lambda: "viewer", retry=Retry(initial_backoff=0)) as (
        client,
        server,
    ):
        with pytest.raises(errors.PermissionDenied):
            await client.gateways.delete("x")
    assert tokens_sent(server) == ["viewer"]


async def test_a_rotated_file_is_read_when_the_old_token_is_refused(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    accepted = ["old"]
    async with connected(kind, lambda each: accepting(*accepted)(each), token=auth.from_file(file)) as (client, server):
        await client.gateways.list()
        file.write_text("newer\n")
        accepted[:] = ["newer"]
        await client.gateways.update("x", name="front")
    assert tokens_sent(server) in (["old", "newer"], ["old", "old", "newer"])


async def test_the_token_of_a_json_call_is_refreshed_too(kind: str) -> None:
    tokens = iter(["old", "new"])
    async with connected(kind, accepting("new"), token=lambda: next(tokens)) as (client, server):
        await client.hot_loads.get("x")
    assert tokens_sent(server) == ["old", "new"]


@pytest.mark.parametrize("kind", ASYNC)
async def test_an_async_source_is_awaited(kind: str) -> None:
    tokens = ["new", "old"]

    async def source() -> str:
        await asyncio.sleep(0)
        return tokens.pop()

    async with connected(kind, accepting("new"), token=source) as (client, server):
        await client.gateways.list()
    assert tokens_sent(server) == ["old", "new"]


@pytest.mark.parametrize("kind", ASYNC)
async def test_a_slow_source_ends_in_the_timeout_of_the_call(kind: str) -> None:
    async def source() -> str:
        await asyncio.sleep(60)
        return "never"

    async with connected(kind, accepting("never"), token=source) as (client, server):
        with pytest.raises(
            errors.DeadlineExceeded,
            match="^GetGateway: timed out while waiting for the token source \\[deadline_exceeded\\]$",
        ):
            await client.gateways.get("x", timeout=0.05)
    assert server.received == []


async def test_concurrent_calls_use_the_source_once(kind: str) -> None:
    fetched: list[str] = []

    def source() -> str:
        fetched.append("token")
        return "old" if len(fetched) == 1 else "new"

    async with connected(kind, accepting("old"), token=source) as (client, _):
        await asyncio.gather(*(client.gateways.get("x") for _ in range(20)))
        assert len(fetched) == 1
    fetched.clear()
    async with connected(kind, accepting("new"), token=source) as (client, _):
        await asyncio.gather(*(client.gateways.get("x") for _ in range(20)))
        assert len(fetched) == 2


async def test_an_error_of_the_source_fails_the_call_and_nothing_is_sent(kind: str) -> None:
    def source() -> str:
        raise LookupError("the vault is sealed")

    async with connected(kind, accepting("x"), token=source) as (client, server):
        with pytest.raises(LookupError, match="the vault is sealed"):
            await client.gateways.get("x")
    assert server.received == []


async def test_an_invalid_token_of_a_source_is_refused_without_showing_it(kind: str) -> None:
    async with connected(kind, accepting("x"), token=lambda: "CANARY\n") as (client, server):
        with pytest.raises(
            errors.ConfigurationError,
            match="^token: contains a line break, a space or a character that is not printable ASCII; ",
        ) as caught:
            await client.gateways.get("x")
    assert server.received == []
    assert "CANARY" not in repr(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("kind", OVER_HTTP)
async def test_a_redirect_is_not_followed(kind: str, status: int) -> None:
    with ScriptedServer("rest", lambda received: samples.response_to(received.method)) as elsewhere:
        headers = {"location": f"{elsewhere.endpoint}/v1alpha1/inference/gateways/x", "connection": "close"}
        async with connected(kind, lambda _: Raw(http_response(status, b"", headers)), retry=None) as (client, _):
            with pytest.raises(errors.Unknown) as caught:
                await client.gateways.get("x")
    assert caught.value.http_status == status
    assert elsewhere.received == []


@pytest.mark.parametrize("kind", ["grpc-sync", "grpc-async"])
async def test_a_redirect_of_grpc_is_not_followed_either(kind: str) -> None:
    with ScriptedServer("grpc", lambda received: samples.response_to(received.method)) as elsewhere:
        headers = {"location": elsewhere.endpoint, "content-type": "text/html"}
        with SocketServer(http2_response(302, headers, b"")) as server:
            async with open_client(kind, server.endpoint, retry=None) as client:
                with pytest.raises(errors.Unknown):
                    await client.gateways.get("x")
    assert elsewhere.received == []


@pytest.mark.parametrize("kind", SYNC)
async def test_an_async_source_is_refused_by_the_sync_client(kind: str) -> None:
    async def source() -> str:
        return "token"

    with pytest.raises(errors.ConfigurationError, match="needs AsyncClient"):
        async with connected(kind, accepting("token"), token=source):
            pass


async def test_a_key_of_weights_and_biases_is_sent_and_never_shown(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    key = types.WeightsAndBiasesAuth(api_key="CANARY", server_url="https://wandb.example")
    caplog.set_level("DEBUG")
    async with connected(kind, lambda _: Failure("invalid_argument", "no")) as (client, server):
        with pytest.raises(errors.InvalidArgument) as caught:
            await client.gateways.create("front", weights_and_biases_auth=key)
    assert server.received[0].request.weights_and_biases_auth == key
    assert "CANARY" not in caplog.text + repr(caught.value)

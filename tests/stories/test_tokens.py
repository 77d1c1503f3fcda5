"""Tokens on their way: the right one in every attempt, to nobody else."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cwinference import Retry, auth, errors, types
from tests.support import samples
from tests.support.client_kinds import open_client
from tests.support.connected_client import told
from tests.support.scripted_server import Failure, Peer, Raw, Received, http
from tests.support.socket_servers import SocketServer, http2_answer

ASYNC = ["grpc-async", "connect-async", "connect-json-async", "rest-async"]
SYNC = ["grpc-sync", "connect-sync", "connect-json-sync", "rest-sync"]
OVER_HTTP = ["connect-sync", "connect-async", "connect-json-sync", "rest-sync", "rest-async"]


def knowing(*tokens: str) -> Any:
    """Answer by the samples who brings one of these tokens."""

    def answer(received: Received) -> Any:
        known = received.headers.get("authorization") in [f"Bearer {token}" for token in tokens]
        return samples.response_to(received.method) if known else Failure("unauthenticated", "unknown token")

    return answer


def brought(peer: Peer) -> list[str]:
    """The tokens of the requests."""
    return [each.headers["authorization"].removeprefix("Bearer ") for each in peer.received]


async def test_a_wrong_token_is_unauthenticated_at_once(kind: str) -> None:
    async with told(kind, knowing("good"), token="bad", retry=Retry(initial_backoff=0)) as (client, peer):
        with pytest.raises(errors.Unauthenticated) as caught:
            await client.gateways.list()
    assert (caught.value.attempts, brought(peer)) == (1, ["bad"])


async def test_a_token_without_the_role_is_denied_at_once(kind: str) -> None:
    denied = Failure("permission_denied", "needs Inference Admin")
    async with told(kind, lambda _: denied, token=lambda: "viewer", retry=Retry(initial_backoff=0)) as (client, peer):
        with pytest.raises(errors.PermissionDenied):
            await client.gateways.delete("x")
    assert brought(peer) == ["viewer"]


async def test_a_rotated_file_is_picked_up_when_the_old_token_is_refused(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    accepted = ["old"]
    async with told(kind, lambda each: knowing(*accepted)(each), token=auth.from_file(file)) as (client, peer):
        await client.gateways.list()
        file.write_text("newer\n")
        accepted[:] = ["newer"]
        await client.gateways.update("x", name="front")
    assert brought(peer) in (["old", "newer"], ["old", "old", "newer"])


async def test_a_token_for_what_travels_as_json_is_renewed_too(kind: str) -> None:
    tokens = iter(["old", "new"])
    async with told(kind, knowing("new"), token=lambda: next(tokens)) as (client, peer):
        await client.hot_loads.get("x")
    assert brought(peer) == ["old", "new"]


@pytest.mark.parametrize("kind", ASYNC)
async def test_an_async_source_is_awaited(kind: str) -> None:
    tokens = ["new", "old"]

    async def source() -> str:
        await asyncio.sleep(0)
        return tokens.pop()

    async with told(kind, knowing("new"), token=source) as (client, peer):
        await client.gateways.list()
    assert brought(peer) == ["old", "new"]


@pytest.mark.parametrize("kind", ASYNC)
async def test_a_source_that_takes_too_long_ends_in_the_calls_deadline(kind: str) -> None:
    async def source() -> str:
        await asyncio.sleep(60)
        return "never"

    async with told(kind, knowing("never"), token=source) as (client, peer):
        with pytest.raises(errors.DeadlineExceeded, match="GetGateway: .* before the token source answered"):
            await client.gateways.get("x", timeout=0.05)
    assert peer.received == []


async def test_calls_at_once_ask_the_source_once(kind: str) -> None:
    asked: list[str] = []

    def source() -> str:
        asked.append("asked")
        return "old" if len(asked) == 1 else "new"

    async with told(kind, knowing("old"), token=source) as (client, _):
        await asyncio.gather(*(client.gateways.get("x") for _ in range(20)))
        assert len(asked) == 1
    asked.clear()
    async with told(kind, knowing("new"), token=source) as (client, _):
        await asyncio.gather(*(client.gateways.get("x") for _ in range(20)))
        assert len(asked) == 2


async def test_a_source_that_fails_fails_the_call_and_nothing_is_sent(kind: str) -> None:
    def source() -> str:
        raise LookupError("the vault is sealed")

    async with told(kind, knowing("x"), token=source) as (client, peer):
        with pytest.raises(LookupError, match="the vault is sealed"):
            await client.gateways.get("x")
    assert peer.received == []


async def test_a_source_that_gives_nonsense_is_refused_without_showing_it(kind: str) -> None:
    async with told(kind, knowing("x"), token=lambda: "CANARY\n") as (client, peer):
        with pytest.raises(errors.ConfigurationError, match="^token: it holds a line break") as caught:
            await client.gateways.get("x")
    assert peer.received == []
    assert "CANARY" not in repr(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("kind", OVER_HTTP)
async def test_a_redirect_is_not_followed(kind: str, status: int) -> None:
    with Peer("rest", lambda received: samples.response_to(received.method)) as elsewhere:
        away = {"location": f"{elsewhere.endpoint}/v1alpha1/inference/gateways/x", "connection": "close"}
        async with told(kind, lambda _: Raw(http(status, b"", away)), retry=None) as (client, _):
            with pytest.raises(errors.Unknown) as caught:
                await client.gateways.get("x")
    assert caught.value.http_status == status
    assert elsewhere.received == []


@pytest.mark.parametrize("kind", ["grpc-sync", "grpc-async"])
async def test_a_redirect_of_grpc_is_not_followed_either(kind: str) -> None:
    with Peer("grpc", lambda received: samples.response_to(received.method)) as elsewhere:
        away = {"location": elsewhere.endpoint, "content-type": "text/html"}
        with SocketServer(http2_answer(302, away, b"")) as server:
            async with open_client(kind, server.endpoint, retry=None) as client:
                with pytest.raises(errors.Unknown):
                    await client.gateways.get("x")
    assert elsewhere.received == []


@pytest.mark.parametrize("kind", SYNC)
async def test_an_async_source_is_refused_by_the_blocking_client(kind: str) -> None:
    async def source() -> str:
        return "token"

    with pytest.raises(errors.ConfigurationError, match="needs AsyncClient"):
        async with told(kind, knowing("token"), token=source):
            pass


async def test_a_key_of_weights_and_biases_arrives_and_is_never_shown(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = types.WeightsAndBiasesAuth(api_key="CANARY", server_url="https://wandb.example")
    caplog.set_level("DEBUG")
    async with told(kind, lambda _: Failure("invalid_argument", "no")) as (client, peer):
        with pytest.raises(errors.InvalidArgument) as caught:
            await client.gateways.create("front", weights_and_biases_auth=key)
    assert peer.received[0].request.weights_and_biases_auth == key
    assert "CANARY" not in caplog.text + repr(caught.value)

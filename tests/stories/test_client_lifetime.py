"""The lifetime of a client: its copies, threads, event loops, forks, and its end."""

import asyncio
import threading
from typing import Any

import pytest

from cwinference import Client, Retry, errors, types
from tests.support.client_kinds import KINDS, open_client
from tests.support.connected_client import connected
from tests.support.fork_program import fork_outcomes
from tests.support.scripted_server import Failure, ReceivedRequest, ScriptedServer
from tests.support.socket_servers import SocketServer, silence

ASYNC = [kind for kind in KINDS if kind.endswith("async")]
SYNC = [kind for kind in KINDS if kind.endswith("sync") and kind not in ASYNC]


def echo(received: ReceivedRequest) -> types.GetGatewayResponse:
    """Respond with a gateway whose name is its id."""
    spec = types.GatewaySpec(id=received.request.id, name=received.request.id)
    return types.GetGatewayResponse(gateway=types.Gateway(spec=spec))


async def test_nothing_connects_before_the_first_call(kind: str) -> None:
    with SocketServer(silence) as server:
        async with open_client(kind, server.endpoint) as client:
            copy = client.with_options(timeout=1)
            assert repr(copy) == repr(client)
            await asyncio.sleep(0)
        assert server.connections == []


async def test_a_copy_has_its_own_defaults(kind: str) -> None:
    down = Failure("unavailable", "down")
    async with connected(kind, lambda _: down, retry=Retry(max_attempts=2, initial_backoff=0)) as (client, server):
        for used, sent in ((client.with_options(retry=None), 1), (client, 2), (client.with_options(timeout=5), 2)):
            server.received.clear()
            with pytest.raises(errors.Unavailable):
                await used.gateways.get("x")
            assert len(server.received) == sent


async def test_a_call_uses_the_timeout_of_the_copy_unless_it_has_its_own(kind: str) -> None:
    with SocketServer(silence) as server:
        async with open_client(kind, server.endpoint, timeout=60, retry=None) as client:
            copy = client.with_options(timeout=0.05)
            with pytest.raises(errors.DeadlineExceeded, match=r"0\.05"):
                await copy.gateways.get("x")
            with pytest.raises(errors.DeadlineExceeded, match=r"0\.1"):
                await copy.gateways.get("x", timeout=0.1)


@pytest.mark.parametrize("timeout", [1e9, 1e300, None])
async def test_any_long_timeout_is_accepted(kind: str, timeout: float | None) -> None:
    async with connected(kind, echo, timeout=timeout) as (client, _):
        assert (await client.gateways.get("x")).spec.name == "x"


async def test_copies_share_the_connections(kind: str) -> None:
    async with connected(kind, echo) as (client, server):
        await client.gateways.get("x")
        before = server.connections()
        for _ in range(5):
            await client.with_options(timeout=5).gateways.get("x")
        assert server.connections() == before


async def test_closing_a_copy_does_nothing(kind: str) -> None:
    async with connected(kind, echo) as (client, _):
        copy = client.with_options(timeout=5)
        await copy.close()
        assert (await copy.gateways.get("x")).spec.name == "x"
        assert (await client.gateways.get("x")).spec.name == "x"


async def test_closing_the_client_closes_its_copies(kind: str) -> None:
    async with connected(kind, echo) as (client, _):
        copy = client.with_options(timeout=5)
        await copy.gateways.get("x")
        await client.close()
        with pytest.raises(errors.ConfigurationError, match="closed; create a new one"):
            await copy.gateways.get("x")


async def test_a_call_in_flight_completes_or_fails_when_its_client_is_closed_but_its_task_is_not_canceled(
    kind: str,
) -> None:
    received_one, go_on = threading.Event(), threading.Event()

    def respond(received: ReceivedRequest) -> types.GetGatewayResponse:
        received_one.set()
        go_on.wait(60)
        return echo(received)

    async def get(client: Any) -> Any:
        return await client.gateways.get("x")

    async with connected(kind, respond, retry=None) as (client, _):
        call: asyncio.Task[Any] = asyncio.create_task(get(client))
        await asyncio.to_thread(received_one.wait)
        await client.close()
        go_on.set()
        outcome: Any = (await asyncio.gather(call, return_exceptions=True))[0]
    if kind.startswith("grpc"):
        assert type(outcome) is errors.Cancelled
        assert outcome.method == "GetGateway"
    else:
        assert outcome.spec.id == "x"


async def test_a_client_may_be_closed_twice_and_without_being_used(kind: str) -> None:
    async with connected(kind, echo) as (client, _):
        await client.close()
        await client.close()


@pytest.mark.parametrize("kind", SYNC)
async def test_threads_share_a_client(kind: str) -> None:
    async with connected(kind, echo) as (client, _):
        numbers = [str(number) for number in range(64)]
        found = await asyncio.gather(*(client.gateways.get(number) for number in numbers))
    assert [each.spec.name for each in found] == numbers


@pytest.mark.parametrize("kind", ASYNC)
async def test_event_loops_share_a_client(kind: str) -> None:
    async with connected(kind, echo) as (client, _):

        async def several(name: str) -> list[str]:
            found = await asyncio.gather(*(client.gateways.get(name) for _ in range(8)))
            return [each.spec.name for each in found]

        def in_another_loop(name: str) -> list[str]:
            return asyncio.run(several(name))

        others = [asyncio.to_thread(in_another_loop, name) for name in ("a", "b")]
        assert await asyncio.gather(several("here"), *others) == [["here"] * 8, ["a"] * 8, ["b"] * 8]
        assert await asyncio.to_thread(in_another_loop, "later") == ["later"] * 8


@pytest.mark.parametrize("kind", ["grpc-sync", "grpc-async", "connect-sync", "rest-async"])
def test_a_fork_before_the_first_call_does_no_harm(kind: str) -> None:
    with ScriptedServer(kind.partition("-")[0], echo) as server:
        assert fork_outcomes(kind, server.endpoint, "unused") == {"same": "x", "new": "x", "after": "x"}


def test_after_a_fork_grpc_works_in_the_child_and_in_the_parent() -> None:
    with ScriptedServer("grpc", echo) as server:
        assert fork_outcomes("grpc-sync", server.endpoint, "used") == dict.fromkeys(
            ("before", "same", "new", "after"), "x"
        )


def test_after_a_fork_async_grpc_works_if_the_parent_had_closed_its_client() -> None:
    with ScriptedServer("grpc", echo) as server:
        ends = fork_outcomes("grpc-async", server.endpoint, "closed")
    assert (ends["before"], ends["new"]) == ("x", "x")
    assert ends["same"].startswith("ConfigurationError: the client is closed")


def test_after_a_fork_async_grpc_is_refused_at_once_if_the_client_of_the_parent_was_open() -> None:
    with ScriptedServer("grpc", echo) as server:
        ends = fork_outcomes("grpc-async", server.endpoint, "used")
    assert (ends["before"], ends["after"]) == ("x", "x")
    for child in (ends["same"], ends["new"]):
        assert child.startswith("ConfigurationError: this process was forked while")


@pytest.mark.parametrize("kind", ["connect-sync", "connect-async", "rest-sync", "rest-async"])
def test_after_a_fork_http_is_refused_at_once(kind: str) -> None:
    with ScriptedServer(kind.partition("-")[0], echo) as server:
        ends = fork_outcomes(kind, server.endpoint, "used")
    assert (ends["before"], ends["after"]) == ("x", "x")
    for child in (ends["same"], ends["new"]):
        assert child.startswith("ConfigurationError: this process was forked after")


@pytest.mark.parametrize("transport", ["grpc", "connect", "rest"])
def test_a_with_block_closes_the_client(transport: Any) -> None:
    with Client("token", endpoint="http://localhost:1", transport=transport) as client:
        pass
    assert repr(client).endswith(", closed)")
    with pytest.raises(errors.ConfigurationError, match="closed"):
        client.gateways.get("x")

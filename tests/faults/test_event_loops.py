"""Threads, event loops and processes side by side, and none at all."""

import asyncio
import gc
import multiprocessing
import weakref
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import pytest

from cwinference import AsyncClient, errors, types
from cwinference.inference import AsyncInference, Inference
from tests.support.client_kinds import open_client
from tests.support.connected_client import told
from tests.support.fork_program import call, new_client
from tests.support.inference_kinds import MESSAGES, open_front
from tests.support.scripted_model_server import MODEL, ModelServer, completion, plain
from tests.support.scripted_server import Peer, Received
from tests.support.socket_servers import SocketServer, silence

ASYNC = ["grpc-async", "connect-async", "rest-async"]
THREADS = 8


def echo(received: Received) -> types.GetGatewayResponse:
    """A gateway named like its id."""
    spec = types.GatewaySpec(id=received.request.id, name=received.request.id)
    return types.GetGatewayResponse(gateway=types.Gateway(spec=spec))


@pytest.mark.parametrize("kind", ASYNC)
async def test_eight_threads_with_a_loop_and_a_client_each_all_work(kind: str) -> None:
    async with told(kind, echo) as (_, peer):

        async def several(name: str) -> set[str]:
            async with open_client(kind, peer.endpoint, **peer.settings) as client:
                return {
                    each.spec.name for each in await asyncio.gather(*(client.gateways.get(name) for _ in range(20)))
                }

        names = [f"gateway-{number}" for number in range(THREADS)]
        all_found = await asyncio.gather(*(asyncio.to_thread(asyncio.run, several(name)) for name in names))
    assert all_found == [{name} for name in names]


@pytest.mark.parametrize("kind", ASYNC)
def test_a_client_lets_go_of_loops_that_have_ended(kind: str) -> None:
    with Peer(kind.partition("-")[0], echo) as peer:
        client = new_client(kind, peer.endpoint)
        assert isinstance(client, AsyncClient)
        loops = [asyncio.run(_loop_after_a_call(client)) for _ in range(4)]
        gc.collect()
        assert [loop() for loop in loops[:-1]] == [None] * 3
        asyncio.run(client.close())


async def _loop_after_a_call(client: AsyncClient) -> weakref.ref[asyncio.AbstractEventLoop]:
    await client.gateways.get("x")
    return weakref.ref(asyncio.get_running_loop())


@pytest.mark.parametrize("kind", ASYNC)
def test_without_an_asyncio_loop_it_says_what_to_use(kind: str) -> None:
    with SocketServer(silence) as server:
        client = new_client(kind, server.endpoint)
        assert isinstance(client, AsyncClient)
        pending = client.gateways.get("x")
        with pytest.raises(errors.ConfigurationError, match="asyncio event loop; elsewhere, as under trio"):
            pending.send(None)
        assert server.connections == []


@pytest.mark.parametrize("kind", ["grpc-sync", "connect-async", "rest-sync"])
def test_a_spawned_process_works_after_its_parent_did(kind: str) -> None:
    with Peer(kind.partition("-")[0], echo) as peer:
        assert read(kind, peer.endpoint) == "x"
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as workers:
            assert list(workers.map(read, [kind] * 2, [peer.endpoint] * 2)) == ["x", "x"]
        assert read(kind, peer.endpoint) == "x"


def read(kind: str, endpoint: str) -> str:
    return call(new_client(kind, endpoint), close=True)


async def test_completions_of_eight_threads_with_a_loop_and_a_client_each_all_work() -> None:
    with ModelServer(lambda asked: plain(completion(asked.body["user"]))) as server:

        async def several(name: str) -> set[str]:
            async with open_front("async-1", server.url) as front:
                return {each.text for each in await asyncio.gather(*(front.chat(user=name) for _ in range(10)))}

        names = [f"user-{number}" for number in range(THREADS)]
        found = await asyncio.gather(*(asyncio.to_thread(asyncio.run, several(name)) for name in names))
    assert found == [{name} for name in names]


async def test_completions_of_sixty_four_threads_share_a_client() -> None:
    with ModelServer(lambda asked: plain(completion(asked.body["user"]))) as server:
        names = [f"user-{number}" for number in range(64)]
        with Inference(server.url, token=None) as front, ThreadPoolExecutor(64) as threads:
            ask = partial(front.chat.completions.create, model=MODEL, messages=MESSAGES)
            found = await asyncio.to_thread(list, threads.map(lambda name: ask(user=name).text, names))
    assert found == names


async def test_without_an_asyncio_loop_completions_say_what_to_use() -> None:
    with SocketServer(silence) as server:

        def start() -> None:
            front = AsyncInference(server.endpoint, token=None)
            stream = front.chat.completions.stream(model=MODEL, messages=MESSAGES)
            for pending in (front.chat.completions.create(model=MODEL, messages=MESSAGES), stream.__aenter__()):
                with pytest.raises(errors.ConfigurationError, match="asyncio event loop; elsewhere, as under trio"):
                    pending.send(None)

        await asyncio.to_thread(start)
        assert server.connections == []

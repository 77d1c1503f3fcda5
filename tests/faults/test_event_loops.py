"""Clients in several threads, event loops and processes, and without an event loop."""

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
from tests.support.connected_client import connected
from tests.support.fork_program import call_outcome, new_client
from tests.support.inference_kinds import MESSAGES, open_inference
from tests.support.scripted_model_server import MODEL, ScriptedModelServer, completion, json_response
from tests.support.scripted_server import ReceivedRequest, ScriptedServer
from tests.support.socket_servers import SocketServer, silence

ASYNC = ["grpc-async", "connect-async", "rest-async"]
THREADS = 8


def echo(received: ReceivedRequest) -> types.GetGatewayResponse:
    """Respond with a gateway whose name is its id."""
    spec = types.GatewaySpec(id=received.request.id, name=received.request.id)
    return types.GetGatewayResponse(gateway=types.Gateway(spec=spec))


@pytest.mark.parametrize("kind", ASYNC)
async def test_calls_work_in_eight_threads_with_a_loop_and_a_client_each(kind: str) -> None:
    async with connected(kind, echo) as (_, server):

        async def call_repeatedly(name: str) -> set[str]:
            async with open_client(kind, server.endpoint, **server.settings) as client:
                return {
                    each.spec.name for each in await asyncio.gather(*(client.gateways.get(name) for _ in range(20)))
                }

        names = [f"gateway-{number}" for number in range(THREADS)]
        results = await asyncio.gather(*(asyncio.to_thread(asyncio.run, call_repeatedly(name)) for name in names))
    assert results == [{name} for name in names]


@pytest.mark.parametrize("kind", ASYNC)
def test_a_client_does_not_keep_closed_loops_alive(kind: str) -> None:
    # In a process of its own: after canceled calls, gRPC's poller keeps the loops of a process, whoever made them.
    with (
        ScriptedServer(kind.partition("-")[0], echo) as server,
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process,
    ):
        assert process.submit(closed_loops_alive, kind, server.endpoint).result() == 0


def closed_loops_alive(kind: str, endpoint: str) -> int:
    """Return how many of three closed event loops, in which a client was used, are still there."""
    client = new_client(kind, endpoint)
    assert isinstance(client, AsyncClient)
    loops = [asyncio.run(_call_and_get_loop(client)) for _ in range(4)]
    gc.collect()
    alive = sum(loop() is not None for loop in loops[:-1])
    asyncio.run(client.close())
    return alive


async def _call_and_get_loop(client: AsyncClient) -> weakref.ref[asyncio.AbstractEventLoop]:
    await client.gateways.get("x")
    return weakref.ref(asyncio.get_running_loop())


@pytest.mark.parametrize("kind", ASYNC)
def test_without_an_asyncio_loop_the_error_of_a_call_says_what_to_use(kind: str) -> None:
    with SocketServer(silence) as server:
        client = new_client(kind, server.endpoint)
        assert isinstance(client, AsyncClient)
        pending = client.gateways.get("x")
        with pytest.raises(errors.ConfigurationError, match="asyncio event loop; elsewhere, as under trio"):
            pending.send(None)
        assert server.connections == []


@pytest.mark.parametrize("kind", ["grpc-sync", "connect-async", "rest-sync"])
def test_a_spawned_process_works_after_calls_in_its_parent(kind: str) -> None:
    with ScriptedServer(kind.partition("-")[0], echo) as server:
        assert read(kind, server.endpoint) == "x"
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as workers:
            assert list(workers.map(read, [kind] * 2, [server.endpoint] * 2)) == ["x", "x"]
        assert read(kind, server.endpoint) == "x"


def read(kind: str, endpoint: str) -> str:
    return call_outcome(new_client(kind, endpoint), close=True)


async def test_completions_work_in_eight_threads_with_a_loop_and_a_client_each() -> None:
    with ScriptedModelServer(lambda request: json_response(completion(request.body["user"]))) as server:

        async def call_repeatedly(name: str) -> set[str]:
            async with open_inference("async-1", server.url) as inference:
                return {each.text for each in await asyncio.gather(*(inference.chat(user=name) for _ in range(10)))}

        names = [f"user-{number}" for number in range(THREADS)]
        results = await asyncio.gather(*(asyncio.to_thread(asyncio.run, call_repeatedly(name)) for name in names))
    assert results == [{name} for name in names]


async def test_sixty_four_threads_share_an_inference() -> None:
    with ScriptedModelServer(lambda request: json_response(completion(request.body["user"]))) as server:
        names = [f"user-{number}" for number in range(64)]
        with Inference(server.url, token=None) as inference, ThreadPoolExecutor(64) as threads:
            create = partial(inference.chat.completions.create, model=MODEL, messages=MESSAGES)
            results = await asyncio.to_thread(list, threads.map(lambda name: create(user=name).text, names))
    assert results == names


async def test_without_an_asyncio_loop_the_error_of_a_completion_says_what_to_use() -> None:
    with SocketServer(silence) as server:

        def start_without_loop() -> None:
            inference = AsyncInference(server.endpoint, token=None)
            stream = inference.chat.completions.stream(model=MODEL, messages=MESSAGES)
            for pending in (inference.chat.completions.create(model=MODEL, messages=MESSAGES), stream.__aenter__()):
                with pytest.raises(errors.ConfigurationError, match="asyncio event loop; elsewhere, as under trio"):
                    pending.send(None)

        await asyncio.to_thread(start_without_loop)
        assert server.connections == []

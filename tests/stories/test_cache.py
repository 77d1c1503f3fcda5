"""A cache of the API's resources: one poller, many readers, over every transport and both clients."""

import asyncio
import gc
import logging
import os
import pickle
import signal
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import asynccontextmanager
from math import inf
from typing import Any, cast

import pytest

from cwinference import AsyncClient, Change, Client, State, errors
from cwinference.auth import TokenSource
from cwinference.emulator import Emulator
from cwinference.following import AsyncCache, Cache
from tests.support.client_kinds import TOKEN, TRANSPORTS
from tests.support.scripted_server import Failure, ReceivedRequest, ScriptedServer
from tests.support.specs import FRONT, LLAMA
from tests.support.waiting import wait_until

FAST: dict[str, Any] = {"interval": (0.01, 0.02)}


@pytest.fixture
def emulator() -> Generator[Emulator]:
    with Emulator() as running:
        yield running


class AwaitableCache:
    """A cache of either client, whose waits can be awaited."""

    def __init__(self, cache: Any) -> None:
        self.cache = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cache, name)

    async def wait_for(self, predicate: Any, **how: Any) -> Any:
        if isinstance(self.cache, AsyncCache):
            return await self.cache.wait_for(predicate, **how)
        return await asyncio.to_thread(self.cache.wait_for, predicate, **how)

    async def wait_synced(self, **how: Any) -> None:
        if isinstance(self.cache, AsyncCache):
            await self.cache.wait_synced(**how)
        else:
            await asyncio.to_thread(self.cache.wait_synced, **how)


@asynccontextmanager
async def cached(kind: str, endpoint: str, token: TokenSource = TOKEN, **how: Any) -> AsyncGenerator[AwaitableCache]:
    """Open a cache with a client of one of the kinds."""
    transport, _, mode = kind.rpartition("-")
    settings: dict[str, Any] = {**TRANSPORTS[transport], "endpoint": endpoint, "retry": None}
    if "http_version" in how:
        settings["http_version"] = how.pop("http_version")
    if mode == "sync":
        with Client(token, **settings) as client, client.cache(**{**FAST, **how}) as cache:
            yield AwaitableCache(cache)
    else:
        async with AsyncClient(token, **settings) as async_client, async_client.cache(**{**FAST, **how}) as kept:
            yield AwaitableCache(kept)


@pytest.fixture
def client(emulator: Emulator) -> Generator[Client]:
    """Return a client that changes what the cache shows."""
    with Client(emulator.token, endpoint=emulator.endpoint) as opened:
        yield opened


async def test_a_cache_shows_what_there_is_by_id_name_gateway_and_model(
    kind: str, emulator: Emulator, client: Client
) -> None:
    front = client.gateways.ensure("front", **FRONT, wait=True)
    llama = client.deployments.ensure("llama", gateway_ids=[front.spec.id], **LLAMA, wait=True)
    async with cached(kind, emulator.endpoint, emulator.token) as cache:
        await cache.wait_synced(timeout=30)
        assert dict(cache.gateways) == {front.spec.id: front}
        assert (len(cache.deployments), llama.spec.id in cache.deployments) == (1, True)
        assert cache.deployments[llama.spec.id] == cache.deployments.named("llama") == llama
        assert cache.deployments.of_gateway(front.spec.id) == cache.deployments.of_model("org/llama") == [llama]
        assert cache.deployments.of_gateway("x") == cache.deployments.of_model("x") == []
        assert (cache.deployments.named("x"), cache.deployments.get("x"), [*cache.capacity_claims]) == (None, None, [])
        assert (cache.error, cache.age < 60) == (None, True)
        with pytest.raises(KeyError):
            cache.deployments["x"]


async def test_a_cache_follows_changes_and_what_a_reader_holds_stays_as_it_is(
    kind: str, emulator: Emulator, client: Client
) -> None:
    front = client.gateways.ensure("front", **FRONT, wait=True)
    llama = client.deployments.ensure("llama", gateway_ids=[front.spec.id], **LLAMA, wait=True)
    async with cached(kind, emulator.endpoint, emulator.token, relist=0.05) as cache:
        await cache.wait_synced()
        before, mine = cache.deployments, cache.deployments[llama.spec.id]
        mine.spec.name = "changed by its reader"
        model = {"name": "org/other", "bucket": "models", "path": "other"}
        client.deployments.modify(llama.spec.id, model=model, wait=True)
        found = await cache.wait_for(lambda cache: cache.deployments.of_model("org/other"), timeout=60)
        assert [each.spec.name for each in found] == ["llama"]
        assert cache.deployments.of_model("org/llama") == []
        assert before[llama.spec.id] == llama
        assert before.of_model("org/llama") == [llama]
        client.deployments.delete(llama.spec.id)
        await cache.wait_for(lambda cache: not cache.deployments)
        assert cache.deployments.named("llama") is None
        assert cache.deployments.of_gateway(front.spec.id) == []
        assert len(before) == 1


async def test_each_change_is_reported_to_subscribers_once_after_the_view_shows_it(
    kind: str, emulator: Emulator, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []
    async with cached(kind, emulator.endpoint, emulator.token, relist=0.05, kinds=["gateway"]) as cache:
        await cache.wait_synced()

        def fail(change: Change[Any]) -> None:
            raise ValueError("a subscriber that fails")

        unsubscribe = cache.subscribe(lambda change: seen.append((change, cache.gateways.named("front"))))
        cache.subscribe(fail)
        front = client.gateways.create("front", **FRONT, wait=True)
        await cache.wait_for(lambda _: seen and State.of(seen[-1][0].resource) is State.READY)
        unsubscribe()
        unsubscribe()
        client.gateways.delete(front.spec.id)
        await cache.wait_for(lambda cache: not cache.gateways)
    assert (seen[0][0].type, seen[-1][0].resource) == ("added", front)
    assert all(change.resource == shown for change, shown in seen)
    assert len({change.resource.SerializeToString() for change, _ in seen}) == len(seen)
    assert "a subscriber failed" in caplog.text


async def test_waits_time_out_and_say_why(kind: str) -> None:
    with ScriptedServer(kind.partition("-")[0], lambda _: Failure("unavailable", "down")) as server:
        async with cached(kind, server.endpoint, **server.settings) as cache:
            with pytest.raises(errors.WaitTimeout, match=r"not synced after 0.2 s; the last poll failed: .*down"):
                await cache.wait_synced(timeout=0.2)
            with pytest.raises(TimeoutError, match="the predicate was not met after 0.05 s"):
                await cache.wait_for(lambda _: False, timeout=0.05)
            assert isinstance(cache.error, errors.Unavailable)
            assert (cache.age, len(cache.gateways)) == (inf, 0)


async def test_a_cache_survives_every_failure_and_reports_it(kind: str) -> None:
    state = {"code": "permission_denied"}

    def respond(received: ReceivedRequest) -> Any:
        return Failure(state["code"], "no") if state["code"] else received.method.response()

    with ScriptedServer(kind.partition("-")[0], respond) as server:
        async with cached(kind, server.endpoint, **server.settings) as cache:
            for _ in range(2):
                with pytest.raises(errors.PermissionDenied):
                    await cache.wait_synced()
            state["code"] = ""
            await cache.wait_for(lambda cache: cache.error is None)
            await cache.wait_synced()
            assert cache.age < 60
            state["code"] = "unavailable"
            await cache.wait_for(lambda cache: cache.error is not None)


async def test_a_cache_survives_a_source_of_tokens_that_fails_for_a_while(kind: str) -> None:
    state = {"down": False}

    def token() -> str:
        if state["down"]:
            raise errors.ConfigurationError("token command 'cwic': exited with code 1")
        return TOKEN

    def respond(received: ReceivedRequest) -> Any:
        return Failure("unauthenticated", "expired") if state["down"] else received.method.response()

    with ScriptedServer(kind.partition("-")[0], respond) as server:
        async with cached(kind, server.endpoint, token, **server.settings) as cache:
            await cache.wait_synced()
            state["down"] = True
            await cache.wait_for(lambda cache: isinstance(cache.error, errors.ConfigurationError))
            state["down"] = False
            await cache.wait_for(lambda cache: cache.error is None)


async def test_many_readers_cost_one_poller(emulator: Emulator) -> None:
    calls: list[str] = []

    def note(method: str, code: str, attempts: int, seconds: float) -> None:
        calls.append(method)

    with Client(emulator.token, endpoint=emulator.endpoint, on_call=note) as client, client.cache() as cache:
        cache.wait_synced()
        readers = [threading.Thread(target=lambda: [len(cache.gateways) for _ in range(100)]) for _ in range(8)]
        for each in readers:
            each.start()
        for each in readers:
            each.join()
    assert len(calls) <= 6


def test_a_cache_has_to_be_open_and_is_opened_once() -> None:
    with Emulator() as emulator, Client(emulator.token, endpoint=emulator.endpoint) as client:
        cache = client.cache(**FAST, kinds=["gateway"])
        with pytest.raises(errors.ConfigurationError, match="the cache is not open"):
            len(cache.gateways)
        with cache:
            with pytest.raises(errors.ConfigurationError, match="opened before"):
                cache.__enter__()
            with pytest.raises(errors.ConfigurationError, match="this cache has no deployment"):
                len(cache.deployments)
            with pytest.raises(errors.ConfigurationError, match="callback: expected a function"):
                cache.subscribe(cast(Any, None))
            with pytest.raises(errors.ConfigurationError, match="predicate: expected a function, got None"):
                cache.wait_for(cast(Any, None))
            with pytest.raises(errors.ConfigurationError, match="predicate: expected a plain function"):
                cache.wait_for(cast(Any, async_predicate))
            with pytest.raises(TypeError, match="cannot be pickled"):
                pickle.dumps(cache)
            assert repr(cache) == "<Cache of <View of 0 Gateways>>"
        cache.close()
        reads: list[Callable[[], object]] = [
            lambda: cache.gateways, lambda: cache.age, cache.wait_synced, lambda: cache.subscribe(print)
        ]  # fmt: skip
        for read in reads:
            with pytest.raises(errors.ConfigurationError, match="the cache is closed"):
                read()


async def async_predicate(cache: Cache) -> bool:
    return True


@pytest.mark.parametrize("kinds", ["gateway", ["clusters"], []])
def test_wrong_arguments_are_refused_at_once(kinds: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="kinds: "):
        Client("token").cache(kinds=kinds)
    with pytest.raises(errors.ConfigurationError, match="interval: "):
        AsyncClient("token").cache(interval=(5, 1))
    closed = Client("token")
    closed.close()
    with pytest.raises(errors.ConfigurationError, match="the client is closed"):
        closed.cache()


def pollers() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "cwinference cache"]


def none_polls() -> bool:
    gc.collect()
    return not pollers()


@pytest.mark.parametrize("transport", ["grpc", "connect", "rest"])
def test_no_thread_is_left_by_a_cache_that_is_closed_dropped_or_outlives_its_client(transport: Any) -> None:
    with Emulator() as emulator:
        client = Client(emulator.token, endpoint=emulator.endpoint, transport=transport)
        with client.cache(**FAST) as cache:
            cache.wait_synced()
            assert len(pollers()) == 1
        assert pollers() == []

        dropped = client.cache(**FAST).__enter__()
        dropped.wait_synced()
        del dropped
        wait_until(none_polls)

        with client.cache(**FAST) as cache:
            cache.wait_synced()
            client.close()
            with pytest.raises(errors.ConfigurationError, match="the client is closed"):
                cache.wait_for(lambda _: False)
            assert isinstance(cache.error, errors.ConfigurationError)
            assert len(cache.gateways) == 0
        assert pollers() == []


def read_for_ever(cache: Cache) -> None:
    while True:
        assert cache.age > 0


def test_closing_waits_for_the_call_in_progress_but_for_no_other() -> None:
    called, calls, released = threading.Event(), list[str](), threading.Event()

    def respond(received: ReceivedRequest) -> Any:
        calls.append(received.method.name)
        called.set()
        released.wait(60)
        return received.method.response()

    with ScriptedServer("grpc", respond) as server, Client(TOKEN, endpoint=server.endpoint) as client:
        cache = client.cache()
        with cache:
            assert called.wait(60)
            closing = threading.Thread(target=cache.close)
            closing.start()
            with pytest.raises(errors.ConfigurationError, match="the cache is closed"):
                read_for_ever(cache)
            released.set()
            closing.join()
    assert calls == ["ListGateways"]


@pytest.mark.parametrize("transport", ["grpc", "connect", "rest"])
async def test_no_task_is_left_by_a_cache_that_is_closed_dropped_or_canceled(transport: Any) -> None:
    with Emulator() as emulator:
        async with AsyncClient(emulator.token, endpoint=emulator.endpoint, transport=transport) as client:
            mine = asyncio.current_task()
            async with client.cache(**FAST) as cache:
                await cache.wait_synced()
                assert {each.get_name() for each in asyncio.all_tasks() if each is not mine} == {"cwinference cache"}
            assert asyncio.all_tasks() == {mine}

            dropped = await client.cache(**FAST).__aenter__()
            await dropped.wait_synced()
            del dropped
            gc.collect()
            others = asyncio.all_tasks() - {cast(Any, mine)}
            await asyncio.wait(others, timeout=10)
            assert asyncio.all_tasks() == {mine}

            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05), client.cache(**FAST) as cache:
                    await cache.wait_for(lambda _: False, timeout=None)
            assert asyncio.all_tasks() == {mine}


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_a_forked_child_learns_at_once_that_its_cache_is_in_the_parent(emulator: Emulator, mode: str) -> None:
    async with cached(f"grpc-{mode}", emulator.endpoint, emulator.token) as cache:
        await cache.wait_synced()
        assert outcome_in_child(cache) == "4 ConfigurationError: this process was forked while the cache was open"
        await cache.wait_synced()


def outcome_in_child(cache: Any) -> str:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, outcome(cache).encode())
        os._exit(0)
    os.close(write)
    _, status = os.waitpid(child, 0)
    assert status == 0
    with os.fdopen(read) as told:
        return told.read()


def test_a_forked_child_can_close_its_cache_whatever_the_parents_thread_did_at_the_fork(emulator: Emulator) -> None:
    with Client(emulator.token, endpoint=emulator.endpoint) as client, client.cache(**FAST) as cache:
        with cast(Any, cache)._stop._cond:  # as the thread has it for a moment at each pause
            child = os.fork()
            if child == 0:
                signal.alarm(60)
                cache.close()
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0


def outcome(cache: Any) -> str:
    """Return how often a forked child is refused, and what it is told."""
    told = list[str]()
    reads: list[Callable[[], object]] = [
        lambda: cache.gateways, lambda: cache.age, lambda: cache.error, lambda: cache.subscribe(print)
    ]  # fmt: skip
    for read in reads:
        try:
            read()
        except errors.ConfigurationError as error:
            told.append(f"{type(error).__name__}: {str(error).partition(',')[0]}")
    if isinstance(cache.cache, Cache):
        cache.cache.close()
    return f"{len(told)} {', '.join(sorted(set(told)))}"


@pytest.fixture
def _ctrl_c_interrupts() -> Iterator[None]:
    """Install Python's handler of SIGINT, which a process that was started in the background does not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_interrupts")
def test_ctrl_c_ends_a_wait_and_the_block_ends_the_thread(emulator: Emulator) -> None:
    with Client(emulator.token, endpoint=emulator.endpoint) as client:
        with pytest.raises(KeyboardInterrupt):
            wait_until_interrupted(client)
        assert pollers() == []


def wait_until_interrupted(client: Client) -> None:
    with client.cache(**FAST) as cache:
        cache.wait_synced()
        cache.subscribe(lambda change: os.kill(os.getpid(), signal.SIGINT))
        client.gateways.create("front", **FRONT)
        cache.wait_for(lambda _: False)


def test_changes_are_logged_once(emulator: Emulator, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.gateways.ensure("front", **FRONT, wait=True)
    with caplog.at_level(logging.INFO, "cwinference"), client.cache(**FAST, kinds=["gateway"]) as cache:
        cache.wait_synced()
        client.gateways.create("back", **FRONT)
        cache.wait_for(lambda cache: cache.gateways.named("back"))
    lines = [
        each.getMessage() for each in caplog.records if "back" in each.getMessage() or "found" in each.getMessage()
    ]
    assert lines[0] == "gateway: 1 found"
    assert lines[1].startswith("Gateway back: added")

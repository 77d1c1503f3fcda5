"""Several servers in one `Inference`: who gets a request, what happens if one fails or is late, and its numbers."""

import asyncio
import functools
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest

from cwinference import AsyncClient, Client, Clock, Inference, Retry, errors, types
from tests.completions.test_gateways import WANDB, gateway, open_setup
from tests.support.client_kinds import TOKEN
from tests.support.inference_kinds import AnyInference, open_inference
from tests.support.recorded_telemetry import RecordedTelemetry, attempts_of, attributes_of, traceparent
from tests.support.scripted_model_server import (
    DONE,
    HttpRequest,
    RequestHandler,
    ScriptedModelServer,
    ScriptedResponse,
    chunk_event,
    completion,
    endless_silence,
    json_response,
    stream_response,
)
from tests.support.scripted_server import ReceivedRequest, ScriptedServer
from tests.support.waiting import wait_until_async

NOBODY = "http://127.0.0.1:1"


def good(request: HttpRequest) -> ScriptedResponse:
    if (request.body or {}).get("stream"):
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        return stream_response(chunk_event("Paris"), chunk_event("", "stop", usage=usage), DONE)
    return json_response(completion())


def broken(_: HttpRequest) -> ScriptedResponse:
    return json_response({"error": {"message": "broken"}}, 500)


def silent(_: HttpRequest) -> ScriptedResponse:
    return ScriptedResponse(endless_silence())


def chances(*values: float) -> Clock:
    """A clock whose random numbers are these, then 0: with two servers, below 0.5 the first one wins the first tie."""
    left = list(values)
    return Clock(random=lambda: left.pop(0) if left else 0.0)


@asynccontextmanager
async def open_managed(kind: str, respond: Any) -> AsyncGenerator[tuple[Any, ScriptedServer]]:
    """Open a client of the management API, whose responses a function decides."""
    with ScriptedServer("rest", respond) as api:
        if kind.startswith("async"):
            async with AsyncClient(TOKEN, endpoint=api.endpoint, transport="rest") as client:
                yield client, api
        else:
            with Client(TOKEN, endpoint=api.endpoint, transport="rest") as sync_client:
                yield sync_client, api


@asynccontextmanager
async def several(
    kind: str, *handlers: RequestHandler | str, **settings: Any
) -> AsyncGenerator[tuple[AnyInference, list[ScriptedModelServer]]]:
    """Open an `Inference` of several servers, given by what they do, or by their URLs."""
    with ExitStack() as stack:
        made: list[Any] = [
            each if isinstance(each, str) else stack.enter_context(ScriptedModelServer(each, int(kind[-1])))
            for each in handlers
        ]
        urls: Any = [each if isinstance(each, str) else each.url for each in made]
        async with open_inference(kind, urls, **settings) as inference:
            yield inference, [each for each in made if not isinstance(each, str)]


async def test_requests_are_spread_over_all_and_stats_tell_them_apart(kind: str) -> None:
    async with several(kind, good, good) as (inference, servers):
        for _ in range(40):
            await inference.chat()
        await inference.read(inference.stream())
        stats = inference.wrapped.stats()

    counts = [len(server.requests) for server in servers]
    assert min(counts) > 0
    assert (stats.done, stats.failed, stats.in_flight) == (41, 0, 0)
    assert set(stats.endpoints) == {server.url for server in servers}
    assert [stats.endpoints[server.url].done for server in servers] == counts
    for each in stats.endpoints.values():
        assert (each.in_flight, each.failed, each.ejected) == (0, 0, False)
        assert 0 < each.latency.p50 <= each.latency.p90 <= each.latency.p99
        assert each.tokens_per_second > 0
    assert sorted(each.first_token.p50 > 0 for each in stats.endpoints.values()) == [False, True]


async def test_a_single_server_has_the_same_stats(kind: str) -> None:
    async with several(kind, good) as (inference, servers):
        await inference.chat()
        stats = inference.wrapped.stats()
        assert inference.wrapped.base_url() == f"{servers[0].url}/v1"

    assert stats.endpoints[servers[0].url].done == 1


@pytest.mark.parametrize("other", [broken, NOBODY], ids=["500", "no connection"])
async def test_a_dead_one_costs_no_request_and_is_left_alone_after_five_failures(kind: str, other: Any) -> None:
    async with several(kind, other, good, clock=chances()) as (inference, servers):
        attempts = [(await inference.chat()).attempts for _ in range(20)]
        chunks = await inference.read(inference.stream())
        stats = inference.wrapped.stats()

    assert sorted(attempts) == [1] * 15 + [2] * 5
    assert "".join(chunk.text for chunk in chunks) == "Paris"
    assert (stats.done, stats.failed, stats.retried) == (21, 0, 5)
    url = NOBODY if other is NOBODY else servers[0].url
    assert (stats.endpoints[url].failed, stats.endpoints[url].ejected) == (5, True)


@pytest.mark.parametrize("hedge_after", [None, 30.0])
async def test_requests_that_have_queued_do_not_go_to_one_that_was_ejected_meanwhile(
    kind: str, hedge_after: float | None
) -> None:
    async with several(kind, broken, good, limit=1, hedge_after=hedge_after) as (inference, servers):
        await asyncio.gather(*(inference.chat() for _ in range(60)))
        stats = inference.wrapped.stats()

    assert len(servers[0].requests) == 5
    assert (stats.done, stats.retried, stats.endpoints[servers[1].url].done) == (60, 5, 60)


@pytest.mark.parametrize("kind", ["sync-1", "async-1"])
async def test_requests_that_have_queued_are_spread_by_the_load_of_then(kind: str) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(64))
    respond, _ = of_capacity(1000)
    async with several(kind, respond, respond, limit=3) as (inference, servers):
        await asyncio.gather(*(inference.chat() for _ in range(60)))

    assert min(len(server.requests) for server in servers) > 15


async def test_it_gets_a_probe_after_10_seconds_and_is_used_again_if_that_succeeds(kind: str) -> None:
    now = [1000.0]
    works = threading.Event()
    clock = Clock(monotonic=lambda: now[0], random=lambda: 0.0)

    def first(request: HttpRequest) -> ScriptedResponse:
        return good(request) if works.is_set() else broken(request)

    async with several(kind, first, good, clock=clock) as (inference, servers):
        for _ in range(10):
            await inference.chat()
        assert len(servers[0].requests) == 5
        now[0] += 10
        await inference.chat()
        assert len(servers[0].requests) == 6
        now[0] += 19
        await inference.chat()
        assert len(servers[0].requests) == 6
        now[0] += 1
        works.set()
        await inference.chat()
        stats = inference.wrapped.stats()

    assert len(servers[0].requests) == 7
    assert not stats.endpoints[servers[0].url].ejected


async def test_without_retries_a_failure_is_final(kind: str) -> None:
    async with several(kind, broken, good, clock=chances(), retry=None) as (inference, servers):
        with pytest.raises(errors.Internal):
            await inference.chat()

    assert [len(server.requests) for server in servers] == [1, 0]


async def test_if_all_fail_the_error_is_raised_after_the_usual_pauses(kind: str) -> None:
    retry = Retry(max_attempts=4, initial_backoff=0)
    async with several(kind, broken, broken, retry=retry) as (inference, servers):
        with pytest.raises(errors.Internal) as caught:
            await inference.chat()

    assert caught.value.attempts == 4
    assert sum(len(server.requests) for server in servers) == 4


async def test_what_one_asks_for_in_retry_after_keeps_nobody_from_the_other(kind: str) -> None:
    fails = [True]

    def busy(_: HttpRequest) -> ScriptedResponse:
        return json_response({"error": {"message": "busy"}}, 429, retry_after="40")

    def fails_once(request: HttpRequest) -> ScriptedResponse:
        return broken(request) if fails and fails.pop() else good(request)

    async with several(kind, fails_once, busy, clock=chances()) as (inference, servers):
        assert (await inference.chat(retry=Retry(initial_backoff=0))).attempts == 3

    assert [len(server.requests) for server in servers] == [2, 1]


async def test_if_both_ask_for_a_pause_it_is_kept(kind: str) -> None:
    def busy(_: HttpRequest) -> ScriptedResponse:
        return json_response({"error": {"message": "busy"}}, 429, retry_after="40")

    async with several(kind, busy, busy) as (inference, servers):
        with pytest.raises(errors.ResourceExhausted) as caught:
            await inference.chat()

    assert (caught.value.attempts, caught.value.retry_after) == (2, 40)
    assert [len(server.requests) for server in servers] == [1, 1]


async def test_an_error_of_the_request_is_not_tried_elsewhere(kind: str) -> None:
    def unknown(_: HttpRequest) -> ScriptedResponse:
        return json_response({"error": {"message": "no such model"}}, 404)

    async with several(kind, unknown, good, clock=chances()) as (inference, servers):
        with pytest.raises(errors.NotFound):
            await inference.chat()

    assert len(servers[1].requests) == 0


async def test_a_batch_uses_all_of_them(kind: str, tmp_path: Any) -> None:
    requests = [{"messages": [{"role": "user", "content": str(number)}], "model": "m"} for number in range(60)]
    out = tmp_path / "out.jsonl"
    async with several(kind, good, good) as (inference, servers):
        result = await inference.run(lambda each: each.batch(requests, out=out, concurrency=8, progress=False))

    assert result.completed == 60
    assert min(len(server.requests) for server in servers) > 5


# --- Hedging


async def test_a_late_response_is_asked_for_elsewhere_and_the_loser_hears_of_it_at_once(kind: str) -> None:
    async with several(kind, silent, good, clock=chances(), hedge_after=0.05) as (inference, servers):
        response = await inference.chat()
        assert (response.text, response.attempts) == ("Paris", 2)
        assert servers[0].was_left()
        await wait_until_async(lambda: inference.wrapped.stats().in_flight == 0)
        stats = inference.wrapped.stats()

    assert (stats.done, stats.failed, stats.cancelled, stats.retried) == (1, 0, 0, 0)
    assert stats.endpoints[servers[0].url].failed == 0


async def test_a_stream_is_hedged_until_it_begins(kind: str) -> None:
    blocked = threading.Event()

    def late(request: HttpRequest) -> ScriptedResponse:
        blocked.wait(20)
        return good(request)

    async with several(kind, late, good, clock=chances(), hedge_after=0.05) as (inference, servers):
        stream = inference.stream()
        chunks = await inference.read(stream)
        blocked.set()
        stats = inference.wrapped.stats()

    assert "".join(chunk.text for chunk in chunks) == "Paris"
    assert stream.attempts == 2
    assert (stats.done, stats.endpoints[servers[1].url].done) == (1, 1)


async def test_both_attempts_of_a_race_are_reported(kind: str) -> None:
    recorded, reported = RecordedTelemetry(), list[tuple[str, int]]()
    settings: Any = {"telemetry": recorded.telemetry, "hedge_after": 0.05}
    async with several(
        kind,
        silent,
        good,
        clock=chances(),
        on_call=lambda _, code, attempts, __: reported.append((code, attempts)),
        **settings,
    ) as (inference, servers):
        await inference.chat()

    assert attempts_of(recorded.span) == ["CANCELLED", "OK"]
    assert attributes_of(recorded.span)["cwinference.attempts"] == 2
    assert attributes_of(recorded.span)["server.port"] == int(servers[1].url.rpartition(":")[2])
    assert reported == [("ok", 2)]
    assert {server.requests[0].headers["traceparent"] for server in servers} == {traceparent(recorded.span)}


async def test_a_response_in_time_is_not_hedged(kind: str) -> None:
    async with several(kind, good, good, hedge_after=30) as (inference, servers):
        for _ in range(5):
            assert (await inference.chat()).attempts == 1
        chunks = await inference.read(inference.stream())

    assert "".join(chunk.text for chunk in chunks) == "Paris"
    assert sum(len(server.requests) for server in servers) == 6


async def test_hedging_can_be_asked_for_or_ruled_out_per_call(kind: str) -> None:
    async with several(kind, silent, good, clock=chances(0.0, 0.0, 0.0)) as (inference, servers):
        assert (await inference.chat(hedge_after=0.05)).attempts == 2
    async with several(kind, silent, good, clock=chances(), hedge_after=0.05) as (inference, servers):
        with pytest.raises(errors.DeadlineExceeded):
            await inference.chat(hedge_after=None, timeout=0.3)
        with pytest.raises(errors.DeadlineExceeded):  # the model must run at most once
            await inference.chat(retry=None, timeout=0.3)
        assert len(servers[1].requests) == 0


async def test_only_one_in_20_is_hedged_after_the_first(kind: str) -> None:
    async with several(kind, silent, good, clock=chances(), hedge_after=0.02) as (inference, servers):
        await inference.chat()
        with pytest.raises(errors.DeadlineExceeded):
            await inference.chat(timeout=0.3)

    assert len(servers[1].requests) == 1


async def test_if_the_first_fails_during_the_race_the_second_one_counts(kind: str) -> None:
    asked = threading.Event()

    def fails(request: HttpRequest) -> ScriptedResponse:
        asked.wait(20)
        return broken(request)

    def second(request: HttpRequest) -> ScriptedResponse:
        asked.set()
        return good(request)

    async with several(kind, fails, second, clock=chances(), hedge_after=0.05) as (inference, _):
        assert (await inference.chat()).text == "Paris"
        stats = inference.wrapped.stats()

    assert (stats.done, stats.failed) == (1, 0)


@pytest.mark.parametrize("kind", ["async-1", "async-2"])
async def test_a_canceled_call_cancels_both(kind: str) -> None:
    async with several(kind, silent, silent, clock=chances(), hedge_after=0.02) as (inference, servers):
        task = asyncio.ensure_future(inference.chat())
        await wait_until_async(lambda: all(server.requests for server in servers))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert all(server.was_left() for server in servers)
        stats = inference.wrapped.stats()

    assert (stats.in_flight, stats.cancelled) == (0, 1)


@pytest.mark.parametrize("kind", ["sync-1"])
async def test_a_hedged_call_that_is_in_flight_at_the_close_still_ends(kind: str) -> None:
    async with several(kind, silent, silent, clock=chances(), hedge_after=0.02) as (inference, servers):
        call = asyncio.ensure_future(inference.chat(timeout=0.5))
        await wait_until_async(lambda: all(server.requests for server in servers))
        await inference.close()
        with pytest.raises(errors.DeadlineExceeded):
            await asyncio.wait_for(call, 10)
    await wait_until_async(lambda: not hedging_threads())


@pytest.mark.parametrize("kind", ["sync-1", "async-1"])
async def test_hedged_calls_end_with_their_inference_and_with_its_client(kind: str) -> None:
    with ScriptedModelServer(good) as one, ScriptedModelServer(good) as two:
        gateways = [gateway(one), gateway(two)]
        gateways[1].spec.id = "g-2"
        async with open_managed(kind, good) as (client, _):
            closed = AnyInference(client.inference(gateways, hedge_after=10))
            left_open = AnyInference(client.inference(gateways, hedge_after=10))
            for inference in (closed, left_open):
                await inference.chat()
            await closed.close()
            with pytest.raises(errors.ConfigurationError, match="closed"):
                await closed.chat()
            await left_open.chat()
        assert not hedging_threads()
        with pytest.raises(errors.ConfigurationError, match="closed"):
            await left_open.chat()


def hedging_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "cwinference hedges"]


# --- Gateways, and what needs a choice


async def test_each_gateway_gets_the_credential_of_its_own_auth(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", WANDB)
    with ScriptedModelServer(good) as other:
        async with open_setup(kind.partition("-")[0]) as setup:
            second = gateway(other, weights_and_biases_auth=types.WeightsAndBiasesAuth(), core_weave_auth=None)
            second.spec.id = "g-2"
            inference = setup.inference([setup.gateway, second])
            for _ in range(30):
                await inference.chat()
            assert set(inference.wrapped.stats().endpoints) == {setup.server.url, other.url}
        assert {each.headers["authorization"] for each in setup.server.requests} == {f"Bearer {TOKEN}"}
        assert {each.headers["authorization"] for each in other.requests} == {f"Bearer {WANDB}"}


async def test_a_gateway_that_is_not_ready_is_left_out_and_if_none_is_that_is_the_error(kind: str) -> None:
    with ScriptedModelServer(good) as server:
        gateways = {"g-1": gateway(server), "g-2": gateway("", types.Status.STATUS_CREATING)}

        def respond(received: ReceivedRequest) -> types.GetGatewayResponse:
            return types.GetGatewayResponse(gateway=gateways[received.request.id])

        async with open_managed(kind, respond) as (client, api):
            inference = AnyInference(client.inference(["g-2", "g-1"]))
            for _ in range(3):
                assert (await inference.chat()).text == "Paris"
            assert [each.method.name for each in api.received] == ["GetGateway"] * 2
            assert inference.wrapped.stats().done == 3
            gateways["g-1"] = gateways["g-2"]
            with pytest.raises(errors.ConfigurationError, match="does not serve yet"):
                await AnyInference(client.inference(["g-2", "g-1"])).chat()


async def test_what_a_batch_that_finds_its_concurrency_has_read_of_gateways_is_known_afterwards(
    kind: str, tmp_path: Any
) -> None:
    requests = [{"messages": [{"role": "user", "content": str(number)}], "model": "m"} for number in range(20)]
    with ScriptedModelServer(good) as one, ScriptedModelServer(good) as two:
        gateways = {"g-1": gateway(one), "g-2": gateway(two)}

        def respond(received: ReceivedRequest) -> types.GetGatewayResponse:
            return types.GetGatewayResponse(gateway=gateways[received.request.id])

        async with open_managed(kind, respond) as (client, _):
            for number, ids in enumerate((["g-1"], ["g-1", "g-2"])):
                inference = AnyInference(client.inference(ids))
                options: Any = {"out": tmp_path / f"{number}.jsonl", "concurrency": "auto", "progress": False}
                await inference.run(functools.partial(type(inference.wrapped).batch, requests=requests, **options))
                endpoints = inference.wrapped.stats().endpoints
                assert set(endpoints) == {one.url, two.url} if number else {one.url}
                assert sum(each.done for each in endpoints.values()) == 20


@pytest.mark.parametrize("kind", ["sync-1"])
async def test_what_needs_one_server_asks_which(kind: str) -> None:
    async with several(kind, good, good) as (inference, servers):
        one, two = (server.url for server in servers)
        with pytest.raises(errors.ConfigurationError, match=f"choose one of several; there are: {one}, {two}"):
            inference.wrapped.base_url()
        with pytest.raises(errors.ConfigurationError, match="choose one of several"):
            inference.wrapped.openai()
        with pytest.raises(errors.ConfigurationError, match="is not one of this Inference"):
            inference.wrapped.base_url(endpoint=NOBODY)
        assert inference.wrapped.base_url(endpoint=two) == f"{two}/v1"


@pytest.mark.parametrize(
    ("urls", "text"),
    [
        ([], "base_url must not be empty"),
        ([NOBODY, NOBODY], "is in the list twice"),
        ([NOBODY, f"{NOBODY}/v1"], "is in the list twice"),
        ([NOBODY, 5], "base_url: expected a URL"),
        ([NOBODY, "http://example.com"], "plaintext"),
    ],
)
def test_wrong_lists_are_refused(urls: Any, text: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=text):
        Inference(urls, token=TOKEN)


@pytest.mark.parametrize("after", [-1, "soon", 0])
def test_a_wrong_hedge_after_is_refused(after: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="hedge_after: .*None for no hedging"):
        Inference([NOBODY], hedge_after=after)


# --- Limits that find themselves


def of_capacity(most: int, **headers: str) -> tuple[RequestHandler, Callable[[], Iterator[int]]]:
    """A server that refuses what is more than so many at once."""
    lock, now, seen = threading.Lock(), [0], list[int]()

    def respond(_: HttpRequest) -> ScriptedResponse:
        with lock:
            now[0] += 1
            seen.append(now[0])
            refused = now[0] > most
        try:
            if refused:
                return json_response({"error": {"message": "busy"}}, 429, **headers)
            threading.Event().wait(0.02)  # really, for the limit learns from how long responses take
            return json_response(completion())
        finally:
            with lock:
                now[0] -= 1

    return respond, lambda: iter(seen)


@pytest.mark.parametrize("kind", ["sync-1", "async-1"])
async def test_an_automatic_limit_grows_while_all_is_well_and_stops_at_what_the_server_takes(kind: str) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(64))
    respond, seen = of_capacity(24)
    async with several(kind, respond, limit="auto") as (inference, _):
        await asyncio.gather(*(inference.chat() for _ in range(600)))
        stats = inference.wrapped.stats()

    assert stats.done == 600
    assert stats.retried < 40
    assert max(seen()) > 20


@pytest.mark.parametrize("kind", ["sync-1", "async-1"])
async def test_the_pause_that_a_server_asks_for_is_kept_by_all(kind: str) -> None:
    slept: list[float] = []
    now = [1000.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    async def sleep_async(seconds: float) -> None:
        sleep(seconds)

    first = [True]

    def respond(request: HttpRequest) -> ScriptedResponse:
        if first.pop() if first else False:
            return json_response({"error": {"message": "busy"}}, 429, retry_after="7")
        return good(request)

    clock = Clock(monotonic=lambda: now[0], sleep=sleep, sleep_async=sleep_async, random=lambda: 0.0)
    async with several(kind, respond, limit="auto", clock=clock, retry=None) as (inference, _):
        with pytest.raises(errors.ResourceExhausted):
            await inference.chat()
        assert slept == []
        await inference.chat()
        assert slept == [7.0]
        await inference.chat()
        assert slept == [7.0]


@pytest.mark.parametrize("kind", ["sync-1", "async-1"])
async def test_a_batch_finds_its_concurrency_within_the_limit(kind: str, tmp_path: Any) -> None:
    respond, seen = of_capacity(1000)
    requests = [{"messages": [{"role": "user", "content": str(number)}], "model": "m"} for number in range(500)]
    for limit, least, most in ((1000, 18, 1000), (4, 4, 4)):
        already = len(list(seen()))
        async with several(kind, respond, limit=limit) as (inference, _):
            options: Any = {"out": tmp_path / f"{limit}.jsonl", "concurrency": "auto", "progress": False}
            batch = functools.partial(type(inference.wrapped).batch, requests=requests, **options)
            result = await inference.run(batch)
        assert result.completed == 500
        assert least <= max(list(seen())[already:]) <= most


@pytest.mark.parametrize("limit", ["all", 0, -3, None])
def test_a_wrong_limit_is_refused(limit: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="limit: expected a"):
        Inference(NOBODY, limit=limit)

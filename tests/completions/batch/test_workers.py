"""The workers and the memory of a batch: as many as there is work, within the limits, and little of it."""

import asyncio
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cwinference.inference import Inference
from cwinference.inference.batch.key_set import KeySet
from tests.support.batch_files import UNREACHABLE, batch_request, echo, read_lines
from tests.support.batch_runs import run_batch, run_command, write_requests
from tests.support.in_flight import InFlight
from tests.support.scripted_model_server import (
    HttpRequest,
    ScriptedModelServer,
    ScriptedResponse,
    completion,
    json_response,
)


async def test_concurrency_and_limit_bound_the_requests_in_flight(kind: str, tmp_path: Path) -> None:
    in_flight = InFlight(5)

    def respond(request: HttpRequest) -> ScriptedResponse:
        in_flight.wait_for_others()
        return echo(request)

    with ScriptedModelServer(respond) as server:
        await run_batch(kind, server.url, map(batch_request, range(50)), tmp_path / "a.jsonl", concurrency=5)
        assert in_flight.most == 5
        in_flight = InFlight(7)
        await run_batch(kind, server.url, map(batch_request, range(49)), tmp_path / "b.jsonl", concurrency=50, limit=7)
    assert in_flight.most == 7


def test_keys_take_little_memory() -> None:
    keys = KeySet()
    tracemalloc.start()
    assert all(keys.add(f"request-{number}") for number in range(30_000))
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert size < 16 * 65536 + 100_000
    assert len(keys) == 30_000
    assert not keys.add("request-7777")
    assert "request-5" in keys
    assert "request-30000" not in keys


async def test_memory_stays_flat_over_many_requests(kind: str, tmp_path: Path) -> None:
    def many() -> Iterator[Any]:
        for number in range(2000):
            yield batch_request(number, metadata="m" * 2000)

    def respond(_: HttpRequest) -> ScriptedResponse:
        server.requests.clear()
        return json_response(completion("x" * 2000))

    with ScriptedModelServer(respond) as server:
        tracemalloc.start()
        await run_batch(kind, server.url, many(), tmp_path / "out.jsonl", concurrency=8)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert len(read_lines(tmp_path / "out.jsonl")) == 2000
    assert peak < 4 << 20


@pytest.mark.parametrize("count", [1, 3])
async def test_there_are_no_more_workers_than_requests(tmp_path: Path, count: int) -> None:
    most = 0

    def respond(request: HttpRequest) -> ScriptedResponse:
        nonlocal most
        most = max(most, sum(each.name == "cwinference batch" for each in threading.enumerate()))
        return echo(request)

    with ScriptedModelServer(respond) as server:
        for kind in ("sync", "async"):
            out = tmp_path / f"{kind}.jsonl"
            requests = map(batch_request, range(count))
            result = await run_batch(kind, server.url, requests, out, concurrency=1_000_000, limit=1_000_000)
            assert result.completed == count
    assert 1 <= most <= count


async def test_an_async_batch_makes_a_task_for_each_request_at_most(tmp_path: Path) -> None:
    before, most = len(asyncio.all_tasks()), 0

    def requests() -> Iterator[Any]:
        nonlocal most
        for number in range(4):
            yield batch_request(number)
            with suppress(RuntimeError):  # the set changed while it was copied
                most = max(most, len(asyncio.all_tasks(loop)))

    loop = asyncio.get_running_loop()
    with ScriptedModelServer(echo) as server:
        options = {"concurrency": 1_000_000, "limit": 1_000_000}
        assert (await run_batch("async", server.url, requests(), tmp_path / "out.jsonl", **options)).completed == 4
    assert most <= before + 4


async def test_a_concurrency_beyond_the_limit_is_bounded_by_it(kind: str, tmp_path: Path) -> None:
    in_flight = InFlight(20)

    def respond(request: HttpRequest) -> ScriptedResponse:
        in_flight.wait_for_others()
        return echo(request)

    with ScriptedModelServer(respond) as server:
        options = {"concurrency": 1_000_000, "limit": 20}
        result = await run_batch(kind, server.url, map(batch_request, range(1000)), tmp_path / "o.jsonl", **options)
    assert (result.completed, in_flight.most) == (1000, 20)


def test_the_command_bounds_the_concurrency_by_its_open_files(tmp_path: Path) -> None:
    requests = write_requests(tmp_path / "in.jsonl", map(batch_request, range(500)))
    limit = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))"
    with ScriptedModelServer(echo) as server:
        arguments = ("batch", requests, tmp_path / "out.jsonl", "--base-url", server.url, "--concurrency", 1_000_000)
        code, output, error = run_command(*arguments, before=limit)
        assert server.connections <= 100
    assert (code, output, error) == (0, "500 completed, 0 failed, 0 skipped\n", "")


def test_a_system_without_more_threads_makes_do_with_fewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = threading.Thread.start, 0

    def start_few(thread: threading.Thread) -> None:
        nonlocal started
        started += thread.name == "cwinference batch"
        if thread.name == "cwinference batch" and started > 2:
            raise RuntimeError("can't start new thread")
        start(thread)

    with ScriptedModelServer(echo) as server, Inference(server.url, token="t") as inference:
        monkeypatch.setattr(threading.Thread, "start", start_few)
        result = inference.batch(map(batch_request, range(200)), out=tmp_path / "out.jsonl", progress=False)
        monkeypatch.undo()
    assert result.completed == 200


@pytest.mark.parametrize("name", ["cwinference batch reader", "cwinference batch writer"])
async def test_a_system_without_any_thread_is_an_error(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    start = threading.Thread.start

    def start_others(thread: threading.Thread) -> None:
        if thread.name == name:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_others)
    with pytest.raises(RuntimeError, match="new thread"):
        await run_batch(kind, UNREACHABLE, [batch_request(0)], tmp_path / "out.jsonl")

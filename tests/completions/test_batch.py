"""Batches: every completion is in the file once, whatever happened; failures are reported and retried."""

import asyncio
import json
import os
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cwinference import errors
from cwinference.inference import AsyncInference, BatchResult, Inference
from cwinference.inference.batch.key_set import KeySet
from tests.support.batch_files import UNREACHABLE, batch_request, echo, echoed_texts, read_lines, read_texts, wait_until
from tests.support.inference_kinds import MESSAGES
from tests.support.scripted_model_server import (
    MODEL,
    HttpRequest,
    ScriptedModelServer,
    ScriptedResponse,
    completion,
    json_response,
)


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def run(kind: str, url: str, requests: Any, out: Any, *, limit: int = 1000, **options: Any) -> BatchResult:
    if kind == "async":
        async with AsyncInference(url, token="t", retry=None, limit=limit) as inference:
            return await inference.batch(requests, out=out, **options)

    def run_sync() -> BatchResult:
        with Inference(url, token="t", retry=None, limit=limit) as inference:
            return inference.batch(requests, out=out, **options)

    return await asyncio.to_thread(run_sync)


async def wait_until_async(condition: Callable[[], bool]) -> None:
    """Wait for another thread or task."""
    await asyncio.to_thread(wait_until, condition)


async def test_a_request_file_produces_a_completion_file(kind: str, tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n\n".join(json.dumps(batch_request(number)) for number in range(50)))
    with ScriptedModelServer(echo) as server:
        result = await run(kind, server.url, source, out, concurrency=8)
        assert len(server.requests) == 50
    assert result == BatchResult(completed=50, failed=0, skipped=0)
    assert read_texts(out) == echoed_texts(*range(50))
    assert read_lines(out)[0]["response"]["status_code"] == 200
    assert read_lines(out)[0]["error"] is None
    assert not (tmp_path / "out.errors.jsonl").exists()


async def test_bare_bodies_from_an_iterable_are_identified_by_their_positions(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    requests: list[Any] = [
        batch_request(1)["body"],
        {"model": MODEL, "prompt": "p"},
        {"custom_id": "x", **batch_request(2)["body"]},
    ]

    def respond(request: HttpRequest) -> ScriptedResponse:
        return echo(request) if "messages" in request.body else json_response({"choices": [{"text": "done"}]})

    with ScriptedModelServer(respond) as server:
        await run(kind, server.url, iter(requests), out)
        assert {each.path for each in server.requests} == {"/v1/completions", "/v1/chat/completions"}
        assert all("custom_id" not in each.body for each in server.requests)
    assert {each["custom_id"] for each in read_lines(out)} == {"1", "2", "x"}


async def test_a_second_run_sends_only_the_missing_requests(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with ScriptedModelServer(echo) as server:
        await run(kind, server.url, map(batch_request, range(10)), out)
        result = await run(kind, server.url, map(batch_request, range(15)), out)
        assert len(server.requests) == 15
    assert result == BatchResult(completed=5, failed=0, skipped=10)
    assert read_texts(out) == echoed_texts(*range(15))


async def test_a_completion_is_always_written_as_one_line(kind: str, tmp_path: Path) -> None:
    odd = "a\u2028b\x85c\n é 🗼"
    spaced = json.dumps(completion(odd), ensure_ascii=False, indent=2).encode()
    out = tmp_path / "out.jsonl"
    with ScriptedModelServer(lambda _: ScriptedResponse([spaced], length=len(spaced))) as server:
        await run(kind, server.url, map(batch_request, range(2)), out)
    assert read_texts(out) == {"id-0": odd, "id-1": odd}


async def test_failures_go_to_a_second_file_and_are_retried(kind: str, tmp_path: Path) -> None:
    out, failures_file = tmp_path / "out.jsonl", tmp_path / "out.errors.jsonl"
    down = threading.Event()
    down.set()

    def respond(request: HttpRequest) -> ScriptedResponse:
        odd = request.body["messages"][0]["content"] == "text 3"
        return json_response({"error": {"message": "no"}}, 400) if odd and down.is_set() else echo(request)

    with ScriptedModelServer(respond) as server:
        result = await run(kind, server.url, map(batch_request, range(5)), out)
        assert result == BatchResult(completed=4, failed=1, skipped=0)
        (failure,) = read_lines(failures_file)
        down.clear()
        assert (await run(kind, server.url, map(batch_request, range(5)), out)).completed == 1
    assert (failure["custom_id"], failure["line"], failure["response"]["status_code"]) == ("id-3", 4, 400)
    assert failure["error"]["code"] == "invalid_argument"
    assert read_texts(out) == echoed_texts(*range(5))
    assert not failures_file.exists()


INVALID: list[tuple[Any, str]] = [
    (b"{", "not JSON"),
    (b"[1]", "expected an object"),
    ({"custom_id": 7, **batch_request(0)["body"]}, "custom_id"),
    ({"custom_id": "x", "url": "/v1/embeddings", "body": {}}, "url"),
    ({"custom_id": "x", "body": 3}, "body"),
    ({"model": MODEL}, "prompt"),
    ({"messages": MESSAGES}, "model"),
    ({"model": MODEL, "messages": []}, "messages"),
    ({"model": MODEL, "messages": MESSAGES, "stream": True}, "stream"),
    (batch_request(1), "duplicate custom_id 'id-1'"),
]


@pytest.mark.parametrize(("invalid", "message"), INVALID)
async def test_an_invalid_request_fails_alone(kind: str, tmp_path: Path, invalid: Any, message: str) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    line = invalid if isinstance(invalid, bytes) else json.dumps(invalid).encode()
    source.write_bytes(b"\n".join([json.dumps(batch_request(1)).encode(), line, json.dumps(batch_request(2)).encode()]))
    with ScriptedModelServer(echo) as server:
        result = await run(kind, server.url, source, out)
    assert result == BatchResult(completed=2, failed=1, skipped=0)
    (failure,) = read_lines(tmp_path / "out.errors.jsonl")
    custom_id = invalid.get("custom_id") if isinstance(invalid, dict) else None
    assert (failure["line"], failure["custom_id"]) == (2, custom_id if isinstance(custom_id, str) else "2")
    assert message in failure["error"]["message"]
    assert read_texts(out) == echoed_texts(1, 2)


@pytest.mark.parametrize("status", [401, 403])
async def test_an_error_that_every_request_would_get_stops_the_batch(kind: str, tmp_path: Path, status: int) -> None:
    with ScriptedModelServer(lambda _: json_response({"error": {"message": "no"}}, status)) as server:
        for ordered in (False, True):
            with pytest.raises(errors.ApiError):
                await run(kind, server.url, map(batch_request, range(1000)), tmp_path / "out.jsonl", ordered=ordered)
        assert len(server.requests) < 300


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_batch_gives_up_after_many_failures_in_a_row(kind: str, tmp_path: Path, ordered: bool) -> None:
    out, down = tmp_path / "out.jsonl", [True]

    def respond(request: HttpRequest) -> ScriptedResponse:
        return json_response({"error": {"message": "no room"}}, 500) if down else echo(request)

    with ScriptedModelServer(respond) as server:
        result = await run(kind, server.url, map(batch_request, range(1000)), out, concurrency=8, ordered=ordered)
        assert result.gave_up
        assert 100 <= result.failed < 120
        assert result.failures == tmp_path / "out.errors.jsonl"
        assert len(read_lines(tmp_path / "out.errors.jsonl")) == len(server.requests) == result.failed
        assert (result.first_failure or "").startswith("line ")
        assert "no room" in (result.first_failure or "")
        down.clear()
        assert await run(kind, server.url, map(batch_request, range(1000)), out) == BatchResult(1000, 0, 0)
    assert read_texts(out) == echoed_texts(*range(1000))


async def test_a_batch_continues_as_long_as_some_requests_succeed(kind: str, tmp_path: Path) -> None:
    def respond(request: HttpRequest) -> ScriptedResponse:
        return echo(request) if len(server.requests) % 50 == 0 else json_response({}, 500)

    with ScriptedModelServer(respond) as server:
        result = await run(kind, server.url, map(batch_request, range(500)), tmp_path / "out.jsonl", concurrency=8)
    assert (result.gave_up, result.completed + result.failed) == (False, 500)


async def test_keep_going_sends_every_request(kind: str, tmp_path: Path) -> None:
    with ScriptedModelServer(lambda _: json_response({}, 500)) as server:
        result = await run(kind, server.url, map(batch_request, range(300)), tmp_path / "out.jsonl", keep_going=True)
    assert (result.gave_up, result.failed) == (False, 300)


@pytest.mark.parametrize("failing", [False, True])
async def test_ordered_keeps_the_order_of_the_requests(kind: str, tmp_path: Path, failing: bool) -> None:
    def respond(request: HttpRequest) -> ScriptedResponse:
        number = int(request.body["messages"][0]["content"].removeprefix("text "))
        if number % 7 == 0:
            threading.Event().wait(0.02)
        return json_response({}, 500) if failing and number % 5 == 0 else echo(request)

    out = tmp_path / "out.jsonl"
    with ScriptedModelServer(respond) as server:
        await run(kind, server.url, map(batch_request, range(80)), out, ordered=True, concurrency=16)
    kept = [number for number in range(80) if not (failing and number % 5 == 0)]
    assert [each["custom_id"] for each in read_lines(out)] == [f"id-{number}" for number in kept]


async def test_concurrency_and_limit_bound_the_requests_in_flight(kind: str, tmp_path: Path) -> None:
    in_flight, most, lock = 0, 0, threading.Lock()

    def respond(request: HttpRequest) -> ScriptedResponse:
        nonlocal in_flight, most
        with lock:
            in_flight += 1
            most = max(most, in_flight)
        threading.Event().wait(0.01)
        with lock:
            in_flight -= 1
        return echo(request)

    with ScriptedModelServer(respond) as server:
        await run(kind, server.url, map(batch_request, range(60)), tmp_path / "a.jsonl", concurrency=5)
        assert most == 5
        await run(kind, server.url, map(batch_request, range(60)), tmp_path / "b.jsonl", concurrency=50, limit=7)
    assert most == 7


@pytest.mark.parametrize("cut", [1, 5, 20, 60])
async def test_a_line_cut_off_by_a_killed_run_is_requested_again(kind: str, tmp_path: Path, cut: int) -> None:
    out = tmp_path / "out.jsonl"
    with ScriptedModelServer(echo) as server:
        await run(kind, server.url, map(batch_request, range(4)), out, ordered=True)
        out.write_bytes(out.read_bytes()[:-cut])
        result = await run(kind, server.url, map(batch_request, range(4)), out)
    assert result.skipped == (4 if cut == 1 else 3)  # without its newline, a line is whole nevertheless
    assert read_texts(out) == echoed_texts(*range(4))


@pytest.mark.parametrize("content", ["some notes", "notes\n", '{"id": 1}\n', '{"custom_id": 1}\n', "\n"])
async def test_a_file_without_completions_is_left_unchanged(kind: str, tmp_path: Path, content: str) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text(content)
    with pytest.raises(errors.ConfigurationError, match="line 1"):
        await run(kind, UNREACHABLE, map(batch_request, range(4)), out)
    assert out.read_text() == content


async def test_unusable_files_are_rejected(kind: str, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps(batch_request(1)))
    for requests, out, message in [
        (tmp_path / "missing.jsonl", tmp_path / "out.jsonl", "requests"),
        (batch_request(1), tmp_path / "out.jsonl", "requests: .* put a single one into a list"),
        (None, tmp_path / "out.jsonl", "^requests: expected a file or an iterable of requests, got NoneType"),
        (source, None, "^out: expected the path of a file, got None"),
        (source, "", "^out: expected the path of a file, got ''"),
        (source, source, "out"),
        (source, tmp_path, "out"),
        (source, Path(os.devnull), "is not a regular file"),
        (source, tmp_path / "no" / "out.jsonl", "out"),
    ]:
        with pytest.raises(errors.ConfigurationError, match=message):
            await run(kind, UNREACHABLE, requests, out)
    with pytest.raises(errors.ConfigurationError, match="concurrency"):
        await run(kind, UNREACHABLE, source, tmp_path / "out.jsonl", concurrency=0)


async def test_two_batches_cannot_write_to_the_same_file(kind: str, tmp_path: Path) -> None:
    out, go = tmp_path / "out.jsonl", threading.Event()

    def respond(request: HttpRequest) -> ScriptedResponse:
        go.wait(10)
        return echo(request)

    with ScriptedModelServer(respond) as server:
        first = asyncio.create_task(run(kind, server.url, map(batch_request, range(2)), out))
        await wait_until_async(lambda: bool(server.requests))
        with pytest.raises(errors.ConfigurationError, match="another batch"):
            await run(kind, server.url, map(batch_request, range(2)), out)
        go.set()
        assert (await first).completed == 2


async def test_a_canceled_batch_keeps_its_completions(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"

    def respond(request: HttpRequest) -> ScriptedResponse:
        if request.body["messages"][0]["content"] != "text 0":
            threading.Event().wait(0.3)
        return echo(request)

    with ScriptedModelServer(respond) as server:
        task = asyncio.create_task(run("async", server.url, map(batch_request, range(8)), out, concurrency=4))
        await wait_until_async(lambda: out.exists() and bool(out.read_bytes()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await run("async", server.url, map(batch_request, range(8)), out)
    assert read_texts(out) == echoed_texts(*range(8))


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
        await run(kind, server.url, many(), tmp_path / "out.jsonl", concurrency=8)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert len(read_lines(tmp_path / "out.jsonl")) == 2000
    assert peak < 4 << 20


async def test_progress_is_shown_on_request(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    with ScriptedModelServer(echo) as server:
        await run(kind, server.url, map(batch_request, range(3)), tmp_path / "out.jsonl", progress=True)
    assert "3 requests" in capfd.readouterr().err


async def test_without_tqdm_a_message_says_why_there_is_no_progress_bar(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with ScriptedModelServer(echo) as server:
        await run(kind, server.url, map(batch_request, range(3)), tmp_path / "out.jsonl", progress=True)
    assert "tqdm is not installed" in capfd.readouterr().err

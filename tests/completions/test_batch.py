"""Batches: every answer stands once in the file, whatever happened; failures are told and tried again."""

import asyncio
import json
import os
import sys
import threading
import tracemalloc
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cwinference import errors
from cwinference.inference import AsyncInference, BatchResult, Inference
from cwinference.inference.batch.key_set import KeySet
from tests.support.batch_files import NOBODY, answers, echo, expected, lines, request, wait_until
from tests.support.inference_kinds import MESSAGES
from tests.support.scripted_model_server import MODEL, Asked, ModelServer, Reply, completion, plain


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def run(kind: str, url: str, requests: Any, out: Any, *, limit: int = 1000, **options: Any) -> BatchResult:
    if kind == "async":
        async with AsyncInference(url, token="t", retry=None, limit=limit) as front:
            return await front.batch(requests, out=out, **options)

    def blocking() -> BatchResult:
        with Inference(url, token="t", retry=None, limit=limit) as front:
            return front.batch(requests, out=out, **options)

    return await asyncio.to_thread(blocking)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for another thread or task."""
    await asyncio.to_thread(wait_until, condition)


@asynccontextmanager
async def server(answer: Any = echo) -> AsyncGenerator[ModelServer]:
    with ModelServer(answer) as found:
        yield found


async def test_a_file_of_requests_becomes_a_file_of_answers(kind: str, tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n\n".join(json.dumps(request(number)) for number in range(50)))
    async with server() as there:
        result = await run(kind, there.url, source, out, concurrency=8)
        assert len(there.asked) == 50
    assert result == BatchResult(answered=50, failed=0, skipped=0)
    assert answers(out) == expected(*range(50))
    assert lines(out)[0]["response"]["status_code"] == 200
    assert lines(out)[0]["error"] is None
    assert not (tmp_path / "out.errors.jsonl").exists()


async def test_requests_may_be_bare_bodies_of_an_iterable_known_by_their_lines(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    requests: list[Any] = [
        request(1)["body"],
        {"model": MODEL, "prompt": "p"},
        {"custom_id": "x", **request(2)["body"]},
    ]

    def answer(got: Asked) -> Reply:
        return echo(got) if "messages" in got.body else plain({"choices": [{"text": "done"}]})

    async with server(answer) as there:
        await run(kind, there.url, iter(requests), out)
        assert {each.path for each in there.asked} == {"/v1/completions", "/v1/chat/completions"}
        assert all("custom_id" not in each.body for each in there.asked)
    assert {each["custom_id"] for each in lines(out)} == {"1", "2", "x"}


async def test_a_second_run_asks_only_for_what_is_missing(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    async with server() as there:
        await run(kind, there.url, map(request, range(10)), out)
        result = await run(kind, there.url, map(request, range(15)), out)
        assert len(there.asked) == 15
    assert result == BatchResult(answered=5, failed=0, skipped=10)
    assert answers(out) == expected(*range(15))


async def test_an_answer_is_one_line_whatever_is_in_it(kind: str, tmp_path: Path) -> None:
    odd = "a\u2028b\x85c\n é 🗼"
    spaced = json.dumps(completion(odd), ensure_ascii=False, indent=2).encode()
    out = tmp_path / "out.jsonl"
    async with server(lambda _: Reply([spaced], length=len(spaced))) as there:
        await run(kind, there.url, map(request, range(2)), out)
    assert answers(out) == {"id-0": odd, "id-1": odd}


async def test_failures_stand_beside_and_are_tried_again(kind: str, tmp_path: Path) -> None:
    out, beside = tmp_path / "out.jsonl", tmp_path / "out.errors.jsonl"
    down = threading.Event()
    down.set()

    def answer(got: Asked) -> Reply:
        odd = got.body["messages"][0]["content"] == "text 3"
        return plain({"error": {"message": "no"}}, 400) if odd and down.is_set() else echo(got)

    async with server(answer) as there:
        result = await run(kind, there.url, map(request, range(5)), out)
        assert result == BatchResult(answered=4, failed=1, skipped=0)
        (failure,) = lines(beside)
        down.clear()
        assert (await run(kind, there.url, map(request, range(5)), out)).answered == 1
    assert (failure["custom_id"], failure["line"], failure["response"]["status_code"]) == ("id-3", 4, 400)
    assert failure["error"]["code"] == "invalid_argument"
    assert answers(out) == expected(*range(5))
    assert not beside.exists()


BAD: list[tuple[Any, str]] = [
    (b"{", "not JSON"),
    (b"[1]", "expected an object"),
    ({"custom_id": 7, **request(0)["body"]}, "custom_id"),
    ({"custom_id": "x", "url": "/v1/embeddings", "body": {}}, "url"),
    ({"custom_id": "x", "body": 3}, "body"),
    ({"model": MODEL}, "prompt"),
    ({"messages": MESSAGES}, "model"),
    ({"model": MODEL, "messages": []}, "messages"),
    ({"model": MODEL, "messages": MESSAGES, "stream": True}, "stream"),
    (request(1), "there before"),
]


@pytest.mark.parametrize(("bad", "told"), BAD)
async def test_a_request_that_cannot_be_asked_is_a_failure_and_the_others_are_not(
    kind: str, tmp_path: Path, bad: Any, told: str
) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    wrong = bad if isinstance(bad, bytes) else json.dumps(bad).encode()
    source.write_bytes(b"\n".join([json.dumps(request(1)).encode(), wrong, json.dumps(request(2)).encode()]))
    async with server() as there:
        result = await run(kind, there.url, source, out)
    assert result == BatchResult(answered=2, failed=1, skipped=0)
    (failure,) = lines(tmp_path / "out.errors.jsonl")
    named = bad.get("custom_id") if isinstance(bad, dict) else None
    assert (failure["line"], failure["custom_id"]) == (2, named if isinstance(named, str) else "2")
    assert told in failure["error"]["message"]
    assert answers(out) == expected(1, 2)


@pytest.mark.parametrize("status", [401, 403])
async def test_what_every_request_would_meet_ends_the_batch(kind: str, tmp_path: Path, status: int) -> None:
    async with server(lambda _: plain({"error": {"message": "no"}}, status)) as there:
        for ordered in (False, True):
            with pytest.raises(errors.ApiError):
                await run(kind, there.url, map(request, range(1000)), tmp_path / "out.jsonl", ordered=ordered)
        assert len(there.asked) < 300


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_batch_ends_when_nothing_but_failures_comes(kind: str, tmp_path: Path, ordered: bool) -> None:
    out, down = tmp_path / "out.jsonl", [True]

    def answer(got: Asked) -> Reply:
        return plain({"error": {"message": "no room"}}, 500) if down else echo(got)

    async with server(answer) as there:
        result = await run(kind, there.url, map(request, range(1000)), out, concurrency=8, ordered=ordered)
        assert result.gave_up
        assert 100 <= result.failed < 120
        assert result.failures == tmp_path / "out.errors.jsonl"
        assert len(lines(tmp_path / "out.errors.jsonl")) == len(there.asked) == result.failed
        assert (result.first_failure or "").startswith("line ")
        assert "no room" in (result.first_failure or "")
        down.clear()
        assert await run(kind, there.url, map(request, range(1000)), out) == BatchResult(1000, 0, 0)
    assert answers(out) == expected(*range(1000))


async def test_a_batch_goes_on_while_one_answer_comes_among_many_failures(kind: str, tmp_path: Path) -> None:
    def answer(got: Asked) -> Reply:
        return echo(got) if len(there.asked) % 50 == 0 else plain({}, 500)

    async with server(answer) as there:
        result = await run(kind, there.url, map(request, range(500)), tmp_path / "out.jsonl", concurrency=8)
    assert (result.gave_up, result.answered + result.failed) == (False, 500)


async def test_a_batch_that_shall_keep_going_asks_for_all(kind: str, tmp_path: Path) -> None:
    async with server(lambda _: plain({}, 500)) as there:
        result = await run(kind, there.url, map(request, range(300)), tmp_path / "out.jsonl", keep_going=True)
    assert (result.gave_up, result.failed) == (False, 300)


@pytest.mark.parametrize("failing", [False, True])
async def test_the_order_is_kept_on_request(kind: str, tmp_path: Path, failing: bool) -> None:
    def answer(got: Asked) -> Reply:
        number = int(got.body["messages"][0]["content"].removeprefix("text "))
        if number % 7 == 0:
            threading.Event().wait(0.02)
        return plain({}, 500) if failing and number % 5 == 0 else echo(got)

    out = tmp_path / "out.jsonl"
    async with server(answer) as there:
        await run(kind, there.url, map(request, range(80)), out, ordered=True, concurrency=16)
    kept = [number for number in range(80) if not (failing and number % 5 == 0)]
    assert [each["custom_id"] for each in lines(out)] == [f"id-{number}" for number in kept]


async def test_no_more_are_in_flight_than_asked_for(kind: str, tmp_path: Path) -> None:
    now, most, lock = 0, 0, threading.Lock()

    def answer(got: Asked) -> Reply:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.01)
        with lock:
            now -= 1
        return echo(got)

    async with server(answer) as there:
        await run(kind, there.url, map(request, range(60)), tmp_path / "a.jsonl", concurrency=5)
        assert most == 5
        await run(kind, there.url, map(request, range(60)), tmp_path / "b.jsonl", concurrency=50, limit=7)
    assert most == 7


@pytest.mark.parametrize("cut", [1, 5, 20, 60])
async def test_a_line_that_a_killed_run_left_unfinished_is_asked_again(kind: str, tmp_path: Path, cut: int) -> None:
    out = tmp_path / "out.jsonl"
    async with server() as there:
        await run(kind, there.url, map(request, range(4)), out, ordered=True)
        out.write_bytes(out.read_bytes()[:-cut])
        result = await run(kind, there.url, map(request, range(4)), out)
    assert result.skipped == 3
    assert answers(out) == expected(*range(4))


@pytest.mark.parametrize("content", ["notes of mine", "notes\n", '{"id": 1}\n', '{"custom_id": 1}\n', "\n"])
async def test_a_file_that_is_no_file_of_answers_is_left_alone(kind: str, tmp_path: Path, content: str) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text(content)
    with pytest.raises(errors.ConfigurationError, match="line 1"):
        await run(kind, NOBODY, map(request, range(4)), out)
    assert out.read_text() == content


async def test_files_that_cannot_be_used_are_refused(kind: str, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps(request(1)))
    for requests, out, told in [
        (tmp_path / "missing.jsonl", tmp_path / "out.jsonl", "requests"),
        (request(1), tmp_path / "out.jsonl", "requests: .* put a single one into a list"),
        (None, tmp_path / "out.jsonl", "^requests: expected a file or an iterable of requests, got NoneType"),
        (source, None, "^out: expected the path of a file, got None"),
        (source, "", "^out: expected the path of a file, got ''"),
        (source, source, "out"),
        (source, tmp_path, "out"),
        (source, Path(os.devnull), "plain file"),
        (source, tmp_path / "no" / "out.jsonl", "out"),
    ]:
        with pytest.raises(errors.ConfigurationError, match=told):
            await run(kind, NOBODY, requests, out)
    with pytest.raises(errors.ConfigurationError, match="concurrency"):
        await run(kind, NOBODY, source, tmp_path / "out.jsonl", concurrency=0)


async def test_two_batches_do_not_write_into_one_file(kind: str, tmp_path: Path) -> None:
    out, go = tmp_path / "out.jsonl", threading.Event()

    def answer(got: Asked) -> Reply:
        go.wait(10)
        return echo(got)

    async with server(answer) as there:
        first = asyncio.create_task(run(kind, there.url, map(request, range(2)), out))
        await until(lambda: bool(there.asked))
        with pytest.raises(errors.ConfigurationError, match="another batch"):
            await run(kind, there.url, map(request, range(2)), out)
        go.set()
        assert (await first).answered == 2


async def test_a_cancelled_batch_keeps_what_was_answered(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"

    def answer(got: Asked) -> Reply:
        if got.body["messages"][0]["content"] != "text 0":
            threading.Event().wait(0.3)
        return echo(got)

    async with server(answer) as there:
        task = asyncio.create_task(run("async", there.url, map(request, range(8)), out, concurrency=4))
        await until(lambda: out.exists() and bool(out.read_bytes()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await run("async", there.url, map(request, range(8)), out)
    assert answers(out) == expected(*range(8))


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
            yield request(number, metadata="m" * 2000)

    def answer(_: Asked) -> Reply:
        there.asked.clear()
        return plain(completion("x" * 2000))

    async with server(answer) as there:
        tracemalloc.start()
        await run(kind, there.url, many(), tmp_path / "out.jsonl", concurrency=8)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert len(lines(tmp_path / "out.jsonl")) == 2000
    assert peak < 4 << 20


async def test_progress_is_shown_on_request(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    async with server() as there:
        await run(kind, there.url, map(request, range(3)), tmp_path / "out.jsonl", progress=True)
    assert "3 requests" in capfd.readouterr().err


async def test_without_tqdm_a_line_says_why_there_is_no_progress(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    async with server() as there:
        await run(kind, there.url, map(request, range(3)), tmp_path / "out.jsonl", progress=True)
    assert "tqdm is not installed" in capfd.readouterr().err

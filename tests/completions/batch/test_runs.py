"""Batches: every completion is in the file once, whatever happened; failures are reported and retried."""

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cwinference import errors
from cwinference.inference import BatchResult
from tests.support.batch_files import batch_request, echo, echoed_texts, read_lines, read_texts
from tests.support.batch_runs import run_batch
from tests.support.scripted_model_server import (
    MODEL,
    HttpRequest,
    ScriptedModelServer,
    ScriptedResponse,
    completion,
    json_response,
)
from tests.support.waiting import wait_until, wait_until_async


async def test_a_request_file_produces_a_completion_file(kind: str, tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n\n".join(json.dumps(batch_request(number)) for number in range(50)))
    with ScriptedModelServer(echo) as server:
        result = await run_batch(kind, server.url, source, out, concurrency=8)
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
        await run_batch(kind, server.url, iter(requests), out)
        assert {each.path for each in server.requests} == {"/v1/completions", "/v1/chat/completions"}
        assert all("custom_id" not in each.body for each in server.requests)
    assert {each["custom_id"] for each in read_lines(out)} == {"1", "2", "x"}


async def test_a_second_run_sends_only_the_missing_requests(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with ScriptedModelServer(echo) as server:
        await run_batch(kind, server.url, map(batch_request, range(10)), out)
        result = await run_batch(kind, server.url, map(batch_request, range(15)), out)
        assert len(server.requests) == 15
    assert result == BatchResult(completed=5, failed=0, skipped=10)
    assert read_texts(out) == echoed_texts(*range(15))


async def test_a_completion_is_always_written_as_one_line(kind: str, tmp_path: Path) -> None:
    odd = "a\u2028b\x85c\n é 🗼"
    spaced = json.dumps(completion(odd), ensure_ascii=False, indent=2).encode()
    out = tmp_path / "out.jsonl"
    with ScriptedModelServer(lambda _: ScriptedResponse([spaced], length=len(spaced))) as server:
        await run_batch(kind, server.url, map(batch_request, range(2)), out)
    assert read_texts(out) == {"id-0": odd, "id-1": odd}


async def test_a_completion_is_written_as_it_came_but_for_what_would_split_its_line(kind: str, tmp_path: Path) -> None:
    """Members that are there twice, numbers as they were spelled, and a byte order mark that does not belong there."""
    body = (
        '\ufeff{"choices": [],\r\n "x":1.50e+1, "x":\t10000000000000000000000, "\u00e9": "\u2028\U0001f5fc\\u00e9\\n"}'
    )
    out = tmp_path / "out.jsonl"
    with ScriptedModelServer(lambda _: ScriptedResponse([body.encode()], length=len(body.encode()))) as server:
        await run_batch(kind, server.url, [batch_request(0)], out)
    written = out.read_text("ascii")
    assert '{"choices": [],   "x":1.50e+1, "x":\t10000000000000000000000, ' in written
    assert '"\\u00e9": "\\u2028\\ud83d\\uddfc\\u00e9\\n"}}' in written
    assert read_lines(out)[0]["response"]["body"] == json.loads(body[1:])


async def test_failures_go_to_a_second_file_and_are_retried(kind: str, tmp_path: Path) -> None:
    out, failures_file = tmp_path / "out.jsonl", tmp_path / "out.errors.jsonl"
    down = threading.Event()
    down.set()

    def respond(request: HttpRequest) -> ScriptedResponse:
        odd = request.body["messages"][0]["content"] == "text 3"
        return json_response({"error": {"message": "no"}}, 400) if odd and down.is_set() else echo(request)

    with ScriptedModelServer(respond) as server:
        result = await run_batch(kind, server.url, map(batch_request, range(5)), out)
        assert result == BatchResult(completed=4, failed=1, skipped=0)
        (failure,) = read_lines(failures_file)
        down.clear()
        assert (await run_batch(kind, server.url, map(batch_request, range(5)), out)).completed == 1
    assert (failure["custom_id"], failure["line"], failure["response"]["status_code"]) == ("id-3", 4, 400)
    assert failure["error"]["code"] == "invalid_argument"
    assert read_texts(out) == echoed_texts(*range(5))
    assert not failures_file.exists()


async def test_a_refused_token_stops_the_batch(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with ScriptedModelServer(lambda _: json_response({"error": {"message": "no"}}, 401)) as server:
        for ordered in (False, True):
            with pytest.raises(errors.Unauthenticated):
                await run_batch(kind, server.url, map(batch_request, range(1000)), out, ordered=ordered)
        assert len(server.requests) < 300


async def test_a_request_that_is_forbidden_fails_alone(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"

    def respond(request: HttpRequest) -> ScriptedResponse:
        is_odd = request.body["messages"][0]["content"] == "text 3"
        return json_response({"error": {"message": "this model is not yours"}}, 403) if is_odd else echo(request)

    with ScriptedModelServer(respond) as server:
        result = await run_batch(kind, server.url, map(batch_request, range(50)), out, concurrency=4)
    assert result == BatchResult(completed=49, failed=1, skipped=0)
    (failure,) = read_lines(tmp_path / "out.errors.jsonl")
    assert (failure["custom_id"], failure["error"]["code"]) == ("id-3", "permission_denied")


@pytest.mark.parametrize(("status", "ordered"), [(500, False), (500, True), (403, False)])
async def test_a_batch_gives_up_after_many_failures_in_a_row(
    kind: str, tmp_path: Path, status: int, ordered: bool
) -> None:
    out, down = tmp_path / "out.jsonl", [True]

    def respond(request: HttpRequest) -> ScriptedResponse:
        return json_response({"error": {"message": "no room"}}, status) if down else echo(request)

    with ScriptedModelServer(respond) as server:
        result = await run_batch(kind, server.url, map(batch_request, range(1000)), out, concurrency=8, ordered=ordered)
        assert result.gave_up
        assert 100 <= result.failed < 120
        assert result.failures == tmp_path / "out.errors.jsonl"
        assert len(read_lines(tmp_path / "out.errors.jsonl")) == len(server.requests) == result.failed
        assert (result.first_failure or "").startswith("line ")
        assert "no room" in (result.first_failure or "")
        down.clear()
        assert await run_batch(kind, server.url, map(batch_request, range(1000)), out) == BatchResult(1000, 0, 0)
    assert read_texts(out) == echoed_texts(*range(1000))


async def test_a_batch_continues_as_long_as_some_requests_succeed(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"

    def respond(request: HttpRequest) -> ScriptedResponse:
        number = int(request.body["messages"][0]["content"].removeprefix("text "))
        return echo(request) if number % 50 == 0 else json_response({}, 500)

    with ScriptedModelServer(respond) as server:
        result = await run_batch(kind, server.url, map(batch_request, range(500)), out, concurrency=8)
    assert (result.gave_up, result.completed + result.failed) == (False, 500)


async def test_keep_going_sends_every_request(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with ScriptedModelServer(lambda _: json_response({}, 500)) as server:
        result = await run_batch(kind, server.url, map(batch_request, range(300)), out, keep_going=True)
    assert (result.gave_up, result.failed) == (False, 300)


@pytest.mark.parametrize("failing", [False, True])
async def test_ordered_keeps_the_order_of_the_requests(kind: str, tmp_path: Path, failing: bool) -> None:
    received = [threading.Event() for _ in range(80)]

    def respond(request: HttpRequest) -> ScriptedResponse:
        number = int(request.body["messages"][0]["content"].removeprefix("text "))
        received[number].set()
        if number % 7 == 0:
            received[number + 2].wait(60)  # others are faster
        return json_response({}, 500) if failing and number % 5 == 0 else echo(request)

    out = tmp_path / "out.jsonl"
    with ScriptedModelServer(respond) as server:
        await run_batch(kind, server.url, map(batch_request, range(80)), out, ordered=True, concurrency=16)
    kept = [number for number in range(80) if not (failing and number % 5 == 0)]
    assert [each["custom_id"] for each in read_lines(out)] == [f"id-{number}" for number in kept]


async def test_a_canceled_batch_keeps_its_completions(tmp_path: Path) -> None:
    out, is_canceled = tmp_path / "out.jsonl", threading.Event()

    def respond(request: HttpRequest) -> ScriptedResponse:
        if request.body["messages"][0]["content"] != "text 0":
            is_canceled.wait(60)
        return echo(request)

    with ScriptedModelServer(respond) as server:
        task = asyncio.create_task(run_batch("async", server.url, map(batch_request, range(8)), out, concurrency=4))
        await wait_until_async(lambda: out.exists() and bool(out.read_bytes()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        is_canceled.set()
        await run_batch("async", server.url, map(batch_request, range(8)), out)
    assert read_texts(out) == echoed_texts(*range(8))


async def test_progress_is_shown_on_request(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    with ScriptedModelServer(echo) as server:
        await run_batch(kind, server.url, map(batch_request, range(3)), tmp_path / "out.jsonl", progress=True)
    assert "3/3" in capfd.readouterr().err


async def test_without_tqdm_a_message_says_why_there_is_no_progress_bar(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with ScriptedModelServer(echo) as server:
        await run_batch(kind, server.url, map(batch_request, range(3)), tmp_path / "out.jsonl", progress=True)
    assert "needs tqdm, which is not installed" in capfd.readouterr().err


@pytest.mark.parametrize("progress", [None, True])
@pytest.mark.parametrize("state", ["absent", "closed"])
async def test_progress_needs_no_standard_error(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, progress: bool | None, state: str
) -> None:
    with (tmp_path / "stream").open("w") as closed:
        pass
    with ScriptedModelServer(echo) as server:
        monkeypatch.setattr(sys, "stderr", None if state == "absent" else closed)
        result = await run_batch(kind, server.url, map(batch_request, range(3)), tmp_path / "o", progress=progress)
        monkeypatch.undo()
    assert result.completed == 3


async def test_a_completion_that_waits_for_an_earlier_one_is_written_when_the_batch_ends_early(
    kind: str, tmp_path: Path
) -> None:
    others = threading.Event()

    def respond(request: HttpRequest) -> ScriptedResponse:
        if request.body["messages"][0]["content"] != "text 0":
            return echo(request)
        others.wait(60)
        return json_response({"error": {"message": "no"}}, 401)

    def requests() -> Iterator[Any]:
        yield from map(batch_request, range(5))
        wait_until(lambda: len(server.requests) == 5)
        others.set()

    with ScriptedModelServer(respond) as server, pytest.raises(errors.Unauthenticated):
        await run_batch(kind, server.url, requests(), tmp_path / "out.jsonl", ordered=True, concurrency=5)
    assert read_texts(tmp_path / "out.jsonl") == echoed_texts(*range(1, 5))

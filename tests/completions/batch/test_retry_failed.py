"""What failed, and how it is sent again: `retry_failed`, and the file of failures, which is right when a run ends."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from cwinference import errors
from cwinference.inference import BatchResult
from tests.support.batch_files import UNREACHABLE, batch_request, echo, echoed_texts, read_lines, read_texts
from tests.support.batch_runs import run_batch, run_command, write_requests
from tests.support.scripted_model_server import HttpRequest, ScriptedModelServer, ScriptedResponse, json_response
from tests.support.waiting import wait_until_async


class Picky:
    """A server that refuses some requests."""

    def __init__(self, *refused: int) -> None:
        self.refused = {f"text {number}" for number in refused}

    def __call__(self, request: HttpRequest) -> ScriptedResponse:
        """Respond to a request."""
        if request.body["messages"][0]["content"] in self.refused:
            return json_response({"error": {"message": "no"}}, 400)
        return echo(request)


def failed_keys(out: Path) -> list[str]:
    """Return the keys in the file of failures."""
    path = out.with_name("out.errors.jsonl")
    return [each["custom_id"] for each in read_lines(path)] if path.exists() else []


async def test_only_failed_requests_are_sent_again(kind: str, tmp_path: Path) -> None:
    out, picky = tmp_path / "out.jsonl", Picky(3, 5)
    with ScriptedModelServer(picky) as server:
        assert await run_batch(kind, server.url, map(batch_request, range(8)), out) == BatchResult(6, 2, 0)
        picky.refused.remove("text 3")
        result = await run_batch(kind, server.url, map(batch_request, range(12)), out, retry_failed=True)
        assert result == BatchResult(completed=1, failed=1, skipped=6, unsent=4)
        assert failed_keys(out) == ["id-5"]
        assert len(server.requests) == 10
        picky.refused.clear()
        result = await run_batch(kind, server.url, map(batch_request, range(12)), out, retry_failed=True)
        assert result == BatchResult(completed=1, failed=0, skipped=7, unsent=4)
        assert failed_keys(out) == []
        assert (await run_batch(kind, server.url, map(batch_request, range(12)), out)).completed == 4
    assert read_texts(out) == echoed_texts(*range(12))


async def test_failures_of_requests_that_are_not_there_are_kept_by_a_retry_and_named(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out, picky = tmp_path / "out.jsonl", Picky(1, 2, 3)
    with ScriptedModelServer(picky) as server:
        await run_batch(kind, server.url, map(batch_request, range(4)), out)
        picky.refused = {"text 2"}
        result = await run_batch(kind, server.url, map(batch_request, range(3)), out, retry_failed=True)
        assert result == BatchResult(completed=1, failed=1, skipped=1)
        assert failed_keys(out) == ["id-3", "id-2"]
        assert "1 belong to none of these requests ('id-3') and stay there; a run without retry" in caplog.text
        picky.refused.clear()
        result = await run_batch(kind, server.url, map(batch_request, range(3)), out, retry_failed=True)
        assert (result, failed_keys(out)) == (BatchResult(completed=1, failed=0, skipped=2), ["id-3"])
        result = await run_batch(kind, server.url, map(batch_request, range(3)), out)
        assert (result, failed_keys(out)) == (BatchResult(completed=0, failed=0, skipped=3), [])
        assert "1 belong to none of these requests ('id-3'): removed" in caplog.text
    assert read_texts(out) == echoed_texts(0, 1, 2)


async def test_a_retry_with_another_input_forgets_no_failure(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    await run_batch(kind, UNREACHABLE, map(batch_request, range(3)), out)
    before = sorted(failed_keys(out))
    result = await run_batch(kind, UNREACHABLE, map(batch_request, range(10, 12)), out, retry_failed=True)
    assert result == BatchResult(0, 0, 0, unsent=2)
    assert sorted(failed_keys(out)) == before == ["id-0", "id-1", "id-2"]


async def test_lines_without_custom_ids_are_retried_by_their_numbers(kind: str, tmp_path: Path) -> None:
    out, picky = tmp_path / "out.jsonl", Picky(1)
    requests: list[Any] = [batch_request(number)["body"] for number in range(3)] + ["not JSON"]
    with ScriptedModelServer(picky) as server:
        assert (await run_batch(kind, server.url, requests, out)).failed == 2
        picky.refused.clear()
        requests[3] = batch_request(3)["body"]
        assert await run_batch(kind, server.url, requests, out, retry_failed=True) == BatchResult(2, 0, 2)
    assert sorted(each["custom_id"] for each in read_lines(out)) == ["1", "2", "3", "4"]
    assert failed_keys(out) == []


async def test_a_retry_of_nothing_succeeds_unless_there_was_no_run(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with pytest.raises(errors.ConfigurationError, match=f"^retry_failed: {out} does not exist, and neither does"):
        await run_batch(kind, UNREACHABLE, [batch_request(0)], out, retry_failed=True)
    assert not out.exists()
    with ScriptedModelServer(echo) as server:
        await run_batch(kind, server.url, [batch_request(0)], out)
        assert await run_batch(kind, server.url, [batch_request(0)], out, retry_failed=True) == BatchResult(0, 0, 1)


async def test_a_run_that_is_stopped_keeps_the_failures_that_it_did_not_come_to(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    picky = Picky(*range(10))
    with ScriptedModelServer(picky) as server:
        assert (await run_batch(kind, server.url, map(batch_request, range(10)), out)).failed == 10

    def respond(request: HttpRequest) -> ScriptedResponse:
        if len(second.requests) > 4:
            return json_response({"error": {"message": "no"}}, 401)
        return json_response({}, 500) if len(second.requests) == 2 else echo(request)

    for retry_failed in (True, False):
        with ScriptedModelServer(respond) as second:
            options: Any = {"concurrency": 1, "retry_failed": retry_failed, "force": True}
            with pytest.raises(errors.Unauthenticated):
                await run_batch(kind, second.url, map(batch_request, range(10)), out, **options)
        done, failed = {each["custom_id"] for each in read_lines(out)}, failed_keys(out)
        assert len(done) == (3 if retry_failed else 6)
        assert sorted([*done, *failed]) == [f"id-{number}" for number in range(10)]


async def test_a_run_that_is_killed_loses_no_failure(kind: str, tmp_path: Path) -> None:
    """Failures are appended while it runs; so are those that are not failures any more by then."""
    out, go = tmp_path / "out.jsonl", threading.Event()
    picky = Picky(0, 1, 2)

    def respond(request: HttpRequest) -> ScriptedResponse:
        if len(server.requests) > 5:
            go.wait(60)
        return picky(request)

    with ScriptedModelServer(respond) as server:
        await run_batch(kind, server.url, map(batch_request, range(3)), out)
        picky.refused = {"text 1"}
        running = asyncio.create_task(
            run_batch(kind, server.url, map(batch_request, range(3)), out, retry_failed=True, concurrency=1)
        )
        await wait_until_async(lambda: len(failed_keys(out)) == 4 and len(read_lines(out)) == 1)
        left = out.with_name("out.errors.jsonl").read_bytes(), out.read_bytes()
        go.set()
        await running
        out.with_name("out.errors.jsonl").write_bytes(left[0])
        out.write_bytes(left[1])
        picky.refused.clear()
        result = await run_batch(kind, server.url, map(batch_request, range(3)), out, retry_failed=True)
    assert result == BatchResult(completed=2, failed=0, skipped=1)
    assert (read_texts(out), failed_keys(out)) == (echoed_texts(0, 1, 2), [])


async def test_an_unfinished_failure_at_the_end_is_cut_off(kind: str, tmp_path: Path) -> None:
    out, picky = tmp_path / "out.jsonl", Picky(0, 1)
    with ScriptedModelServer(picky) as server:
        await run_batch(kind, server.url, map(batch_request, range(3)), out)
        errors_file = out.with_name("out.errors.jsonl")
        errors_file.write_bytes(errors_file.read_bytes()[:-10])
        assert (await run_batch(kind, server.url, map(batch_request, range(3)), out, retry_failed=True)).failed == 1
        assert [json.loads(line)["error"]["code"] for line in errors_file.read_text().splitlines()] == [
            "invalid_argument"
        ]


def test_the_command_retries_what_failed(tmp_path: Path) -> None:
    source = write_requests(tmp_path / "in.jsonl", map(batch_request, range(4)))
    out, picky = tmp_path / "out.jsonl", Picky(1, 2)
    with ScriptedModelServer(picky) as server:
        command = ("batch", source, out, "--base-url", server.url)
        assert run_command(*command)[0] == 1
        write_requests(source, map(batch_request, range(5)))
        picky.refused.remove("text 1")
        code, output, error = run_command(*command, "--retry-failed")
        assert (code, output) == (1, "1 completed, 1 failed, 2 skipped\n")
        assert error.startswith("1 other requests have no completion yet; run without --retry-failed for them\n")
        picky.refused.clear()
        code, output, _ = run_command(*command, "--retry-failed", "-o", "json")
    found = json.loads(output)
    assert (code, found["completed"], found["unsent"], found["failures"]) == (0, 1, 1, None)
    assert found["usage"]["total_tokens"] * 4 == found["total_usage"]["total_tokens"] > 0

"""The keys of a batch: a completion in OUT belongs to the request that it names, or the run is refused by name."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cwinference import errors
from cwinference.inference import BatchResult
from cwinference.inference.batch.access import manifest_path
from cwinference.inference.batch.recovery import read_results
from tests.support.batch_files import UNREACHABLE, batch_request, echo, read_lines
from tests.support.batch_runs import completed_line, run_batch, run_command, write_requests
from tests.support.scripted_model_server import HttpRequest, ScriptedModelServer, ScriptedResponse, json_response
from tests.support.waiting import wait_until, wait_until_async


def body(number: int) -> Any:
    return batch_request(number)["body"]


async def complete(path: Path, *requests: Any) -> None:
    """Complete requests, so that OUT exists, without a manifest, as an earlier version left it."""
    with ScriptedModelServer(echo) as server:
        assert (await run_batch("async", server.url, requests, path)).failed == 0
    manifest_path(path).unlink()


def pairs(path: Path) -> set[tuple[str, str]]:
    """Return the keys and the texts in OUT."""
    return {
        (each["custom_id"], each["response"]["body"]["choices"][0]["message"]["content"]) for each in read_lines(path)
    }


async def test_every_completion_has_the_digest_of_its_request(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with ScriptedModelServer(echo) as server:
        await run_batch(kind, server.url, [body(0), batch_request(1), body(0), batch_request(0)], out)
    digests = {each["custom_id"]: each["request_digest"] for each in read_lines(out)}
    assert digests["1"] == digests["3"] == digests["id-0"] != digests["id-1"]
    assert {len(each) for each in digests.values()} == {32}
    assert all(int(each, 16) for each in digests.values())


async def test_the_same_requests_are_skipped_in_whatever_order_their_members_are(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    first = {"model": "m", "messages": [{"role": "user", "content": "a"}], "b": {"x": 1, "y": [{"p": 1, "q": 2}]}}
    again = {"b": {"y": [{"q": 2, "p": 1}], "x": 1}, "messages": [{"content": "a", "role": "user"}], "model": "m"}
    await complete(out, first, {"body": first, "url": "/v1/chat/completions"}, {**first, 1: 2})
    requests = [{"url": "/v4/chat/completions", "body": again, "method": "POST"}, again, {**again, "1": 2}]
    source = write_requests(tmp_path / "in.jsonl", requests)
    assert await run_batch(kind, UNREACHABLE, source, out) == BatchResult(0, 0, 3)


@pytest.mark.parametrize(
    "edited",
    [
        [body(9), body(0), body(1), body(2)],
        ["not JSON", body(0), body(1), body(2)],
        [body(1), body(2)],
        [body(0), body(2), body(1)],
        [body(0), {**body(1), "temperature": 0}, body(2)],
        [body(0), {"model": "m", "prompt": "text 1"}, body(2)],
        [body(0), {**body(1), "custom_id": "2", "seed": 1}, body(2)],
        [{**body(5), "custom_id": "x"}, body(0), body(1)],
    ],
    ids=["inserted", "inserted-invalid", "removed", "swapped", "changed", "other-method", "named", "named-inserted"],
)
async def test_an_edited_input_is_refused_by_name_and_nothing_is_sent(
    kind: str, tmp_path: Path, edited: list[Any]
) -> None:
    source, out = write_requests(tmp_path / "in.jsonl", edited), tmp_path / "out.jsonl"
    await complete(out, body(0), body(1), body(2))
    before = out.read_bytes()
    message = f"^requests: line [123] of {source} differs from the request .* under '[123]' in {out}; use another out"
    with ScriptedModelServer(echo) as server:
        with pytest.raises(errors.ConfigurationError, match=message):
            await run_batch(kind, server.url, source, out)
        with pytest.raises(errors.ConfigurationError, match="^requests: request [123] differs from the request"):
            await run_batch(kind, server.url, [json.dumps(each) for each in edited], out)
        assert server.requests == []
    assert out.read_bytes() == before


async def test_nothing_of_an_edited_input_is_sent_even_if_the_first_requests_had_failed(
    kind: str, tmp_path: Path
) -> None:
    out, source = tmp_path / "out.jsonl", tmp_path / "in.jsonl"
    down = True

    def respond(request: HttpRequest) -> ScriptedResponse:
        odd = down and request.body["messages"][0]["content"] in ("text 0", "text 1")
        return json_response({"error": {"message": "no"}}, 400) if odd else echo(request)

    with ScriptedModelServer(respond) as server:
        write_requests(source, map(body, range(500)))
        assert (await run_batch(kind, server.url, source, out)).failed == 2
        before, sent, down = out.read_bytes(), len(server.requests), False
        write_requests(source, [body(1000), *map(body, range(500))])
        with pytest.raises(errors.ConfigurationError, match="line 3 of .* differs from the request"):
            await run_batch(kind, server.url, source, out)
        assert (out.read_bytes(), len(server.requests)) == (before, sent)
        write_requests(source, map(body, range(510)))
        assert await run_batch(kind, server.url, source, out) == BatchResult(12, 0, 498)
    assert pairs(out) == {(str(number + 1), f"text {number}") for number in range(510)}


async def test_nothing_is_sent_because_it_takes_long_to_read_what_is_completed(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.jsonl"
    await complete(out, body(0), body(1))

    def read_slowly(*arguments: Any) -> Any:
        threading.Event().wait(1)  # longer than it takes to count as stalled, which the writer's real turns decide
        return read_results(*arguments)

    def requests() -> Iterator[Any]:
        yield {**body(5), "custom_id": "x"}
        threading.Event().wait(0.2)
        yield from (body(0), body(1))

    monkeypatch.setattr("cwinference.inference.batch.batch._STALLED", 10)
    monkeypatch.setattr("cwinference.inference.batch.result_files.read_results", read_slowly)
    with ScriptedModelServer(echo) as server:
        with pytest.raises(errors.ConfigurationError, match="differs from the request"):
            await run_batch(kind, server.url, requests(), out)
        assert server.requests == []


async def test_a_producer_that_waits_for_a_result_gets_it_although_lines_are_compared_first(
    kind: str, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    await complete(out, "", body(1))

    def requests() -> Iterator[Any]:
        yield body(0)
        wait_until(lambda: out.read_bytes().count(b"\n") == 2)
        yield body(1)

    with ScriptedModelServer(echo) as server:
        assert await run_batch(kind, server.url, requests(), out) == BatchResult(1, 0, 1)


async def test_many_missing_lines_before_a_completed_one_are_requested(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    await complete(out, *[""] * 2499, body(2499))
    with ScriptedModelServer(echo) as server:
        assert await run_batch(kind, server.url, map(body, range(2500)), out) == BatchResult(2499, 0, 1)
    assert pairs(out) == {(str(number + 1), f"text {number}") for number in range(2500)}


async def test_a_line_number_without_a_digest_is_refused_when_it_would_be_used(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text(completed_line("2") + "\n")
    message = f"^requests: request 2 has no custom_id, and the completion '2' in {out} does not say of which request"
    with ScriptedModelServer(echo) as server:
        with pytest.raises(errors.ConfigurationError, match=message):
            await run_batch(kind, server.url, [batch_request(0), body(1)], out)
        named = {**batch_request(1), "custom_id": "2"}
        assert (await run_batch(kind, server.url, ["not JSON", named], out)).skipped == 1
        manifest_path(out).unlink()
        assert (await run_batch(kind, server.url, [body(5), "not JSON"], out)).failed == 1


async def test_a_custom_id_that_is_the_line_number_of_the_same_request_is_the_same(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    await complete(out, body(0))
    named = {**body(0), "custom_id": "1"}
    assert await run_batch(kind, UNREACHABLE, [named], out) == BatchResult(0, 0, 1)


async def test_a_line_number_that_is_a_custom_id_too_fails_with_what_to_do(kind: str, tmp_path: Path) -> None:
    with ScriptedModelServer(echo) as server:
        requests = [{**batch_request(0), "custom_id": "2"}, body(1)]
        result = await run_batch(kind, server.url, requests, tmp_path / "out.jsonl")
    assert (result.completed, result.failed) == (1, 1)
    assert "line 2: it has no custom_id, and another request has the number of its line, '2'; give it one" in str(
        result.first_failure
    )


async def test_a_custom_id_identifies_its_request_wherever_it_is(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    await complete(out, batch_request(0), batch_request(1))
    with ScriptedModelServer(echo) as server:
        requests = [batch_request(5), batch_request(1), batch_request(0)]
        assert await run_batch(kind, server.url, requests, out) == BatchResult(1, 0, 2)


async def test_completions_of_different_requests_under_one_number_belong_to_none(kind: str, tmp_path: Path) -> None:
    out, other = tmp_path / "out.jsonl", tmp_path / "other.jsonl"
    await complete(out, body(0))
    await complete(other, body(1))
    out.write_bytes(out.read_bytes() + other.read_bytes())
    for number in (0, 1):
        with pytest.raises(errors.ConfigurationError, match="request 1 differs from the request"):
            await run_batch(kind, UNREACHABLE, [body(number)], out)


async def test_requests_in_flight_are_completed_when_a_later_line_is_refused(kind: str, tmp_path: Path) -> None:
    """This takes more lines in between than are compared in advance."""
    out, last_is_read = tmp_path / "out.jsonl", threading.Event()
    await complete(out, *[""] * 2999, body(2999))

    def respond(request: HttpRequest) -> ScriptedResponse:
        if len(server.requests) == 1:
            last_is_read.wait(60)
        return echo(request)

    def requests() -> Iterator[Any]:
        yield from map(body, range(1, 3000))
        last_is_read.set()
        yield body(3000)

    with ScriptedModelServer(respond) as server:
        with pytest.raises(errors.ConfigurationError, match="request 3000 differs from the request"):
            await run_batch(kind, server.url, requests(), out)
        await wait_until_async(lambda: len(read_lines(out)) == len(server.requests) + 1)
    assert ("1", "text 1") in pairs(out)
    assert ("3000", "text 2999") in pairs(out)


def test_the_command_refuses_an_edited_input(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    with ScriptedModelServer(echo) as server:
        write_requests(source, map(body, range(3)))
        assert run_command("batch", source, out, "--base-url", server.url)[0] == 0
        write_requests(source, [body(9), *map(body, range(3))])
        code, output, error = run_command("batch", source, out, "--base-url", server.url)
    assert (code, output) == (2, "")
    assert error == (
        f"cwinference batch: requests: line 1 of {source} differs from the request that has a completion under '1' in "
        f"{out}; use another OUT, or --force to send what has changed again\n"
    )
    assert pairs(out) == {("1", "text 0"), ("2", "text 1"), ("3", "text 2")}

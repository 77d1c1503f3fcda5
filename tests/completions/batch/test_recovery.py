"""Files that an earlier run left: only whole successful responses count, and what was cut off is requested again."""

import logging
import os
from pathlib import Path
from typing import Any

import pytest

from cwinference import errors
from cwinference.inference import BatchResult
from tests.support.batch_files import UNREACHABLE, batch_request, echo, echoed_texts, read_lines, read_texts
from tests.support.batch_runs import FAILURE, completed_line, response_line, run_batch, run_command, write_requests
from tests.support.scripted_model_server import HttpRequest, ScriptedModelServer, ScriptedResponse, json_response


@pytest.mark.parametrize("cut", [1, 5, 20, 60])
async def test_a_line_cut_off_by_a_killed_run_is_requested_again(kind: str, tmp_path: Path, cut: int) -> None:
    out = tmp_path / "out.jsonl"
    with ScriptedModelServer(echo) as server:
        await run_batch(kind, server.url, map(batch_request, range(4)), out, ordered=True)
        out.write_bytes(out.read_bytes()[:-cut])
        result = await run_batch(kind, server.url, map(batch_request, range(4)), out)
    assert result.skipped == (4 if cut == 1 else 3)  # without its newline, a line is whole nevertheless
    assert read_texts(out) == echoed_texts(*range(4))


@pytest.mark.parametrize("earlier", [FAILURE + "\n", FAILURE + "\n" + FAILURE[:20], FAILURE, FAILURE + "\n\0\0\0"])
async def test_earlier_failures_are_replaced_by_those_of_this_run(kind: str, tmp_path: Path, earlier: str) -> None:
    out, failures = tmp_path / "run.jsonl", tmp_path / "run.errors.jsonl"
    failures.write_text(earlier)
    with ScriptedModelServer(lambda _: json_response({"error": {"message": "no"}}, 400)) as server:
        result = await run_batch(kind, server.url, [batch_request(1)], out)
    assert (result.failed, result.failures) == (1, failures)
    assert [each["custom_id"] for each in read_lines(failures)] == ["id-1"]


async def test_earlier_failures_are_removed_when_a_run_has_none(kind: str, tmp_path: Path) -> None:
    out, failures = tmp_path / "run.jsonl", tmp_path / "run.errors.jsonl"
    failures.write_text(FAILURE + "\n")
    with ScriptedModelServer(echo) as server:
        await run_batch(kind, server.url, [batch_request(1)], out)
    assert not failures.exists()


async def test_earlier_failures_stay_when_a_run_ends_early(kind: str, tmp_path: Path) -> None:
    failures = tmp_path / "run.errors.jsonl"
    failures.write_text(FAILURE + "\n")
    with (
        ScriptedModelServer(lambda _: json_response({"error": {"message": "no"}}, 401)) as server,
        pytest.raises(errors.Unauthenticated),
    ):
        await run_batch(kind, server.url, [batch_request(1)], tmp_path / "run.jsonl")
    assert failures.read_text() == FAILURE + "\n"


FAILED = [
    response_line("id-1", 400, {"error": {"message": "no"}}, None),
    response_line("id-1", 200, {"choices": [], "error": {"message": "no"}}, None),
    response_line("id-1", 200, {"choices": []}, {"code": "x", "message": "y"}),
    '{"id":"batch_req_1","custom_id":"id-1","response":null,"error":{"code":"batch_expired","message":"expired"}}',
]


@pytest.mark.parametrize("failed", FAILED)
async def test_a_failed_response_stays_and_is_requested_again(kind: str, tmp_path: Path, failed: str) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text(f"{completed_line('id-0')}\n{failed}\n{completed_line('id-2')}\n")
    before = out.read_text()
    with ScriptedModelServer(echo) as server:
        assert await run_batch(kind, server.url, map(batch_request, range(3)), out) == BatchResult(1, 0, 2)
        assert out.read_text().startswith(before)
        assert [each["custom_id"] for each in read_lines(out)] == ["id-0", "id-1", "id-2", "id-1"]
        assert await run_batch(kind, server.url, map(batch_request, range(3)), out) == BatchResult(0, 0, 3)
        assert len(server.requests) == 1


async def test_any_success_in_openais_form_counts(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    foreign = '{"id": "batch_req_1", "custom_id": "id-1", "response": {"status_code": 200, "request_id": "r", "body": '
    lines = [
        response_line("id-0", 201, {"choices": [], "error": None}, None),
        foreign + '{"choices": []}}, "error": null}',
    ]
    out.write_text("\r\n".join(lines))
    assert await run_batch(kind, UNREACHABLE, map(batch_request, range(2)), out) == BatchResult(0, 0, 2)


async def test_what_a_killed_run_left_at_any_byte_is_mended(tmp_path: Path) -> None:
    out, whole = tmp_path / "out.jsonl", completed_line('id-\u00e9"\\0') + "\n"
    request = {**batch_request(0), "custom_id": 'id-\u00e9"\\0'}
    first = completed_line("id-1") + "\n"
    with ScriptedModelServer(echo) as server:
        for cut in range(1, len(whole)):
            out.write_text(first + whole[:cut])
            is_whole = cut == len(whole) - 1
            assert await run_batch("async", server.url, [request], out) == BatchResult(not is_whole, 0, is_whole)
            assert out.read_text().startswith(first)
            assert [each["custom_id"] for each in read_lines(out)] == ["id-1", request["custom_id"]]


@pytest.mark.parametrize("length", [40, 60, 80])
async def test_an_unfinished_first_line_is_cut_off_if_it_is_surely_ours(kind: str, tmp_path: Path, length: int) -> None:
    out, begun = tmp_path / "out.jsonl", completed_line("id-0")[:length]
    out.write_text(begun)
    if '"status_code":' not in begun:
        with pytest.raises(errors.ConfigurationError, match="line 1"):
            await run_batch(kind, UNREACHABLE, [batch_request(0)], out)
        assert out.read_text() == begun
    else:
        with ScriptedModelServer(echo) as server:
            assert (await run_batch(kind, server.url, [batch_request(0)], out)).completed == 1
        assert read_texts(out) == echoed_texts(0)


@pytest.mark.parametrize("rest", ["", "whole", "begun"])
@pytest.mark.parametrize("zeros", [1, 5000, 200_000])
async def test_zero_bytes_after_a_power_loss_are_cut_off_and_reported(
    kind: str, tmp_path: Path, zeros: int, rest: str, caplog: pytest.LogCaptureFixture
) -> None:
    out, line = tmp_path / "out.jsonl", completed_line("id-1")
    last = {"": "", "whole": line, "begun": line[:50]}[rest]
    out.write_text(completed_line("id-0") + "\n" + last + "\0" * zeros)
    with ScriptedModelServer(echo) as server, caplog.at_level(logging.WARNING, "cwinference"):
        result = await run_batch(kind, server.url, map(batch_request, range(2)), out)
    assert result.skipped == (2 if rest == "whole" else 1)
    assert [each["custom_id"] for each in read_lines(out)] == ["id-0", "id-1"]
    assert f"{out}: {zeros} zero bytes at its end" in caplog.text


def test_the_command_reports_zero_bytes(tmp_path: Path) -> None:
    requests, out = write_requests(tmp_path / "in.jsonl", [batch_request(0)]), tmp_path / "out.jsonl"
    out.write_text(completed_line("id-0") + "\n\0\0\0")
    code, output, error = run_command("batch", requests, out, "--base-url", UNREACHABLE)
    assert (code, output) == (0, "0 completed, 0 failed, 1 skipped\n")
    assert error == (
        f"cwinference batch: warning: {out}: 3 zero bytes at its end, as a power loss leaves them, are cut off\n"
    )


@pytest.mark.skipif(os.name != "posix", reason="limits of the size of files")
def test_a_full_disk_ends_the_command_with_advice_and_leaves_whole_lines(tmp_path: Path) -> None:
    requests, out = write_requests(tmp_path / "in.jsonl", map(batch_request, range(50))), tmp_path / "out.jsonl"
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))"
    with ScriptedModelServer(echo) as server:
        code, output, error = run_command("batch", requests, out, "--base-url", server.url, before=limit)
        assert (code, output) == (1, "")
        what, advice = error.splitlines()
        assert what == f"cwinference batch: {out}: File too large"
        assert advice == "once this is fixed, run it again: it continues with what is not completed"
        assert 0 < out.stat().st_size <= 5000
        assert out.read_bytes().endswith(b"\n")
        code, output, error = run_command("batch", requests, out, "--base-url", server.url)
    assert (code, error) == (0, "")
    assert read_texts(out) == echoed_texts(*range(50))


@pytest.mark.skipif(os.name != "posix", reason="an open file cannot be removed")
@pytest.mark.parametrize("what", ["removed", "replaced"])
async def test_a_file_that_is_lost_during_a_run_is_an_error_with_its_name(kind: str, tmp_path: Path, what: str) -> None:
    out, requests = tmp_path / "out.jsonl", [*map(batch_request, range(3))]

    def respond(request: HttpRequest) -> ScriptedResponse:
        if len(server.requests) == 1:
            out.unlink()
            if what == "replaced":
                out.touch()
        return echo(request)

    with ScriptedModelServer(respond) as server:
        with pytest.raises(OSError, match=f"the file was {what} while a batch was writing to it") as caught:
            await run_batch(kind, server.url, requests, out, concurrency=1)
        assert caught.value.filename == str(out)
        assert await run_batch(kind, server.url, requests, out) == BatchResult(3, 0, 0)
    assert read_texts(out) == echoed_texts(0, 1, 2)


async def test_a_slow_disk_slows_the_batch_down(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cwinference.inference.batch.result_files._MOST_UNWRITTEN", 0)
    with ScriptedModelServer(echo) as server:
        result: Any = await run_batch(kind, server.url, map(batch_request, range(20)), tmp_path / "out.jsonl")
    assert result.completed == 20
    assert read_texts(tmp_path / "out.jsonl") == echoed_texts(*range(20))

"""The files of a batch: what no batch wrote is never touched, and only whole successful responses count."""

import asyncio
import json
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cwinference import errors
from cwinference.inference import BatchResult
from tests.support.batch_files import UNREACHABLE, batch_request, echo, echoed_texts, read_lines, read_texts
from tests.support.batch_runs import (
    completed_line,
    response_line,
    run_batch,
    run_command,
    wait_until_async,
    write_requests,
)
from tests.support.scripted_model_server import HttpRequest, ScriptedModelServer, ScriptedResponse, json_response


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


REQUEST = json.dumps(batch_request(0))
BODY = json.dumps(batch_request(0)["body"])
FAILURE = '{"custom_id":"a","line":1,"response":null,"error":{"code":"unavailable","message":"no"}}'
FOREIGN = [
    "notes",
    "{",
    "[]",
    "0",
    '{"a":1}',
    '{"custom_id":"a"}',
    '{"custom_id":7,"response":null,"error":"x"}',
    '{"custom_id":"a","response":null,"error":null}',
    '{"custom_id":"a","response":"text","error":"x"}',
    '{"custom_id":"a","error":"x"}',
    response_line("a", 200, {"data": []}, None),
    response_line("a", 200, {"choices": {}}, None),
    response_line("a", 200, None, None),
    response_line("a", 7, {"choices": []}, None),
    response_line("a", 200, {"choices": []}, 0),
    completed_line("a", request_digest=5),
    completed_line("a", url="/v1/chat/completions"),
    REQUEST,
    BODY,
    FAILURE,
    "\0" * 100,
    "\0" * 100 + completed_line("a"),
    '{"custom_id":"a","response":' + "[" * 100_000,
    '{"custom_id":"a","response":{"status_code":' + "1" * 5000 + "}}",
    '{"custom_id":"a","response":{"status_code":4',
    '{"custom_id":"a","url":',
    '{"custom_id":"\\u0',
    "\udce9",
]


LEFT = ("{", '{"custom_id":"\\u0', "\0" * 100)
"""What a killed run or a power loss leaves after completions."""
BEFORE = completed_line("id-1") + "\n"


@pytest.mark.parametrize(
    ("before", "foreign", "end"),
    [
        pytest.param(before, foreign, end, id=f"{len(before)}-{foreign[:30]}-{end}".encode("unicode_escape").decode())
        for before in ("", BEFORE)
        for foreign in FOREIGN
        for end in ("", "\n")
        if not (before and foreign in LEFT and not end)
    ],
)
async def test_a_file_that_no_batch_wrote_is_refused_untouched(
    tmp_path: Path, before: str, foreign: str, end: str
) -> None:
    out = tmp_path / "out.jsonl"
    content = (before + foreign + end).encode("utf-8", "surrogateescape")
    out.write_bytes(content)
    message = f"^out: (line {1 + bool(before)} of )?{out} (is not a response of a batch|has nothing but zero bytes)"
    with pytest.raises(errors.ConfigurationError, match=message):
        await run_batch("async", UNREACHABLE, [batch_request(1)], out)
    assert out.read_bytes() == content
    assert not out.with_name("out.errors.jsonl").exists()


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("end", ["", "\n"])
async def test_swapped_arguments_are_refused(kind: str, tmp_path: Path, count: int, end: str) -> None:
    requests, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    requests.write_text("\n".join(json.dumps(batch_request(number)) for number in range(count)) + end)
    out.write_text(completed_line("id-0") + "\n")
    before = requests.read_bytes(), out.read_bytes()
    with pytest.raises(errors.ConfigurationError, match="line 1 of .*in.jsonl is not a response"):
        await run_batch(kind, UNREACHABLE, out, requests)
    assert (requests.read_bytes(), out.read_bytes()) == before


def symbolic(link: Path, target: Path) -> Path:
    link.symlink_to(target)
    return link


def hard(link: Path, target: Path) -> Path:
    link.hardlink_to(target)
    return link


def roundabout(link: Path, target: Path) -> Path:
    (target.parent / "folder").mkdir()
    return target.parent / "folder" / ".." / target.name


def chained(link: Path, target: Path) -> Path:
    return symbolic(link, symbolic(link.with_name("between"), target))


@pytest.mark.parametrize("connect", [symbolic, hard, roundabout, chained])
async def test_the_file_of_requests_is_no_file_of_results(
    kind: str, tmp_path: Path, connect: Callable[[Path, Path], Path]
) -> None:
    requests = write_requests(tmp_path / "in.jsonl", map(batch_request, range(3)))
    before = requests.read_bytes()
    other = connect(tmp_path / "link.jsonl", requests)
    for given, out in ((requests, other), (other, requests)):
        with pytest.raises(errors.ConfigurationError, match="^out: .* is the file of requests; use another out"):
            await run_batch(kind, UNREACHABLE, given, out)
    assert requests.read_bytes() == before


@pytest.mark.parametrize("connect", [None, symbolic, hard])
async def test_the_file_of_requests_is_no_file_of_failures(
    kind: str, tmp_path: Path, connect: Callable[[Path, Path], Path] | None
) -> None:
    name = "run.errors.jsonl" if connect is None else "in.jsonl"
    requests = write_requests(tmp_path / name, map(batch_request, range(3)))
    before = requests.read_bytes()
    if connect is not None:
        connect(tmp_path / "run.errors.jsonl", requests)
    with pytest.raises(errors.ConfigurationError, match="failures go to .*run.errors.jsonl, which is the file of req"):
        await run_batch(kind, UNREACHABLE, requests, tmp_path / "run.jsonl")
    assert requests.read_bytes() == before
    assert not (tmp_path / "run.jsonl").exists()


async def test_failures_do_not_go_to_the_file_of_completions(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "run.jsonl"
    out.write_text(completed_line("a") + "\n")
    hard(tmp_path / "run.errors.jsonl", out)
    with pytest.raises(errors.ConfigurationError, match="failures go to .*, which is the same file as .*run.jsonl"):
        await run_batch(kind, UNREACHABLE, [batch_request(1)], out)
    assert out.read_text() == completed_line("a") + "\n"


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize(
    "foreign",
    [
        "notes", REQUEST, completed_line("a"), FAILURE.replace('"line":1', '"line":"1"'), "\0\0", "{",
        FAILURE.replace('"response":null', '"response":{}'), FAILURE[:-1] + ',"more":1}', "[" * 100_000,
        '{"custom_id":"a","line":1,"resp', '{"custom_id":"a","line":"',
    ],
    ids=lambda text: text[:30].encode("unicode_escape").decode(),
)  # fmt: skip
async def test_a_file_of_failures_that_no_batch_wrote_is_refused_untouched(
    tmp_path: Path, foreign: str, end: str
) -> None:
    out, failures = tmp_path / "run.jsonl", tmp_path / "run.errors.jsonl"
    failures.write_text(foreign + end)
    with pytest.raises(errors.ConfigurationError, match=f"^out: failures go to {failures}, "):
        await run_batch("async", UNREACHABLE, [batch_request(1)], out)
    assert failures.read_text() == foreign + end
    assert not out.exists()


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


async def test_an_empty_file_at_the_place_of_failures_stays(kind: str, tmp_path: Path) -> None:
    failures = tmp_path / "run.errors.jsonl"
    failures.touch()
    with ScriptedModelServer(echo) as server:
        await run_batch(kind, server.url, [batch_request(1)], tmp_path / "run.jsonl")
    assert failures.exists()


async def test_failures_behind_a_link_are_emptied_and_the_link_stays(kind: str, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text(FAILURE + "\n")
    link = symbolic(tmp_path / "run.errors.jsonl", target)
    with ScriptedModelServer(echo) as server:
        await run_batch(kind, server.url, [batch_request(1)], tmp_path / "run.jsonl")
    assert link.is_symlink()
    assert target.read_text() == ""


async def test_a_file_that_took_the_place_of_failures_stays(kind: str, tmp_path: Path) -> None:
    failures = tmp_path / "run.errors.jsonl"
    failures.write_text(FAILURE + "\n")

    def respond(request: HttpRequest) -> ScriptedResponse:
        failures.rename(tmp_path / "moved")
        failures.write_text("notes")
        return echo(request)

    with ScriptedModelServer(respond) as server:
        await run_batch(kind, server.url, [batch_request(1)], tmp_path / "run.jsonl")
    assert failures.read_text() == "notes"


def test_files_of_results_are_not_where_the_command_prints(tmp_path: Path) -> None:
    requests = write_requests(tmp_path / "in.jsonl", map(batch_request, range(3)))
    out, failures = tmp_path / "out.jsonl", tmp_path / "out.errors.jsonl"
    with out.open("a") as stream:
        code, _, error = run_command("batch", requests, out, "--base-url", UNREACHABLE, stdout=stream)
        assert (code, "is where standard output goes" in error) == (2, True)
    with failures.open("a") as stream:
        code, _, _ = run_command("batch", requests, out, "--base-url", UNREACHABLE, stderr=stream)
    assert code == 2
    assert "is where standard error goes" in failures.read_text()
    assert out.read_text() == ""


def test_what_other_code_prints_to_closed_streams_does_not_end_up_in_a_file(tmp_path: Path) -> None:
    requests = write_requests(tmp_path / "in.jsonl", map(batch_request, range(3)))
    out = tmp_path / "out.jsonl"
    program = """
import contextlib, os, sys
from cwinference import Inference
def noisy():
    for number, request in enumerate(open(sys.argv[2])):
        for descriptor in (0, 1, 2):
            with contextlib.suppress(OSError):
                os.write(descriptor, b"noise")
        yield request
os.closerange(0, 3)
with Inference(sys.argv[1], token="t") as inference:
    inference.batch(noisy(), out=sys.argv[3])
os._exit(0)
"""
    with ScriptedModelServer(echo) as server:
        code, _, _ = run_command(server.url, requests, out, before=program)
    assert code == 0
    assert read_texts(out) == echoed_texts(0, 1, 2)


LONG = "x" * 250


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (".", "is a folder"),
        ("folder", "is a folder"),
        ("pipe", "is not a regular file"),
        ("dangling", "is a symbolic link to a file that does not exist"),
        ("loop", "Too many levels of symbolic links"),
        ("a\0b", "null"),
        (f"{LONG}{LONG}", "File name too long"),
        (LONG, "failures: .*File name too long"),
        ("a\ud800b", "encode"),
        ("no/out.jsonl", "its folder does not exist"),
        ("file/out.jsonl", "Not a directory"),
        ("taken", "failures: .* is a folder"),
        ("linked", "failures: .* is a symbolic link to a file that does not exist"),
    ],
)
async def test_a_path_that_cannot_be_used_is_one_clear_line(kind: str, tmp_path: Path, name: str, reason: str) -> None:
    prepare_paths(tmp_path)
    with pytest.raises(errors.ConfigurationError, match=f"(?s)^out: .*{reason}") as caught:
        await run_batch(kind, UNREACHABLE, [batch_request(1)], os.fspath(tmp_path) + f"/{name}")
    assert len(str(caught.value).splitlines()) == 1


def prepare_paths(folder: Path) -> None:
    (folder / "folder").mkdir()
    (folder / "taken.errors.jsonl").mkdir()
    (folder / "file").touch()
    os.mkfifo(folder / "pipe")
    symbolic(folder / "dangling", folder / "nowhere")
    symbolic(folder / "linked.errors.jsonl", folder / "nowhere")
    symbolic(folder / "loop", folder / "loop")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("folder", "is a folder"),
        ("dangling", "No such file"),
        ("loop", "Too many levels of symbolic links"),
        ("a\0b", "null"),
        (f"{LONG}{LONG}", "File name too long"),
        ("file/in.jsonl", "Not a directory"),
    ],
)
async def test_a_path_of_requests_that_cannot_be_used_is_one_clear_line(
    kind: str, tmp_path: Path, name: str, reason: str
) -> None:
    prepare_paths(tmp_path)
    with pytest.raises(errors.ConfigurationError, match=f"^requests: .*{reason}"):
        await run_batch(kind, UNREACHABLE, os.fspath(tmp_path) + f"/{name}", tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
    for wrong in ("", b"in.jsonl", 5):
        with pytest.raises(errors.ConfigurationError, match="^requests: expected"):
            await run_batch(kind, UNREACHABLE, wrong, tmp_path / "out.jsonl")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="everything is permitted")
def test_a_missing_permission_is_one_clear_line(kind: str, tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").touch(0o400)
    with pytest.raises(errors.ConfigurationError, match="^out: .*Permission denied"):
        asyncio.run(run_batch(kind, UNREACHABLE, [batch_request(1)], tmp_path / "out.jsonl"))
    (tmp_path / "out.jsonl").chmod(0o600)
    tmp_path.chmod(0o500)
    with pytest.raises(errors.ConfigurationError, match="^out: failures: .*its folder is not writable"):
        asyncio.run(run_batch(kind, UNREACHABLE, [batch_request(1)], tmp_path / "out.jsonl"))


async def test_a_folder_without_permission_is_found_before_the_first_failure(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(errors.ConfigurationError, match="^out: failures: .*its folder is not writable"):
        await run_batch(kind, UNREACHABLE, [batch_request(1)], tmp_path / "out.jsonl")


async def test_two_batches_cannot_share_a_file_of_failures(kind: str, tmp_path: Path) -> None:
    (tmp_path / "run.errors.jsonl").write_text(FAILURE + "\n")
    go = threading.Event()

    def respond(request: HttpRequest) -> ScriptedResponse:
        go.wait(10)
        return echo(request)

    with ScriptedModelServer(respond) as server:
        first = asyncio.create_task(run_batch(kind, server.url, [batch_request(1)], tmp_path / "run.jsonl"))
        await wait_until_async(lambda: bool(server.requests))
        with pytest.raises(errors.ConfigurationError, match="^out: failures: another batch is writing to"):
            await run_batch(kind, server.url, [batch_request(1)], tmp_path / "run")
        go.set()
        await first


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
def test_a_full_disk_ends_the_command_with_one_line_and_leaves_whole_lines(tmp_path: Path) -> None:
    requests, out = write_requests(tmp_path / "in.jsonl", map(batch_request, range(50))), tmp_path / "out.jsonl"
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))"
    with ScriptedModelServer(echo) as server:
        code, output, error = run_command("batch", requests, out, "--base-url", server.url, before=limit)
        assert (code, output, error.count("\n")) == (1, "", 1)
        assert error.startswith(f"cwinference batch: {out}: File too large; ")
        assert 0 < out.stat().st_size <= 5000
        assert out.read_bytes().endswith(b"\n")
        code, output, error = run_command("batch", requests, out, "--base-url", server.url)
    assert (code, error) == (0, "")
    assert read_texts(out) == echoed_texts(*range(50))


async def test_a_slow_disk_slows_the_batch_down(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cwinference.inference.batch.result_files._MOST_UNWRITTEN", 0)
    with ScriptedModelServer(echo) as server:
        result: Any = await run_batch(kind, server.url, map(batch_request, range(20)), tmp_path / "out.jsonl")
    assert result.completed == 20
    assert read_texts(tmp_path / "out.jsonl") == echoed_texts(*range(20))

"""The files of a batch: what no batch wrote is never touched, and an unusable path is one clear line."""

import asyncio
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cwinference import errors
from tests.support.batch_files import UNREACHABLE, batch_request, echo, echoed_texts, read_texts
from tests.support.batch_runs import FAILURE, completed_line, response_line, run_batch, run_command, write_requests
from tests.support.scripted_model_server import HttpRequest, ScriptedModelServer, ScriptedResponse
from tests.support.waiting import wait_until_async


@pytest.mark.parametrize("content", ["some notes", "notes\n", '{"id": 1}\n', '{"custom_id": 1}\n', "\n"])
async def test_a_file_without_completions_is_left_unchanged(kind: str, tmp_path: Path, content: str) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text(content)
    with pytest.raises(errors.ConfigurationError, match="line 1"):
        await run_batch(kind, UNREACHABLE, map(batch_request, range(4)), out)
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
            await run_batch(kind, UNREACHABLE, requests, out)
    with pytest.raises(errors.ConfigurationError, match="concurrency"):
        await run_batch(kind, UNREACHABLE, source, tmp_path / "out.jsonl", concurrency=0)


async def test_two_batches_cannot_write_to_the_same_file(kind: str, tmp_path: Path) -> None:
    out, go = tmp_path / "out.jsonl", threading.Event()

    def respond(request: HttpRequest) -> ScriptedResponse:
        go.wait(60)
        return echo(request)

    with ScriptedModelServer(respond) as server:
        first = asyncio.create_task(run_batch(kind, server.url, map(batch_request, range(2)), out))
        await wait_until_async(lambda: bool(server.requests))
        with pytest.raises(errors.ConfigurationError, match="another batch"):
            await run_batch(kind, server.url, map(batch_request, range(2)), out)
        go.set()
        assert (await first).completed == 2


REQUEST = json.dumps(batch_request(0))


BODY = json.dumps(batch_request(0)["body"])


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
    symbolic(tmp_path / "other.errors.jsonl", tmp_path / "run.errors.jsonl")
    go = threading.Event()

    def respond(request: HttpRequest) -> ScriptedResponse:
        go.wait(60)
        return echo(request)

    with ScriptedModelServer(respond) as server:
        first = asyncio.create_task(run_batch(kind, server.url, [batch_request(1)], tmp_path / "run.jsonl"))
        await wait_until_async(lambda: bool(server.requests))
        with pytest.raises(errors.ConfigurationError, match="^out: failures: another batch is writing to"):
            await run_batch(kind, server.url, [batch_request(1)], tmp_path / "other.jsonl")
        go.set()
        await first

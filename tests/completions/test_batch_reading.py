"""How a batch reads its requests: without holding anything else up, and whatever they contain."""

import asyncio
import codecs
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cwinference import errors, types
from cwinference.inference import BatchResult, Inference
from cwinference.inference.batch import source
from tests.support.batch_files import (
    UNREACHABLE,
    batch_request,
    echo,
    echoed_texts,
    read_lines,
    read_texts,
    wait_until,
)
from tests.support.batch_runs import (
    completed_line,
    run_batch,
    run_command,
    start_command,
    wait_until_async,
    write_requests,
)
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


def has_lines(path: Path, count: int) -> bool:
    return path.exists() and path.read_bytes().count(b"\n") >= count


async def test_results_are_written_while_the_next_request_is_awaited(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"

    def slowly() -> Iterator[Any]:
        for number in range(5):
            wait_until(partial(has_lines, out, number))
            yield batch_request(number)

    with ScriptedModelServer(echo) as server:
        assert (await run_batch(kind, server.url, slowly(), out, settings={"timeout": 1.0})).completed == 5
    assert read_texts(out) == echoed_texts(*range(5))


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_slow_writer_of_a_named_pipe_delays_no_results(kind: str, tmp_path: Path, ordered: bool) -> None:
    pipe, out = tmp_path / "pipe", tmp_path / "out.jsonl"
    os.mkfifo(pipe)

    def write() -> None:
        with pipe.open("w") as file:
            for number in range(5):
                wait_until(partial(has_lines, out, number))
                file.write(json.dumps(batch_request(number)) + "\n")
                file.flush()

    writer = threading.Thread(target=write)
    writer.start()
    with ScriptedModelServer(echo) as server:
        result = await run_batch(kind, server.url, pipe, out, ordered=ordered, concurrency=2)
    writer.join()
    assert result == BatchResult(5, 0, 0)
    assert read_texts(out) == echoed_texts(*range(5))


async def test_an_event_loop_goes_on_while_an_iterable_blocks(tmp_path: Path) -> None:
    blocked, go = threading.Event(), threading.Event()

    def requests() -> Iterator[Any]:
        yield batch_request(0)
        blocked.set()
        assert go.wait(10)
        yield batch_request(1)

    with ScriptedModelServer(echo) as server:
        running = asyncio.create_task(run_batch("async", server.url, requests(), tmp_path / "out.jsonl"))
        await wait_until_async(blocked.is_set)
        for _ in range(100):
            await asyncio.sleep(0)
        go.set()
        assert (await running).completed == 2


async def test_skipping_what_is_completed_delays_no_response(kind: str, tmp_path: Path) -> None:
    out, responded = tmp_path / "out.jsonl", threading.Event()
    out.write_text("".join(f"{completed_line(f'id-{number}')}\n" for number in range(1, 3000)))

    def requests() -> Iterator[Any]:
        yield batch_request(0)
        for number in range(1, 3000):
            yield batch_request(number)
            if number % 1000 == 0:
                wait_until(responded.is_set)

    def respond(request: HttpRequest) -> ScriptedResponse:
        responded.set()
        return echo(request)

    with ScriptedModelServer(respond) as server:
        result = await run_batch(kind, server.url, requests(), out, settings={"timeout": 5.0})
    assert result == BatchResult(1, 0, 2999)


@pytest.mark.parametrize("error", [OSError("lost"), ZeroDivisionError("none"), SystemExit(3)])
async def test_an_error_of_an_iterable_ends_the_batch_after_what_it_yielded(
    kind: str, tmp_path: Path, error: BaseException
) -> None:
    def requests() -> Iterator[Any]:
        yield from map(batch_request, range(5))
        raise error

    with ScriptedModelServer(echo) as server:
        with pytest.raises(type(error)) as caught:
            await run_batch(kind, server.url, requests(), tmp_path / "out.jsonl", concurrency=2)
        assert caught.value is error
    assert read_texts(tmp_path / "out.jsonl") == echoed_texts(*range(5))


class Unopenable:
    """An iterable that cannot be iterated over."""

    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError("not now")


async def test_an_iterable_that_cannot_be_begun_ends_the_batch(kind: str, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not now"):
        await run_batch(kind, UNREACHABLE, Unopenable(), tmp_path / "out.jsonl")


async def test_an_iterable_that_blocks_forever_does_not_prevent_a_cancellation(tmp_path: Path) -> None:
    forever, out = threading.Event(), tmp_path / "out.jsonl"

    def requests() -> Iterator[Any]:
        yield batch_request(0)
        forever.wait()

    with ScriptedModelServer(echo) as server:
        running = asyncio.create_task(run_batch("async", server.url, requests(), out))
        await wait_until_async(partial(has_lines, out, 1))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        forever.set()
        assert await run_batch("async", server.url, map(batch_request, range(2)), out) == BatchResult(1, 0, 1)


@pytest.mark.parametrize("kind", ["Inference", "AsyncInference"])
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_an_iterable_that_blocks_forever_does_not_prevent_ctrl_c(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out.jsonl"
    program = f"""
import asyncio, signal, sys, threading
from cwinference.inference import {kind}
signal.signal(signal.SIGINT, signal.default_int_handler)
def requests():
    yield {batch_request(0)!r}
    threading.Event().wait()
def sync_run():
    with Inference(sys.argv[1], token="t") as inference:
        inference.batch(requests(), out=sys.argv[2])
async def async_run():
    async with AsyncInference(sys.argv[1], token="t") as inference:
        await inference.batch(requests(), out=sys.argv[2])
try:
    sync_run() if "{kind}" == "Inference" else asyncio.run(async_run())
except KeyboardInterrupt:
    sys.exit(42)
"""
    with ScriptedModelServer(echo) as server, start_command(server.url, out, before=program) as process:
        wait_until(lambda: has_lines(out, 1))
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10) == ("", "")
        assert process.returncode == 42
    assert read_texts(out) == echoed_texts(0)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_ends_the_command_while_a_named_pipe_has_no_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    out = tmp_path / "out.jsonl"
    restore = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    arguments = ("batch", tmp_path / "pipe", out, "--base-url", UNREACHABLE)
    with start_command(*arguments, before=restore) as process:
        wait_until(out.exists)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10) == ("", "interrupted; run the same command again to continue\n")
        assert process.returncode == 130


async def test_few_requests_are_read_ahead(kind: str, tmp_path: Path) -> None:
    read, go = 0, threading.Event()

    def requests() -> Iterator[Any]:
        nonlocal read
        for number in range(3000):
            read = number + 1
            yield batch_request(number)

    def respond(request: HttpRequest) -> ScriptedResponse:
        wait_until(lambda: read >= 1000 or go.is_set())
        assert read <= len(server.requests) + 1000 + 8 + 1
        go.set()
        return echo(request)

    with ScriptedModelServer(respond) as server:
        result = await run_batch(kind, server.url, requests(), tmp_path / "out.jsonl", concurrency=8)
    assert result.completed == 3000


async def test_large_requests_are_read_ahead_by_their_size(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cwinference.inference.batch.request_queue._BYTES_AHEAD", 100_000)
    read, responded = 0, threading.Event()

    def requests() -> Iterator[Any]:
        nonlocal read
        for number in range(100):
            read = number + 1
            yield batch_request(number, padding="x" * 10_000)

    def respond(request: HttpRequest) -> ScriptedResponse:
        if not responded.is_set():
            wait_until(lambda: read >= 10)
            assert read < 20
            responded.set()
        return echo(request)

    with ScriptedModelServer(respond) as server:
        result = await run_batch(kind, server.url, requests(), tmp_path / "out.jsonl", concurrency=2)
    assert result.completed == 100


async def test_an_iterable_sees_the_context_of_the_call(kind: str, tmp_path: Path) -> None:
    variable: ContextVar[str] = ContextVar("variable")
    variable.set("text 0")

    def requests() -> Iterator[Any]:
        yield {"model": MODEL, "messages": [{"role": "user", "content": variable.get()}], "custom_id": "id-0"}

    with ScriptedModelServer(echo) as server:
        await run_batch(kind, server.url, requests(), tmp_path / "out.jsonl")
    assert read_texts(tmp_path / "out.jsonl") == echoed_texts(0)


class Odd(Mapping[str, Any]):
    """A mapping that cannot be read."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("gone")

    def __iter__(self) -> Iterator[str]:
        return iter(["model"])

    def __len__(self) -> int:
        return 1


def chat(text: str) -> str:
    """Return a request with this JSON as an option."""
    return f'{{"model": "m", "messages": [{{}}], "option": {text}}}'


ODD_LINES: list[tuple[bytes, str]] = [
    (b"[" * 100_000, "nested too deeply"),
    (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
    (chat("[" * 100_000 + "]" * 100_000).encode(), "nested too deeply"),
    (chat('"\xff"').encode("latin-1"), "not valid UTF-8"),
    (b'{"model": "\xed\xa0\x80", "messages": [{}]}', "not valid UTF-8"),
    (chat('"\\ud800"').encode(), "option: cannot be encoded"),
    (b'{"custom_id": "\\ud800", "model": "\\udfff", "messages": [{}]}', "model: cannot be encoded"),
    (chat("1e999").encode(), "option: cannot be encoded"),
    (chat("NaN").encode(), "option: cannot be encoded"),
    (chat("-Infinity").encode(), "option: cannot be encoded"),
    (chat("1" * 5000).encode(), "too many digits"),
    (b"\0", "not JSON"),
    (b"\0" * 1000 + b"{", "not JSON"),
    (b'{"model"\0: "m"}', "not JSON"),
    (b"null", "expected an object, got NoneType"),
    (b"true", "expected an object, got bool"),
    (b'"text"', "expected an object, got str"),
    (b"NaN", "expected an object, got float"),
    (b"{} {}", "not JSON"),
    (b"{'a': 1}", "not JSON"),
    (b'{"body": null}', "body: expected an object"),
    (b'{"body": [], "url": []}', "body: expected an object"),
    (b'{"url": {}, "body": {"messages": [{}], "model": "m"}}', "url: expected /v1/chat/completions"),
    (b'{"url": 1e999, "body": {"messages": [{}], "model": "m"}}', "url: expected /v1/chat/completions"),
    (b'{"url": "http://[", "body": {"messages": [{}], "model": "m"}}', "url: expected /v1/chat/completions"),
    (b'{"custom_id": [], "model": "m", "prompt": "p"}', "custom_id: expected a string"),
    (b'{"model": [], "prompt": "p"}', "model: expected"),
    (b'{"model": "m", "prompt": {}}', "prompt: expected a list"),
]


@pytest.mark.parametrize(("odd", "message"), ODD_LINES, ids=lambda value: repr(value[:30]))
async def test_whatever_a_line_contains_only_that_line_fails(
    kind: str, tmp_path: Path, odd: bytes, message: str
) -> None:
    requests, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    first, last = (json.dumps(batch_request(number)).encode() for number in (0, 1))
    requests.write_bytes(b"\n".join([first, odd, last]))
    with ScriptedModelServer(echo) as server:
        for skipped in (0, 2):
            result = await run_batch(kind, server.url, requests, out)
            assert result == BatchResult(completed=2 - skipped, failed=1, skipped=skipped)
            (failure,) = read_lines(tmp_path / "out.errors.jsonl")
            assert failure["line"] == 2
            assert message in failure["error"]["message"]
    assert read_texts(out) == echoed_texts(0, 1)


@pytest.mark.parametrize("extra", [200, 500, 900])
async def test_a_deep_line_or_response_ends_no_batch(kind: str, tmp_path: Path, extra: int) -> None:
    """Near to what can be read, a request or a response may still count; what was written can be read back."""
    requests, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    nested = "[" * extra + "]" * extra
    text = json.dumps(batch_request(0)).replace('"text 0"}]', f'"text 0"}}], "option": {nested}')
    requests.write_text(f"{text}\n{json.dumps(batch_request(1))}\n")

    def respond(request: HttpRequest) -> ScriptedResponse:
        body = json.dumps(completion("text 0")).replace('"usage"', f'"deep": {nested}, "usage"').encode()
        return ScriptedResponse([body], length=len(body))

    with ScriptedModelServer(respond) as server:
        first = await run_batch(kind, server.url, requests, out)
        assert first.completed + first.failed == 2
        again = await run_batch(kind, server.url, requests, out)
    assert again.skipped == first.completed


async def test_odd_objects_of_an_iterable_fail_alone(kind: str, tmp_path: Path) -> None:
    endless: dict[str, Any] = {"model": MODEL, "messages": MESSAGES}
    endless["self"] = endless
    odd = [Odd(), {"body": Odd()}, endless, {**endless, "self": object()}, 5, None, b"{", "[", {"model": MODEL, 5: 5}]
    with ScriptedModelServer(echo) as server:
        requests = [*odd, json.dumps(batch_request(0)), json.dumps(batch_request(1)).encode(), "\n", b""]
        result = await run_batch(kind, server.url, requests, tmp_path / "out.jsonl")
    assert result == BatchResult(completed=2, failed=len(odd), skipped=0)
    assert read_texts(tmp_path / "out.jsonl") == echoed_texts(0, 1)


@pytest.mark.parametrize(
    ("routing", "model"),
    [
        (types.PathBasedRouting(), ".."),
        (types.HeaderBasedRouting(header_name="x-model"), "mod\u00e8le"),
        (types.HeaderBasedRouting(header_name="x-model"), "a\nb"),
    ],
)
async def test_a_model_that_cannot_be_routed_fails_alone(kind: str, tmp_path: Path, routing: Any, model: str) -> None:
    odd = {**batch_request(7), "body": {"model": model, "messages": MESSAGES}}
    with ScriptedModelServer(echo) as server:
        requests = [odd, batch_request(0), batch_request(1)]
        settings = {"routing": routing}
        result = await run_batch(kind, server.url, requests, tmp_path / "out.jsonl", settings=settings)
    assert result == BatchResult(completed=2, failed=1, skipped=0)
    assert "model: " in (result.first_failure or "")


async def test_a_line_that_is_too_long_fails_alone(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_LONGEST", 10_000)
    monkeypatch.setattr(source, "_BLOCK", 1000)
    requests = tmp_path / "in.jsonl"
    lines = [batch_request(0), "x" * 10_000, batch_request(1), batch_request(2, text="y" * 3000), "x" * 50_000]
    requests.write_text("\n".join(map(json.dumps, lines)))
    with ScriptedModelServer(echo) as server:
        result = await run_batch(kind, server.url, requests, tmp_path / "out.jsonl")
    assert (result.completed, result.failed) == (3, 2)
    assert [each["line"] for each in read_lines(tmp_path / "out.errors.jsonl")] == [2, 5]
    assert "longer than" in (result.first_failure or "")


@pytest.mark.parametrize("block", [1, 2, 3, 7, 1 << 18])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
async def test_files_in_utf_8_and_utf_16_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, block: int
) -> None:
    monkeypatch.setattr(source, "_BLOCK", block)
    requests, out, text = tmp_path / "in.jsonl", tmp_path / "out.jsonl", "\u00e9 \u2028 \u0a0a \u010d \U0001f5fc"
    lines = [{**batch_request(number), "custom_id": f"{number} {text}"} for number in range(2)]
    content = "\r\n\n".join(json.dumps(each, ensure_ascii=False) for each in lines).encode(encoding)
    requests.write_bytes(codecs.BOM_UTF16_BE + content if encoding == "utf-16-be" else content)
    with ScriptedModelServer(echo) as server:
        result = await run_batch("async", server.url, requests, out)
    assert result == BatchResult(2, 0, 0)
    assert read_texts(out) == {f"{number} {text}": f"text {number}" for number in range(2)}


@pytest.mark.parametrize("odd", [b"\x00", b"\x3d\xd8", b"\x00\xdc\x0a\x00"])
async def test_what_is_not_valid_in_utf_16_fails_alone(kind: str, tmp_path: Path, odd: bytes) -> None:
    requests = tmp_path / "in.jsonl"
    requests.write_bytes(f"{json.dumps(batch_request(0))}\n".encode("utf-16") + odd)
    with ScriptedModelServer(echo) as server:
        result = await run_batch(kind, server.url, requests, tmp_path / "out.jsonl")
    assert result == BatchResult(1, 1, 0)
    assert "line 2: the line is not valid UTF-8" in (result.first_failure or "")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-32"])
async def test_other_encodings_are_refused_by_name(kind: str, tmp_path: Path, encoding: str) -> None:
    requests = tmp_path / "in.jsonl"
    requests.write_bytes(json.dumps(batch_request(0)).encode(encoding))
    name = "UTF-16 without a byte order mark" if "16" in encoding else "UTF-32"
    with pytest.raises(errors.ConfigurationError, match=f"^requests: {requests} is in {name}; convert it to UTF-8"):
        await run_batch(kind, UNREACHABLE, requests, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


URLS = [
    ("/v1/chat/completions", "chat"),
    ("/chat/completions", "chat"),
    ("/v4/chat/completions", "chat"),
    ("/v1beta2/chat/completions/", "chat"),
    ("https://example.com/v1/chat/completions", "chat"),
    ("https://example.com/api/paas/v4/chat/completions?version=1", "chat"),
    ("http://example.com/chat/completions", "chat"),
    ("/v1/completions", "text"),
    ("/completions", "text"),
    ("/v2/completions", "text"),
    ("https://example.com/openai/v1/completions", "text"),
    ("/v1/embeddings", ""),
    ("/v1/responses", ""),
    ("/v1/chat", ""),
    ("/v1/chat/completions/x", ""),
    ("/foo/chat/completions", ""),
    ("https://example.com/v1/embeddings", ""),
    ("chat.completions", ""),
    ("", ""),
]


@pytest.mark.parametrize(("url", "meaning"), URLS)
async def test_the_urls_of_other_services_mean_the_same(tmp_path: Path, url: str, meaning: str) -> None:
    body = {"model": MODEL, "messages": MESSAGES, "prompt": "p"}
    with ScriptedModelServer(lambda _: json_response({"choices": []})) as server:
        result = await run_batch("async", server.url, [{"url": url, "body": body}], tmp_path / "out.jsonl")
        assert [each.path for each in server.requests] == {
            "chat": ["/v1/chat/completions"],
            "text": ["/v1/completions"],
            "": [],
        }[meaning]
    if not meaning:
        assert f"url: expected /v1/chat/completions or /v1/completions, got {url!r}" in (result.first_failure or "")


def test_the_command_opens_its_input_once(tmp_path: Path) -> None:
    """A second opening of a named pipe would wait for another writer, and the first writer would be lost."""
    pipe, out = tmp_path / "pipe", tmp_path / "out.jsonl"
    os.mkfifo(pipe)
    text = "".join(f"{json.dumps(batch_request(number))}\n" for number in range(2000))
    writer = threading.Thread(target=pipe.write_text, args=(text,))
    writer.start()
    with ScriptedModelServer(echo) as server:
        code, output, error = run_command("batch", pipe, out, "--base-url", server.url)
    writer.join(10)
    assert (code, output, error) == (0, "2000 completed, 0 failed, 0 skipped\n", "")
    assert read_texts(out) == echoed_texts(*range(2000))


@pytest.mark.parametrize("form", ["pipe", "file", "socket"])
def test_the_command_reads_standard_input(tmp_path: Path, form: str) -> None:
    requests, out = write_requests(tmp_path / "in.jsonl", map(batch_request, range(3))), tmp_path / "out.jsonl"
    reading, writing = os.pipe()
    ours, theirs = socket.socketpair()
    with ScriptedModelServer(echo) as server, requests.open() as file, ours, theirs:
        os.write(writing, requests.read_bytes())
        os.close(writing)
        ours.sendall(requests.read_bytes())
        ours.shutdown(socket.SHUT_WR)
        stdin: Any = {"pipe": reading, "file": file, "socket": theirs}[form]
        code, output, error = run_command("batch", "/dev/stdin", out, "--base-url", server.url, stdin=stdin)
    os.close(reading)
    assert (code, output, error) == (0, "3 completed, 0 failed, 0 skipped\n", "")


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
            started = time.process_time()
            requests = map(batch_request, range(count))
            result = await run_batch(kind, server.url, requests, out, concurrency=1_000_000, limit=1_000_000)
            assert result.completed == count
            assert time.process_time() - started < 1
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
    with ScriptedModelServer(echo) as server:
        options = {"concurrency": 1_000_000, "limit": 20}
        result = await run_batch(kind, server.url, map(batch_request, range(2000)), tmp_path / "o.jsonl", **options)
        assert server.connections <= 20
    assert result.completed == 2000


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
        others.wait(10)
        return json_response({"error": {"message": "no"}}, 401)

    def requests() -> Iterator[Any]:
        yield from map(batch_request, range(5))
        wait_until(lambda: len(server.requests) == 5)
        others.set()

    with ScriptedModelServer(respond) as server, pytest.raises(errors.Unauthenticated):
        await run_batch(kind, server.url, requests(), tmp_path / "out.jsonl", ordered=True, concurrency=5)
    assert read_texts(tmp_path / "out.jsonl") == echoed_texts(*range(1, 5))


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


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="there is no file that cannot be read")
async def test_an_input_that_cannot_be_read_is_an_error_with_its_name(kind: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output error: '/proc/self/mem'"):
        await run_batch(kind, UNREACHABLE, "/proc/self/mem", tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()

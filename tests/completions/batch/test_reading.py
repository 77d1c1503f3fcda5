"""How a batch reads its requests: without holding anything else up, and each input once."""

import asyncio
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cwinference.inference import BatchResult
from tests.support.batch_files import UNREACHABLE, batch_request, echo, echoed_texts, read_texts
from tests.support.batch_runs import completed_line, run_batch, run_command, start_command, write_requests
from tests.support.scripted_model_server import MODEL, HttpRequest, ScriptedModelServer, ScriptedResponse
from tests.support.waiting import wait_until, wait_until_async


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
        assert go.wait(60)
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
        assert process.communicate(timeout=60) == ("", "")
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
        assert process.communicate(timeout=60) == ("", "interrupted; run the same command again to continue\n")
        assert process.returncode == 130


async def test_few_requests_are_read_ahead(kind: str, tmp_path: Path) -> None:
    read, go = 0, threading.Event()

    def requests() -> Iterator[Any]:
        nonlocal read
        for number in range(3000):
            read = number + 1
            yield batch_request(number)

    def respond(request: HttpRequest) -> ScriptedResponse:
        wait_until(lambda: read >= 200 or go.is_set())
        assert read <= len(server.requests) + 200 + 8 + 1
        go.set()
        return echo(request)

    with ScriptedModelServer(respond) as server:
        result = await run_batch(kind, server.url, requests(), tmp_path / "out.jsonl", concurrency=8)
    assert result.completed == 3000


async def test_large_requests_are_read_ahead_by_their_size(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cwinference.inference.batch.request_queue._BYTES_AHEAD", 100_000)
    read, read_first = 0, list[int]()
    is_later, responded = threading.Lock(), threading.Event()

    def requests() -> Iterator[Any]:
        nonlocal read
        for number in range(100):
            read = number + 1
            yield batch_request(number, padding="x" * 10_000)

    def respond(request: HttpRequest) -> ScriptedResponse:
        if is_later.acquire(blocking=False):
            wait_until(lambda: read >= 10)
            read_first.append(read)
            responded.set()
        assert responded.wait(10)
        return echo(request)

    with ScriptedModelServer(respond) as server:
        result = await run_batch(kind, server.url, requests(), tmp_path / "out.jsonl", concurrency=2)
    assert result.completed == 100
    assert read_first[0] < 20


async def test_an_iterable_sees_the_context_of_the_call(kind: str, tmp_path: Path) -> None:
    variable: ContextVar[str] = ContextVar("variable")
    variable.set("text 0")

    def requests() -> Iterator[Any]:
        yield {"model": MODEL, "messages": [{"role": "user", "content": variable.get()}], "custom_id": "id-0"}

    with ScriptedModelServer(echo) as server:
        await run_batch(kind, server.url, requests(), tmp_path / "out.jsonl")
    assert read_texts(tmp_path / "out.jsonl") == echoed_texts(0)


def test_the_command_opens_its_input_once(tmp_path: Path) -> None:
    """A second opening of a named pipe would wait for another writer, and the first writer would be lost."""
    pipe, out = tmp_path / "pipe", tmp_path / "out.jsonl"
    os.mkfifo(pipe)
    text = "".join(f"{json.dumps(batch_request(number))}\n" for number in range(2000))
    writer = threading.Thread(target=pipe.write_text, args=(text,))
    writer.start()
    with ScriptedModelServer(echo) as server:
        code, output, error = run_command("batch", pipe, out, "--base-url", server.url)
    writer.join(60)
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


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="there is no file that cannot be read")
async def test_an_input_that_cannot_be_read_is_an_error_with_its_name(kind: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output error: '/proc/self/mem'"):
        await run_batch(kind, UNREACHABLE, "/proc/self/mem", tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


"""The files of a batch: what no batch wrote is never touched, and only whole successful responses count."""

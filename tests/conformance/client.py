"""The client under test: reads cases from stdin, sends each through our own transports, writes how it ended to stdout.

Run by the suite's `connectconformance`, with `sync` or `async`. Cases that want the same connection share a transport.
"""

import asyncio
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

from cwinference import errors
from cwinference.transports.base import ResponseMetadata
from cwinference.transports.connect import AsyncConnectTransport, ConnectTransport
from cwinference.transports.grpc import AsyncGrpcTransport, GrpcTransport
from tests.conformance import cases

_AT_ONCE = 24
_LONGEST_SECONDS = 8.0
"""Limit of a case with a raw answer that names none: the runner waits 20 s for an outcome of each."""


SYNC = {"grpc": GrpcTransport, "connect": ConnectTransport}
ASYNC = {"grpc": AsyncGrpcTransport, "connect": AsyncConnectTransport}


class Transports:
    """One transport for all cases that say the same about it.

    Those answered with raw bytes get one each: what no sound server sends may cost the neighbours on its connection.
    """

    def __init__(self, kinds: dict[str, Any]) -> None:
        self._kinds = kinds
        self._open: dict[Any, Any] = {}
        self._lock = threading.Lock()

    def for_case(self, case: Any) -> Any:
        settings, options = cases.settings_of(case), cases.options_of(case)
        with self._lock:
            key = (settings, *options.items(), case.test_name if cases.is_raw(case) else "")
            if key not in self._open:
                self._open[key] = self._kinds[settings.transport](settings, **options)
            return self._open[key]

    def all(self) -> list[Any]:
        return list(self._open.values())


def arguments(case: Any) -> tuple[Any, ...]:
    """What `send` takes, up to the time limit."""
    method = cases.method_of(case)
    timeout = _LONGEST_SECONDS if cases.is_raw(case) else None
    if case.HasField("timeout_ms"):
        timeout = case.timeout_ms / 1000
    return method, cases.request_of(case, method), cases.metadata_of(case), timeout


def run_sync(read: Iterator[Any], write: Callable[[Any], None]) -> None:
    """Cases on threads; those that cancel cannot be tried, because nothing stops a blocking call from outside."""
    transports = Transports(SYNC)

    def run(case: Any) -> None:
        if case.HasField("cancel"):
            write(cases.impossible(case, "a blocking call cannot be cancelled"))
            return
        time.sleep(case.request_delay_ms / 1000)
        seen = ResponseMetadata()
        try:
            reply = transports.for_case(case).send(*arguments(case), seen=seen)
            write(cases.succeeded(case, reply, seen))
        except errors.InferenceError as error:
            write(cases.failed(case, error, seen))
        except Exception as error:
            write(cases.impossible(case, repr(error)))

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(run, read))
    for transport in transports.all():
        transport.close()


async def run_async(read: Iterator[Any], write: Callable[[Any], None]) -> None:
    """Cases as tasks."""
    transports, room = Transports(ASYNC), asyncio.Semaphore(_AT_ONCE)

    async def run(case: Any) -> None:
        async with room:
            await asyncio.sleep(case.request_delay_ms / 1000)
            seen = ResponseMetadata()
            call = asyncio.ensure_future(transports.for_case(case).send(*arguments(case), seen=seen))
            if case.HasField("cancel"):
                asyncio.get_running_loop().call_later(case.cancel.after_close_send_ms / 1000, call.cancel)
            try:
                write(cases.succeeded(case, await call, seen))
            except asyncio.CancelledError:
                write(cases.cancelled(case))
            except errors.InferenceError as error:
                write(cases.failed(case, error, seen))
            except Exception as error:
                write(cases.impossible(case, repr(error)))

    async with asyncio.TaskGroup() as group:
        while (case := await asyncio.to_thread(next, read, None)) is not None:
            group.create_task(run(case))
    for transport in transports.all():
        await transport.close()


def read_cases(stream: BinaryIO) -> Iterator[Any]:
    """Messages, each after its length."""
    while prefix := stream.read(4):
        yield cases.Case.FromString(stream.read(struct.unpack(">I", prefix)[0]))


def writer(stream: BinaryIO) -> Callable[[Any], None]:
    """Writes messages, each after its length; from any thread."""
    lock = threading.Lock()

    def write(result: Any) -> None:
        body = result.SerializeToString()
        with lock:
            stream.write(struct.pack(">I", len(body)) + body)
            stream.flush()

    return write


if __name__ == "__main__":
    source, target = read_cases(sys.stdin.buffer), writer(sys.stdout.buffer)
    if sys.argv[1] == "sync":
        run_sync(source, target)
    else:
        asyncio.run(run_async(source, target))

"""The client under test: reads cases from stdin, sends each through our transports, and writes the outcomes to stdout.

The suite's `connectconformance` runs it with `sync`, `async`, or `async-stubs`, which calls grpc.aio by its stubs.
Cases with the same settings share a transport.
"""

import asyncio
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from google.protobuf.message import Message

from cwinference import errors
from cwinference._secrets import Secret
from cwinference._wire.methods import Method
from cwinference.transports import _grpc_blocking, _grpc_calls
from cwinference.transports.base import ResponseMetadata
from cwinference.transports.connect import AsyncConnectTransport, ConnectTransport
from cwinference.transports.grpc import AsyncGrpcTransport, GrpcTransport
from tests.conformance import cases

_AT_ONCE = 24
_LONGEST_SECONDS = 8.0
"""Timeout of a case with a raw response that has none: the runner waits 20 s for each outcome."""

SYNC = {"grpc": GrpcTransport, "connect": ConnectTransport}
ASYNC = {"grpc": AsyncGrpcTransport, "connect": AsyncConnectTransport}


class Transports:
    """One transport for all cases with the same settings.

    Each case with a raw response gets its own: bytes that no correct server sends may break the connection for others.
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


@dataclass
class Call:
    """The call of a case, as transports take it, and what they add to it."""

    method: Method
    request: Message
    unknown_fields: list[str] | None = None
    response_metadata: ResponseMetadata = field(default_factory=ResponseMetadata)


def call_of(case: Any) -> Call:
    """Return the call of a case."""
    method = cases.method_of(case)
    return Call(method, cases.request_of(case, method))


def options_of(case: Any) -> tuple[Any, float | None]:
    """Return the metadata and the timeout with which a case is sent."""
    timeout = _LONGEST_SECONDS if cases.is_raw(case) else None
    if case.HasField("timeout_ms"):
        timeout = case.timeout_ms / 1000
    return Secret(cases.metadata_of(case)), timeout


def run_sync(read: Iterator[Any], write: Callable[[Any], None]) -> None:
    """Run cases on threads; those that cancel are not run, because a sync call cannot be canceled."""
    transports = Transports(SYNC)

    def run(case: Any) -> None:
        if case.HasField("cancel"):
            write(cases.not_run(case, "a sync call cannot be canceled"))
            return
        time.sleep(case.request_delay_ms / 1000)
        call = call_of(case)
        try:
            response = transports.for_case(case).send(call, *options_of(case))
            write(cases.succeeded(case, response, call.response_metadata))
        except errors.InferenceError as error:
            write(cases.failed(case, error, call.response_metadata))
        except Exception as error:
            write(cases.not_run(case, repr(error)))

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(run, read))
    for transport in transports.all():
        transport.close()


async def run_async(read: Iterator[Any], write: Callable[[Any], None]) -> None:
    """Run cases as tasks."""
    transports, limit = Transports(ASYNC), asyncio.Semaphore(_AT_ONCE)

    async def run(case: Any) -> None:
        async with limit:
            await asyncio.sleep(case.request_delay_ms / 1000)
            call = call_of(case)
            sending = asyncio.ensure_future(transports.for_case(case).send(call, *options_of(case)))
            if case.HasField("cancel"):
                asyncio.get_running_loop().call_later(case.cancel.after_close_send_ms / 1000, sending.cancel)
            try:
                write(cases.succeeded(case, await sending, call.response_metadata))
            except asyncio.CancelledError:
                write(cases.canceled(case))
            except errors.InferenceError as error:
                write(cases.failed(case, error, call.response_metadata))
            except Exception as error:
                write(cases.not_run(case, repr(error)))

    async with asyncio.TaskGroup() as group:
        while (case := await asyncio.to_thread(next, read, None)) is not None:
            group.create_task(run(case))
    for transport in transports.all():
        await transport.close()


def read_cases(stream: BinaryIO) -> Iterator[Any]:
    """Yield the cases, each of which comes after its length."""
    while prefix := stream.read(4):
        yield cases.Case.FromString(stream.read(struct.unpack(">I", prefix)[0]))


def writer(stream: BinaryIO) -> Callable[[Any], None]:
    """Return a function that writes a message after its length, from any thread."""
    lock = threading.Lock()

    def write(result: Any) -> None:
        body = result.SerializeToString()
        with lock:
            stream.write(struct.pack(">I", len(body)) + body)
            stream.flush()

    return write


if __name__ == "__main__":
    source, target = read_cases(sys.stdin.buffer), writer(sys.stdout.buffer)
    mode, _, is_by_stubs = sys.argv[1].partition("-")
    if is_by_stubs:
        _grpc_calls.is_direct = _grpc_blocking.is_direct = False
    if mode == "sync":
        run_sync(source, target)
    else:
        asyncio.run(run_async(source, target))

"""How channels of grpc.aio are called: below their stubs only if nothing stands in the way."""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
import pytest

from cwinference import AsyncClient, errors, types
from cwinference._secrets import Secret
from cwinference.transports import _grpc_calls
from cwinference.transports._grpc_calls import AsyncConnection, AsyncDirectConnection, open_async
from cwinference.transports.base import ResponseMetadata
from tests.support.client_kinds import TOKEN


@pytest.fixture
async def channel(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    monkeypatch.setattr(_grpc_calls, "is_direct", True)
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        yield channel


def test_this_grpcio_has_what_direct_calls_need() -> None:
    assert _grpc_calls._has_needed(_grpc_calls._cython)


@pytest.mark.parametrize("name", _grpc_calls._NEEDED)
@pytest.mark.parametrize("other", ["missing", "arguments", "order", "built in"])
def test_a_grpcio_without_what_direct_calls_need_is_called_by_its_stubs(name: str, other: str) -> None:
    cython = copy_of(_grpc_calls._cython)
    assert _grpc_calls._has_needed(cython)
    kind, _, function = name.partition(".")
    if other == "missing":
        delattr(getattr(cython, kind), function)
    else:
        replacement: Any = {
            "arguments": lambda self, one, two, three, four, five, six: None,
            "order": lambda details, self, deadline, method, request: None,
            "built in": dict.get.__get__({}),
        }[other]
        setattr(getattr(cython, kind), function, replacement)
    assert not _grpc_calls._has_needed(cython)


def copy_of(cython: Any) -> Any:
    """Return an object with the functions that are needed, which can be changed."""
    kinds = {
        kind: SimpleNamespace(**{name: getattr(getattr(cython, kind), name) for name in dir(getattr(cython, kind))})
        for kind in ("AioChannel", "_AioCall")
    }
    return SimpleNamespace(**kinds, build_census_context=cython.build_census_context)


async def test_a_plain_channel_is_called_below_its_stubs(channel: Any) -> None:
    assert type(open_async(channel)) is AsyncDirectConnection


async def test_a_channel_with_interceptors_is_called_by_its_stubs(channel: Any) -> None:
    class Tracing(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg,unused-ignore]
        async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
            return await continuation(client_call_details, request)

    async with grpc.aio.insecure_channel("127.0.0.1:1", interceptors=[Tracing()]) as traced:
        assert type(open_async(traced)) is AsyncConnection


async def test_a_channel_that_something_is_wrapped_around_is_called_by_its_stubs(channel: Any) -> None:
    class Wrapped:
        def __getattr__(self, name: str) -> Any:
            return getattr(channel, name)

    assert type(open_async(Wrapped())) is AsyncConnection


async def test_closing_ends_calls_that_have_not_started_too(channel: Any) -> None:
    """Those that wait for the event loop to do something else first."""
    connection = open_async(channel)
    call: Any = SimpleNamespace(
        method=SimpleNamespace(path="/a.B/C"), request=types.GetGatewayRequest(), response_metadata=ResponseMetadata()
    )
    calls = [asyncio.create_task(connection.send(call, "", Secret(()), 10)) for _ in range(3)]
    await asyncio.sleep(0)
    await connection.close()
    assert {type(each) for each in await asyncio.gather(*calls, return_exceptions=True)} == {asyncio.CancelledError}


async def test_a_client_that_is_closed_says_so_to_all_its_calls(channel: Any) -> None:
    client = AsyncClient(TOKEN, endpoint="http://127.0.0.1:1", retry=None)
    calls = [asyncio.create_task(client.gateways.get("x")) for _ in range(100)]
    await asyncio.sleep(0)
    await client.close()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(each) for each in outcomes} <= {errors.Cancelled, errors.Unavailable}
    assert any("closed before" in str(each) for each in outcomes)


@pytest.mark.parametrize("is_direct", [True, False])
async def test_a_canceled_call_is_canceled_at_the_server_too(is_direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_grpc_calls, "is_direct", is_direct)
    received, canceled = threading.Event(), threading.Event()

    class Silent(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(self.wait)

        def wait(self, _: bytes, context: Any) -> bytes:
            context.add_callback(canceled.set)
            received.set()
            canceled.wait(10)
            return b""

    server = grpc.server(ThreadPoolExecutor(1), handlers=[Silent()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        async with AsyncClient(TOKEN, endpoint=f"http://127.0.0.1:{port}") as client:
            call = asyncio.create_task(client.gateways.get("x"))
            assert await asyncio.to_thread(received.wait, 10)
            call.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await call
            assert await asyncio.to_thread(canceled.wait, 5)
            assert caught.tb is not None  # which keeps the objects of the call: their end would cancel it as well
    finally:
        await asyncio.to_thread(server.stop(None).wait)

"""Every kind of client behind one interface, so that each scenario is written once and runs over all of them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

from cwinference import AsyncClient, Client
from cwinference._calls.operation import Resource

TOKEN = "CW-SECRET-of-the-tests"

TRANSPORTS: dict[str, dict[str, Any]] = {
    "grpc": {"transport": "grpc"},
    "connect": {"transport": "connect"},
    "connect-json": {"transport": "connect", "codec": "json"},
    "rest": {"transport": "rest"},
}
KINDS = [f"{transport}-{mode}" for transport in TRANSPORTS for mode in ("sync", "async")]


@asynccontextmanager
async def open_client(kind: str, endpoint: str, token: Any = TOKEN, **settings: Any) -> AsyncGenerator[AsyncClient]:
    """Open a client of one of `KINDS` with the interface of `AsyncClient`; a sync one works on threads of its own."""
    transport, _, mode = kind.rpartition("-")
    settings = {**TRANSPORTS[transport], **settings}
    if mode == "async":
        async with AsyncClient(token, endpoint=endpoint, **settings) as client:
            yield client
    else:
        with Client(token, endpoint=endpoint, **settings) as sync_client:
            yield cast(AsyncClient, _Awaitable(sync_client))


class _Awaitable:
    """A sync client, or a resource of it, whose calls can be awaited."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def __repr__(self) -> str:
        return repr(self._target)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if isinstance(value, Resource):
            return _Awaitable(value)
        if name == "with_options":
            return lambda **options: _Awaitable(value(**options))
        return (lambda *args, **kwargs: _AwaitableCall(lambda: value(*args, **kwargs))) if callable(value) else value


class _AwaitableCall:
    """A call that runs on a thread when it is awaited, or item by item when it is iterated over."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.to_thread(self._call).__await__()

    async def __aiter__(self) -> AsyncIterator[Any]:
        items: Iterator[Any] = self._call()
        end = object()
        while (item := await asyncio.to_thread(next, items, end)) is not end:
            yield item

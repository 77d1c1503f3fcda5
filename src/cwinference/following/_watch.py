"""Watches: what is followed, as an iterator for `Client` and as an async one for `AsyncClient`."""

from inspect import Signature
from typing import Generic, Self, TypeVar

from .. import types
from .._calls.closing import AsyncClosing, Closing
from .._calls.drivers import AsyncDriver, SyncDriver
from ._change import Change
from ._following import Following

R = TypeVar("R", bound=types.Gateway | types.Deployment | types.CapacityClaim)


class Watch(Closing, Generic[R]):
    """An endless iterator over changes, for one thread. Nothing runs between its steps, so it can simply be left."""

    __signature__ = Signature()  # users do not construct one

    def __init__(self, following: Following[R], driver: SyncDriver) -> None:
        self._following = following
        self._next = driver.bind(following.next)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Change[R]:
        change = self._next()
        if change is None:
            raise StopIteration
        return change

    def close(self) -> None:
        """End the iteration. Needless before it is dropped; a poll in progress completes."""
        self._following.close()


class AsyncWatch(AsyncClosing, Generic[R]):
    """An endless async iterator over changes, for one task. Nothing runs between its steps: it can simply be left."""

    __signature__ = Signature()

    def __init__(self, following: Following[R], driver: AsyncDriver) -> None:
        self._following = following
        self._next = driver.bind(following.next)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change[R]:
        change = await self._next()
        if change is None:
            raise StopAsyncIteration
        return change

    async def close(self) -> None:
        """End the iteration. Needless before it is dropped; a poll in progress completes."""
        self._following.close()

"""Watches: what is followed, as an iterator for `Client` and as an async one for `AsyncClient`."""

from collections.abc import Callable
from inspect import Signature
from types import GenericAlias
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, get_args, overload

from .. import types
from .._calls.closing import AsyncClosing, Closing
from .._calls.drivers import AsyncDriver, SyncDriver
from .._calls.operation import AsyncOwner, Declaration, SyncOwner
from .._calls.signatures import method_of
from ._change import Change
from ._following import Following

P = ParamSpec("P")
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


class watch(Declaration[P], Generic[P, R]):  # noqa: N801 - read as a decorator
    """Turns a declaration of what to follow into a method that returns a `Watch`; on `AsyncClient`, an `AsyncWatch`."""

    def __init__(self, build: Callable[Concatenate[Any, P], Following[R]]) -> None:
        super().__init__(build, _as(Watch))

    def _bind(self, resource: Any) -> Any:
        build, driver = self._build.__get__(resource), resource._driver
        kind: type[Any] = Watch if isinstance(driver, SyncDriver) else AsyncWatch
        return method_of(build, lambda following: kind(following, driver), _as(kind))

    @overload
    def __get__(self, resource: None, owner: Any) -> Callable[Concatenate[Any, P], Any]: ...
    @overload
    def __get__(self, resource: SyncOwner, owner: Any) -> Callable[P, Watch[R]]: ...
    @overload
    def __get__(self, resource: AsyncOwner, owner: Any) -> Callable[P, AsyncWatch[R]]: ...
    def __get__(self, resource: Any, owner: Any) -> Any:
        return self._get(resource)


def _as(kind: type[Any]) -> Callable[[Any], Any]:
    """Return what a declaration's return type means to callers: `Watch[R]` for `Following[R]`."""
    return lambda declared: GenericAlias(kind, get_args(declared))

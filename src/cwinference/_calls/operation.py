"""The decorators that turn one declaration into a method of both clients.

A method of a resource is declared once, as a function that returns a `Call` (one RPC) or a flow (several steps).
On `Client` the decorated method gives the result, on `AsyncClient` a coroutine of it.
"""

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from inspect import cleandoc
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast, overload

from .attempts import attempts
from .rpc import Call
from .drivers import AsyncDriver, Operation, SyncDriver
from .flow import Flow, Pages
from .signatures import iterator_of, result_of, show

_OPTIONS = "`timeout` (seconds for the whole call; None for no limit) and `retry` are the client's unless given here."

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
Mode = TypeVar("Mode", SyncDriver, AsyncDriver)


class Resource(Generic[Mode]):
    """A group of methods, on `client.<name>`."""

    def __init__(self, driver: Mode) -> None:
        self._driver: Mode = driver

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._driver!r}>"

    def _do(self, call: Call[T]) -> Flow[T]:
        """A call as part of a flow."""
        reply = yield from attempts(call, self._driver.context)
        return call.result(reply)


def _documented(build: F) -> F:
    """Say of the options of a call, which no method names, what they are."""
    if "options" in build.__annotations__ and build.__doc__:
        build.__doc__ = f"{cleandoc(build.__doc__)}\n\n{_OPTIONS}"
    return build


class operation(Generic[P, T]):  # noqa: N801 - read as a decorator
    """Turns a declaration into a method: blocking on `Client`, a coroutine function on `AsyncClient`."""

    def __init__(self, build: Callable[Concatenate[Any, P], Operation[T]]) -> None:
        self._build = _documented(build)
        functools.update_wrapper(cast(Any, self), build)
        show(self, build, result_of)

    def __call__(self, resource: Resource[Any], *args: P.args, **kwargs: P.kwargs) -> Any:
        """`Gateways.get(client.gateways, id)` is `client.gateways.get(id)`."""
        return cast(Any, self).__get__(resource, type(resource))(*args, **kwargs)

    @overload
    def __get__(self, resource: None, owner: Any) -> Self: ...
    @overload
    def __get__(self, resource: Resource[SyncDriver], owner: Any) -> Callable[P, T]: ...
    @overload
    def __get__(self, resource: Resource[AsyncDriver], owner: Any) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, resource: Resource[Any] | None, owner: Any) -> Any:
        if resource is None:
            return self
        method = resource._driver.bind(self._build.__get__(resource))  # pyright: ignore[reportPrivateUsage]
        resource.__dict__[self._build.__name__] = method
        return method


class paged(Generic[P, T]):  # noqa: N801 - read as a decorator
    """Turns a declaration that emits items into a method that iterates over them, page by page."""

    def __init__(self, build: Callable[Concatenate[Any, P], Pages[T]]) -> None:
        self._build = _documented(build)
        functools.update_wrapper(cast(Any, self), build)
        show(self, build, iterator_of)

    def __call__(self, resource: Resource[Any], *args: P.args, **kwargs: P.kwargs) -> Any:
        """`Gateways.get(client.gateways, id)` is `client.gateways.get(id)`."""
        return cast(Any, self).__get__(resource, type(resource))(*args, **kwargs)

    @overload
    def __get__(self, resource: None, owner: Any) -> Self: ...
    @overload
    def __get__(self, resource: Resource[SyncDriver], owner: Any) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, resource: Resource[AsyncDriver], owner: Any) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, resource: Resource[Any] | None, owner: Any) -> Any:
        if resource is None:
            return self
        method = resource._driver.bind_pages(self._build.__get__(resource))  # pyright: ignore[reportPrivateUsage]
        resource.__dict__[self._build.__name__] = method
        return method

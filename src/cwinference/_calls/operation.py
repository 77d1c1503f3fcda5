"""The decorators that turn one declaration into a method of both clients.

A method of a resource is declared once, as a function that returns a call (one RPC) or a flow (several steps). On
`Client` the method returns the result, on `AsyncClient` a coroutine of it.
"""

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from inspect import Signature
from typing import Any, Concatenate, Generic, NoReturn, ParamSpec, Protocol, Self, TypeVar, overload

from .._arguments import UNSET, check_timeout
from .._secrets import forgets_locals
from .attempts import attempts
from .deadline import Deadline
from .drivers import AsyncDriver, SyncDriver
from .flow import Call, Flow, Operation, Pages
from .signatures import iterator_of, result_of, show

P = ParamSpec("P")
T = TypeVar("T")
Mode = TypeVar("Mode", SyncDriver, AsyncDriver)


class Resource(Generic[Mode]):
    """A group of methods, such as `client.gateways`."""

    __signature__ = Signature()  # users do not construct one

    def __init__(self, driver: Mode) -> None:
        self._driver: Mode = driver

    @classmethod
    def _of(cls, client: Any) -> Self:
        """Return the group that belongs to a client."""
        return cls(client._driver)

    def __getstate__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} cannot be pickled or copied, since it has connections; pass ids instead"
        )

    def __repr__(self) -> str:
        client = "Client" if isinstance(self._driver, SyncDriver) else "AsyncClient"
        return f"<{type(self).__name__} of {client}({self._driver.context.session})>"

    def _deadline(self, timeout: float | None) -> Deadline:
        """Return the deadline of an operation of several calls: its own, else the client's."""
        context = self._driver.context
        seconds = context.timeout if timeout is UNSET else check_timeout(timeout)
        return Deadline(seconds, context.clock.monotonic)

    def _do(self, call: Call[T]) -> Flow[T]:
        """Perform a call as part of a flow."""
        return (yield from attempts(call, self._driver.context))


class SyncOwner(Protocol):
    """A client, or a group of its methods, that works on the calling thread."""

    _driver: SyncDriver


class AsyncOwner(Protocol):
    """One that works on an event loop."""

    _driver: AsyncDriver


class _Group:
    """Makes a group of methods when a client is first asked for it; on the class, it is the group's own class.

    So `help(Client.gateways)` works without a client.
    """

    def __init__(self, kind: Callable[[], type[Resource[Any]]]) -> None:
        self._kind = kind
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, client: Any, owner: Any) -> Any:
        if client is None:
            return self._kind()
        group = client.__dict__[self._name] = self._kind()._of(client)  # pyright: ignore[reportPrivateUsage]
        return group


def group(kind: Callable[[], type[Resource[Any]]]) -> Any:
    """Declare a group of methods as an attribute of a client's class; its type is given by the annotation.

    `kind` returns its class, so that this need not be loaded before somebody asks for the group.
    """
    return _Group(kind)


class Declaration(Generic[P]):
    """Base of the decorators: makes the method when a client's attribute is first used, and keeps it there."""

    def __init__(self, build: Callable[Concatenate[Any, P], Any], returns: Callable[[Any], Any]) -> None:
        self._build = build
        self._name = build.__name__
        self.__doc__ = build.__doc__

        @functools.wraps(build)
        def unbound(resource: Any, *args: P.args, **kwargs: P.kwargs) -> Any:
            return getattr(resource, self._name)(*args, **kwargs)

        self._unbound = show(forgets_locals(unbound), build, returns)
        """`Gateways.get(client.gateways, id)` is `client.gateways.get(id)`; also what `help(Gateways)` shows."""

    def _bind(self, resource: Any) -> Any:
        """Return the method of one resource."""
        raise NotImplementedError

    def _get(self, resource: Any) -> Any:
        if resource is None:
            return self._unbound
        method = resource.__dict__[self._name] = self._bind(resource)
        return method


class operation(Declaration[P], Generic[P, T]):  # noqa: N801 - read as a decorator
    """Turns a declaration into a method: a function on `Client`, a coroutine function on `AsyncClient`."""

    def __init__(self, build: Callable[Concatenate[Any, P], Operation[T]]) -> None:
        super().__init__(build, result_of)

    def _bind(self, resource: Any) -> Any:
        return resource._driver.bind(self._build.__get__(resource))

    @overload
    def __get__(self, resource: None, owner: Any) -> Callable[Concatenate[Any, P], Any]: ...
    @overload
    def __get__(self, resource: SyncOwner, owner: Any) -> Callable[P, T]: ...
    @overload
    def __get__(self, resource: AsyncOwner, owner: Any) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, resource: Any, owner: Any) -> Any:
        return self._get(resource)


class paged(Declaration[P], Generic[P, T]):  # noqa: N801 - read as a decorator
    """Turns a declaration that emits items into a method that iterates over them, page by page."""

    def __init__(self, build: Callable[Concatenate[Any, P], Pages[T]]) -> None:
        super().__init__(build, iterator_of)

    def _bind(self, resource: Any) -> Any:
        return resource._driver.bind_pages(self._build.__get__(resource))

    @overload
    def __get__(self, resource: None, owner: Any) -> Callable[Concatenate[Any, P], Any]: ...
    @overload
    def __get__(self, resource: Resource[SyncDriver], owner: Any) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, resource: Resource[AsyncDriver], owner: Any) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, resource: Resource[Any] | None, owner: Any) -> Any:
        return self._get(resource)

"""Caches: one poller for many readers, a thread on `Client` and a task on `AsyncClient`."""

import asyncio
import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from inspect import Signature
from typing import Any, Generic, NoReturn, Self, TypeVar

from .. import types
from .._arguments import check_callback, check_timeout
from .._calls.closing import AsyncClosing, Closing
from .._calls.deadline import Deadline
from .._calls.drivers import AsyncDriver, SyncDriver
from .._locks import condition_of
from ..errors import ConfigurationError, WaitTimeout
from ._cache_core import CacheCore
from ._change import Change
from ._kinds import Kind
from ._view import DeploymentView, View

T = TypeVar("T")
DriverT = TypeVar("DriverT", SyncDriver, AsyncDriver)


class BaseCache(Generic[DriverT]):
    """What both caches have in common: what readers see."""

    __signature__ = Signature()  # users do not construct one

    def __init__(self, core: CacheCore, driver: DriverT) -> None:
        self._core = core
        self._driver: DriverT = driver
        self._process: int | None = None
        self._closed = False

    @property
    def gateways(self) -> View[types.Gateway]:
        """The gateways as of now, as a mapping by id; also `named(name)`. It stays as it is."""
        return self._view("gateway")

    @property
    def deployments(self) -> DeploymentView:
        """The deployments; also `named(name)`, `of_gateway(gateway_id)` and `of_model(name)`."""
        view: Any = self._view("deployment")
        found: DeploymentView = view
        return found

    @property
    def capacity_claims(self) -> View[types.CapacityClaim]:
        """The capacity claims; also `named(name)`."""
        return self._view("capacity_claim")

    @property
    def age(self) -> float:
        """The seconds since the last good poll, of the kind for which it is longest ago; infinite before the first."""
        self._check_open()
        return self._core.age

    @property
    def error(self) -> Exception | None:
        """Why the last poll failed; None if it did not. Polling goes on, unless the client is closed."""
        self._check_open()
        return self._core.error

    def subscribe(self, callback: Callable[[Change[Any]], object]) -> Callable[[], None]:
        """Call a function with each `Change` from now on, after the views show it; return a function that ends that.

        It is called on the thread or in the task that polls, so it should be quick. If it raises, that is logged.

        Args:
            callback: a plain function of a `Change`.

        Raises:
            ConfigurationError: it is no function; or the cache is not open, or this process was forked from its own.
        """
        _check_function(callback, "callback")
        self._check_open()
        return self._core.subscribe(callback)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(map(repr, self._core.views.values()))}>"

    def __getstate__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be pickled or copied; open one in each process")

    def _view(self, kind: Kind) -> View[Any]:
        self._check_open()
        view = self._core.views.get(kind)
        if view is None:
            raise ConfigurationError(f"this cache has no {kind}; name it in kinds=")
        return view

    def _check_open(self) -> None:
        if self._process is None:
            raise ConfigurationError("the cache is not open; use it in a `with` block")
        if self._closed:
            raise ConfigurationError("the cache is closed; open a new one")
        if self._process != os.getpid():
            raise ConfigurationError(
                "this process was forked while the cache was open, and what keeps it up to date stays in the parent; "
                "open a cache in the child"
            )

    def _open(self) -> None:
        if self._process is not None:
            raise ConfigurationError("the cache was opened before; open a new one")
        self._process = os.getpid()

    def _check_alive(self) -> None:
        self._check_open()
        if self._core.ended is not None:
            raise self._core.ended

    def _value(self, predicate: Callable[[Self], T]) -> T:
        """Return what a predicate says of the cache as it is. Raises what has ended it."""
        self._check_alive()
        return predicate(self)

    def _synced(self) -> bool:
        """Return whether it is synced. Raises a failure that will not pass."""
        failure = self._core.final_failure
        if not self._core.is_synced and failure is not None:
            raise failure
        return self._core.is_synced

    def _limit(self, timeout: float | None) -> Deadline:
        return Deadline(check_timeout(timeout), self._driver.context.clock.monotonic)

    def _too_late(self, goal: str, deadline: Deadline) -> WaitTimeout:
        error = self._core.error
        why = "" if error is None else f"; the last poll failed: {error}"
        return WaitTimeout(f"{goal} after {deadline.timeout or 0:g} s{why}", None)


class Cache(Closing, BaseCache[SyncDriver]):
    """What `client.cache()` returns: views of the API's resources that a thread keeps up to date, for many readers.

    Use it in a `with` block; the thread ends with it.
    """

    def __init__(self, core: CacheCore, driver: SyncDriver) -> None:
        super().__init__(core, driver)
        self._lock = condition_of(self)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._open()
        itself = weakref.ref(self)  # or a cache that was dropped without being closed would live on with its thread
        self._core.wake = lambda: None if (found := itself()) is None else found._notify()
        weakref.finalize(self, _stop_in, os.getpid(), self._stop)
        self._thread = threading.Thread(
            target=_keep, args=(self._core, self._driver, self._stop), name="cwinference cache", daemon=True
        )
        self._thread.start()
        return self

    def close(self) -> None:
        """End the thread; a call in progress completes first, which takes as long as its timeout if nobody responds."""
        self._core.close()
        self._closed = True
        thread, self._thread = self._thread, None
        if thread is not None and self._process == os.getpid():
            self._stop.set()
            if thread is not threading.current_thread():
                thread.join()
        self._notify()

    def wait_synced(self, *, timeout: float | None = 30.0) -> None:
        """Wait until all that there was at first is in the views.

        Args:
            timeout: seconds to wait (30); None for no limit.

        Raises:
            WaitTimeout: the time has run out (also a `TimeoutError`).
            ApiError, ProtocolError: a failure that will not pass, such as PermissionDenied.
            ConfigurationError: the cache is not open, or this process was forked from its own.
        """
        self._wait(lambda cache: cache._synced(), "not synced", self._limit(timeout))

    def wait_for(self, predicate: Callable[["Cache"], T], *, timeout: float | None = 60.0) -> T:
        """Wait until a function of this cache returns something that counts as true, and return that.

        Args:
            predicate: a plain function of the cache, called at once and after each change, on the calling thread.
            timeout: seconds to wait (60); None for no limit.

        Raises:
            WaitTimeout: the time has run out (also a `TimeoutError`).
            ConfigurationError: the cache is not open, or is closed meanwhile; or this process was forked from its own.
        """
        _check_function(predicate, "predicate")
        return self._wait(predicate, "the predicate was not met", self._limit(timeout))

    def _wait(self, predicate: Callable[["Cache"], T], goal: str, deadline: Deadline) -> T:
        while True:
            version = self._core.version
            value = self._value(predicate)
            if value:
                return value
            with self._lock:
                left = deadline.remaining()
                if not self._lock.wait_for(partial(self._has_news_since, version), left):
                    raise self._too_late(goal, deadline)

    def _has_news_since(self, version: int) -> bool:
        return self._closed or self._core.version != version

    def _notify(self) -> None:
        with self._lock:
            self._lock.notify_all()


class AsyncCache(AsyncClosing, BaseCache[AsyncDriver]):
    """What `client.cache()` returns: views of the API's resources that a task keeps up to date, for many readers.

    Use it in an `async with` block; the task ends with it. It belongs to the event loop of that block.
    """

    def __init__(self, core: CacheCore, driver: AsyncDriver) -> None:
        super().__init__(core, driver)
        self._task: asyncio.Task[None] | None = None
        self._waiting = set[asyncio.Event]()

    async def __aenter__(self) -> Self:
        self._open()
        waiting = self._waiting
        self._core.wake = lambda: _set_all(waiting)
        loop = asyncio.get_running_loop()
        self._task = task = loop.create_task(_keep_async(self._core, self._driver), name="cwinference cache")
        weakref.finalize(self, _cancel, loop, task).atexit = False
        return self

    async def close(self) -> None:
        """End the task."""
        self._closed = True
        task, self._task = self._task, None
        if task is not None and self._process == os.getpid():
            task.cancel()
            await asyncio.wait([task])
        _set_all(self._waiting)

    async def wait_synced(self, *, timeout: float | None = 30.0) -> None:
        """Wait until all that there was at first is in the views; as on `Cache`."""
        await self._wait(lambda cache: cache._synced(), "not synced", self._limit(timeout))

    async def wait_for(self, predicate: Callable[["AsyncCache"], T], *, timeout: float | None = 60.0) -> T:
        """Wait until a plain function of this cache returns something that counts as true; as on `Cache`."""
        _check_function(predicate, "predicate")
        return await self._wait(predicate, "the predicate was not met", self._limit(timeout))

    async def _wait(self, predicate: Callable[["AsyncCache"], T], goal: str, deadline: Deadline) -> T:
        changed = asyncio.Event()
        self._waiting.add(changed)
        try:
            while True:
                changed.clear()
                value = self._value(predicate)
                if value:
                    return value
                try:
                    async with asyncio.timeout(deadline.remaining()):
                        await changed.wait()
                except TimeoutError:
                    raise self._too_late(goal, deadline) from None
        finally:
            self._waiting.discard(changed)


def _check_function(value: object, argument: str) -> None:
    """Accept a plain function, and here not None."""
    check_callback(value, argument)
    if value is None:
        raise ConfigurationError(f"{argument}: expected a function, got None")


class _Stopped(BaseException):
    """Ends the flow of a cache's thread in one of its pauses."""


def _stop_in(process: int, stop: threading.Event) -> None:
    """Stop a thread of that process. A forked child has none, and it may have held the lock of the event then."""
    if process == os.getpid():
        stop.set()


def _keep(core: CacheCore, driver: SyncDriver, stop: threading.Event) -> None:
    """Keep a cache up to date until it is stopped: the work of its thread."""

    def sleep(seconds: float) -> None:
        if stop.wait(seconds):
            raise _Stopped

    context = driver.context
    stoppable = SyncDriver(context.replace(clock=replace(context.clock, sleep=sleep)))
    try:
        stoppable.bind(core.keep)()
    except _Stopped:
        core.end(ConfigurationError("the cache is closed; open a new one"))
    except Exception as error:
        core.end(error)


async def _keep_async(core: CacheCore, driver: AsyncDriver) -> None:
    """Do the same as a task."""
    try:
        await driver.bind(core.keep)()
    except asyncio.CancelledError:
        core.end(ConfigurationError("the cache is closed; open a new one"))
        raise
    except Exception as error:
        core.end(error)


def _set_all(waiting: set[asyncio.Event]) -> None:
    for each in [*waiting]:
        each.set()


def _cancel(loop: asyncio.AbstractEventLoop, task: "asyncio.Task[None]") -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(task.cancel)

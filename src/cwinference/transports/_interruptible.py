"""Blocking work on a helper thread, so that its caller can stop waiting: after a time limit, or because of a signal.

pyqwest blocks in native code, where Python runs no signal handlers, so neither Ctrl-C nor a handler of SIGTERM could
end a call. Handlers run on the main thread only: calls of that thread go to a helper, those of others run in place.
"""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Generic, Protocol, TypeVar, cast

_NAME = "cwinference helper"
_IDLE_SECONDS = 2.0
"""How long a helper thread waits for another job before it ends."""


class Closable(Protocol):
    """A response that can be closed from another thread."""

    def close(self) -> None: ...


T = TypeVar("T")
ResponseT = TypeVar("ResponseT", bound=Closable)


class Opening(Generic[ResponseT]):
    """The wait for the beginning of a response, which another thread may cancel."""

    def __init__(self, enter: Callable[[], ResponseT]) -> None:
        self._enter: Callable[[], ResponseT] = enter
        self._lock = threading.Lock()
        self._response: ResponseT | None = None
        self._canceled = False

    def enter(self) -> ResponseT:
        """Wait until the response begins."""
        response = self._enter()
        with self._lock:
            self._response = response
            if self._canceled:
                response.close()
        return response

    def cancel(self) -> None:
        """Hang up, now or as soon as the response begins: pyqwest cannot do so earlier."""
        with self._lock:
            self._canceled = True
            if self._response is not None:
                self._response.close()


def interruptible(work: Callable[[], T], cancel: Callable[[], object], seconds: float | None = None) -> T:
    """Do blocking work, so that a signal can interrupt the wait for it; then `cancel` is called.

    Raises TimeoutError, also after `cancel`, when it takes longer than `seconds`; None for no limit.
    """
    if seconds is None and threading.get_ident() != threading.main_thread().ident:
        return work()
    job = _Job(work)
    _idle_helper().do(job)
    try:
        if not job.done.acquire(timeout=-1 if seconds is None else seconds):
            raise TimeoutError
    except BaseException:
        cancel()
        raise
    return cast(T, job.result())


def is_busy() -> bool:
    """Return whether a helper still works, for a caller that may have left."""
    # Without the lock, which another thread may have held when this process was forked.
    return sum(thread.name == _NAME for thread in threading.enumerate()) > len(_idle)


class _Job:
    """Work for another thread, and its outcome."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._value: Any = None
        self._error: BaseException | None = None
        self.done = threading.Lock()  # acquired until then: cheaper than an Event
        self.done.acquire()

    def run(self) -> None:
        try:
            self._value = self._work()
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._value


class _Helper:
    """A thread that does one job after the other, and ends when none arrives for some time."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        threading.Thread(target=self._run, name=_NAME, daemon=True).start()

    def do(self, job: _Job) -> None:
        self._jobs.put(job)

    def _run(self) -> None:
        while (job := self._next()) is not None:
            job.run()
            with _lock:
                _idle.append(self)
            job.done.release()
            del job  # or its result would live on until the next job

    def _next(self) -> _Job | None:
        while True:
            try:
                return self._jobs.get(timeout=_IDLE_SECONDS)
            except Empty:
                # It ends only if it is still idle: somebody may have taken it from the list just now, to give it a job.
                with _lock:
                    if self in _idle:
                        _idle.remove(self)
                        return None


def _idle_helper() -> _Helper:
    with _lock:
        found = _idle.pop() if _idle else None
    return found or _Helper()


_idle: list[_Helper] = []
_lock = threading.Lock()

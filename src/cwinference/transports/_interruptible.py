"""Blocking work on a helper thread, so that its caller can leave it: for a time limit, or because of a signal.

pyqwest blocks where Python cannot run a signal's handler, so neither Ctrl-C nor a handler of SIGTERM would end a call.
Handlers run on the main thread only: there, work is done aside; on other threads where it is.
"""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Generic, Protocol, TypeVar, cast

_IDLE_SECONDS = 2.0
"""How long a helper thread waits for more work."""


class Closable(Protocol):
    """An answer that can be closed from another thread."""

    def close(self) -> None: ...


T = TypeVar("T")
AnswerT = TypeVar("AnswerT", bound=Closable)


class Opening(Generic[AnswerT]):
    """The beginning of an answer, which may be given up from another thread."""

    def __init__(self, enter: Callable[[], AnswerT]) -> None:
        self._enter: Callable[[], AnswerT] = enter
        self._lock = threading.Lock()
        self._answer: AnswerT | None = None
        self._given_up = False

    def enter(self) -> AnswerT:
        """Wait until the answer begins."""
        answer = self._enter()
        with self._lock:
            self._answer = answer
            if self._given_up:
                answer.close()
        return answer

    def give_up(self) -> None:
        """Hang up, now or as soon as the answer begins: pyqwest cannot do so before."""
        with self._lock:
            self._given_up = True
            if self._answer is not None:
                self._answer.close()


def aside(work: Callable[[], T], give_up: Callable[[], object], seconds: float | None = None) -> T:
    """Do blocking work so that a signal can end the wait for it; what ends the wait gives the work up.

    Raises TimeoutError when it takes longer than `seconds`; None for no limit.
    """
    if seconds is None and threading.get_ident() != threading.main_thread().ident:
        return work()
    errand = _Errand(work)
    _helper().do(errand)
    try:
        if not errand.ended.acquire(timeout=-1 if seconds is None else seconds):
            raise TimeoutError
    except BaseException:
        give_up()
        raise
    return cast(T, errand.result())


class _Errand:
    """Work that is done elsewhere, and how it ended."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._value: Any = None
        self._error: BaseException | None = None
        self.ended = threading.Lock()
        self.ended.acquire()

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
    """A thread that does one errand after the other, and ends when none comes for a while."""

    def __init__(self) -> None:
        self._errands: SimpleQueue[_Errand] = SimpleQueue()
        threading.Thread(target=self._run, name="cwinference helper", daemon=True).start()

    def do(self, errand: _Errand) -> None:
        self._errands.put(errand)

    def _run(self) -> None:
        while (errand := self._next()) is not None:
            errand.run()
            with _lock:
                _idle.append(self)
            errand.ended.release()
            del errand

    def _next(self) -> _Errand | None:
        while True:
            try:
                return self._errands.get(timeout=_IDLE_SECONDS)
            except Empty:
                with _lock:
                    if self in _idle:
                        _idle.remove(self)
                        return None


def _helper() -> _Helper:
    with _lock:
        found = _idle.pop() if _idle else None
    return found or _Helper()


_idle: list[_Helper] = []
_lock = threading.Lock()

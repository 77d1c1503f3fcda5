"""What both caches have in common: the flow that keeps views up to date, and what readers may ask for."""

import logging
from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from .. import errors
from .._calls.flow import Flow, Sleep
from .._calls.transient import passes
from ._change import Change
from ._following import Following
from ._kinds import Kind
from ._view import DeploymentView, View, empty_view, view_after

log = logging.getLogger("cwinference")

_VIEWS: Mapping[Kind, type[View[Any]]] = {"deployment": DeploymentView}


class CacheCore:
    """The state of a cache: what its thread or task writes, and its readers read. It does not know the cache itself."""

    def __init__(self, following: Following[Any]) -> None:
        self._following = following
        self.views: Mapping[Kind, View[Any]] = {
            each.kind: empty_view(_VIEWS.get(each.kind, View), each) for each in following.tables
        }
        """Replaced as a whole, never changed."""
        self.version = 0
        """Grows with everything that somebody may wait for."""
        self.ended: BaseException | None = None
        """Why nothing is polled any more."""
        self.is_synced = False
        """Whether the views show a list of each kind."""
        self.subscribers: tuple[Callable[[Change[Any]], object], ...] = ()
        self.wake: Callable[[], object] = lambda: None
        """Called when the version has grown."""

    @property
    def age(self) -> float:
        """The seconds since the last good poll, of the kind for which it is longest ago; infinite if there was none."""
        return max((inf if each is None else each for each in self._following.ages), default=inf)

    @property
    def error(self) -> Exception | None:
        """Why the last poll failed; None if it did not."""
        if isinstance(self.ended, Exception):
            return self.ended
        return next(iter(self._following.failures.values()), None)

    @property
    def final_failure(self) -> BaseException | None:
        """A failure of the last poll that will not pass by itself."""
        failures = (each for each in self._following.failures.values() if not passes(each))
        return self.ended or next(failures, None)

    def keep(self) -> Flow[None]:
        """Poll and publish without end, through all failures, until the client is closed."""
        while True:
            yield from self.turn()
            yield Sleep(self._following.pause)

    def turn(self) -> Flow[None]:
        """Poll what is due, and publish what has changed."""
        failures = {**self._following.failures}
        try:
            yield from self._following.poll()
        except Exception as error:
            self._following.check_open()
            log.warning("cache: %s", error if isinstance(error, errors.InferenceError) else repr(error))
        self._publish()
        if failures != self._following.failures:
            self._grow()

    def close(self) -> None:
        """Begin with no further kind in the poll in progress."""
        self._following.close()

    def end(self, reason: BaseException) -> None:
        """Note that nothing will be polled any more."""
        self.ended = reason
        self._grow()

    def subscribe(self, callback: Callable[[Change[Any]], object]) -> Callable[[], None]:
        """Call a function with each change from now on; return a function that ends that."""

        def once(change: Change[Any]) -> object:  # of its own, so that the same function may subscribe twice
            return callback(change)

        self.subscribers = (*self.subscribers, once)

        def unsubscribe() -> None:
            self.subscribers = tuple(each for each in self.subscribers if each is not once)

        return unsubscribe

    def _publish(self) -> None:
        views, reported = dict(self.views), list[Change[Any]]()
        for table in self._following.tables:
            changes = [*self._following.changes_of(table)]
            if changes:
                views[table.kind] = view_after(views[table.kind], {**table.reported}, changes)
                reported += changes
        if not reported:
            return
        self.views = views
        self.is_synced = all(
            each.is_reported for each in self._following.tables
        )  # only now: readers may use it at any time
        self._grow()
        for change in reported:
            for callback in self.subscribers:
                try:
                    callback(change)
                except Exception:
                    log.exception("cache: a subscriber failed")

    def _grow(self) -> None:
        self.version += 1
        self.wake()

"""A server without sockets whose resources change by a seeded history, for what follows them with an injected clock.

It is as unkind as a real one may be: its clock is minutes off and may be coarse, changes become visible late, a status
lags behind its spec, resources vanish without notice, and responses are lost or come again.
"""

import random
from collections.abc import Callable, Generator, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from cwinference import errors, types
from cwinference._calls.clock import Clock
from cwinference._calls.flow import Flow, Sleep

SECOND = 1_000_000_000
CREATING, UPDATING, DELETING = (
    types.Status.STATUS_CREATING,
    types.Status.STATUS_UPDATING,
    types.Status.STATUS_DELETING,
)
READY, ERROR = types.Status.STATUS_READY, types.Status.STATUS_ERROR


class ChangingServer:
    """Deployments that come, change and go."""

    def __init__(self, seed: int, busy_for: float = 90.0) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a history to repeat
        self.now = 1000.0
        self.clock = Clock(monotonic=lambda: self.now, random=self.random.random)
        self.busy_until = self.now + busy_for
        self.live: dict[str, types.Deployment] = {}
        self.versions: dict[str, list[tuple[float, bytes]]] = {}
        """What each resource was, and since when."""
        self.lists = 0
        self._skew = self.random.uniform(-300, 300)
        self._granule = self.random.choice([1, 1_000_000, SECOND, 5 * SECOND])
        self._lag = self.random.choice([0.0, 0.0, 4.0])
        self.is_orderly = self.random.random() < 0.3
        """Whether no response is lost, and what vanishes is DELETING for long: no list of everything is needed."""
        self._unkind = 0.0 if self.is_orderly else self.random.choice([0.0, 0.05, 0.3])
        self._lateness = self.random.choice([0.0, 4.0])  # with the coarsest clock, less than a watch's overlap
        self._listed: dict[str, bytes] = {}
        """What lists show: changes become visible late, those of different resources in any order."""
        self._visible_at: dict[str, float] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count(1)
        self._former: dict[bool, Sequence[bytes]] = {}
        for _ in range(self.random.randrange(6)):
            self._create()
        for _ in range(self.random.randrange(2, 40)):
            moment = self.random.uniform(self.now, self.busy_until)
            burst = self.random.choice([1, 1, 1, 5])
            for _ in range(burst):
                self._at(moment, self._random_event)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and happen what happens in it."""
        until = self.now + seconds
        while self._events and self._events[0][0] <= until:
            moment, _, event = heappop(self._events)
            self.now = max(self.now, moment)
            event()
        self.now = until

    def list(self, after: Timestamp | None) -> Flow[Sequence[types.Deployment]]:
        """Respond to a list, of all or of what has changed after a time."""
        self.lists += 1
        yield Sleep(0.01)
        since = -1 if after is None else after.seconds * SECOND + after.nanos
        found = [each for each in self._listed.values() if updated_at(types.Deployment.FromString(each)) > since]
        yield from self._carry()
        is_full = after is None
        if self.random.random() < self._unkind / 3 and is_full in self._former:
            found = [*self._former[is_full]]  # the response to an earlier request comes again
        self._former[is_full] = found
        return [types.Deployment.FromString(each) for each in found]

    def get(self, id: str) -> Flow[types.Deployment]:
        """Respond to a read."""
        yield Sleep(0.01)
        found = self.live.get(id)
        data = None if found is None else found.SerializeToString()
        yield from self._carry()
        if data is None:
            raise errors.NotFound("gone")
        return types.Deployment.FromString(data)

    def _carry(self) -> Generator[Any, Any, None]:
        yield Sleep(0.01)
        if self.now < self.busy_until and self.random.random() < self._unkind:
            raise errors.Unavailable("the response was lost")

    def _at(self, moment: float, event: Callable[[], None]) -> None:
        heappush(self._events, (moment, next(self._numbers), event))

    def _after(self, event: Callable[[], None]) -> None:
        self._at(self.now + self.random.choice([0.0, 0.5, 3.0, 20.0]), event)

    def _random_event(self) -> None:
        ids = [key for key, each in self.live.items() if each.status.status != DELETING]
        if not ids or self.random.random() < 0.35:
            self._create()
            return
        events = [self._update, self._update, self._update_and_back, self._fail, self._delete]
        if not self.is_orderly:
            events.append(self._vanish)
        self.random.choice(events)(self.random.choice(ids))

    def _create(self) -> None:
        key = f"id-{next(self._numbers)}"
        self.live[key] = types.Deployment(spec=types.DeploymentSpec(id=key, name=f"name of {key}"))
        self._set_status(key, CREATING)
        self._after(lambda: self._set_status(key, READY))

    def _update(self, id: str) -> None:
        self.live[id].spec.traffic.weight += 1
        if self._lag:
            self._note(id)
            self._at(self.now + self._lag, lambda: self._set_status(id, UPDATING))
        else:
            self._set_status(id, UPDATING)
        self._at(self.now + self._lag + self.random.choice([0.0, 1.0, 9.0]), lambda: self._set_status(id, READY))

    def _update_and_back(self, id: str) -> None:
        self.live[id].spec.disabled = not self.live[id].spec.disabled
        self._set_status(id, READY)
        self._at(self.now, lambda: self._toggle(id))

    def _toggle(self, id: str) -> None:
        if id in self.live and self.live[id].status.status != DELETING:
            self.live[id].spec.disabled = not self.live[id].spec.disabled
            self._set_status(id, READY)

    def _fail(self, id: str) -> None:
        self._set_status(id, ERROR)

    def _delete(self, id: str) -> None:
        self._set_status(id, DELETING)
        if self.is_orderly:
            self._at(self.now + 60, lambda: self._vanish(id))
        else:
            self._after(lambda: self._vanish(id))

    def _vanish(self, id: str) -> None:
        if self.live.pop(id, None) is not None:
            self._show(id, b"")

    def _set_status(self, id: str, status: Any) -> None:
        found = self.live.get(id)
        if found is None or found.status.status == DELETING:
            return
        moment = int((self.now + self._skew + 1_000_000) * SECOND) // self._granule * self._granule
        found.status.status = status
        found.status.updated_at.CopyFrom(Timestamp(seconds=moment // SECOND, nanos=moment % SECOND))
        self._note(id)

    def _note(self, id: str) -> None:
        self._show(id, self.live[id].SerializeToString(deterministic=True))

    def _show(self, id: str, data: bytes) -> None:
        self.versions.setdefault(id, []).append((self.now, data))
        moment = max(self._visible_at.get(id, 0.0), self.now + self.random.uniform(0, self._lateness))
        self._visible_at[id] = moment
        if moment > self.now:
            self._at(moment, lambda: self._list(id, data))
        else:
            self._list(id, data)

    def _list(self, id: str, data: bytes) -> None:
        if data:
            self._listed[id] = data
        else:
            self._listed.pop(id, None)


def updated_at(deployment: types.Deployment) -> int:
    """Return when it changed by the server's clock, in nanoseconds."""
    time = deployment.status.updated_at
    return time.seconds * SECOND + time.nanos

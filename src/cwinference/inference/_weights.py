"""Which weights respond: the snapshots of a gateway's deployments, kept up to date while requests are made.

Nothing here is in the way of a request: what is known when it is sent and when it has ended is noted, and no more.
"""

import asyncio
import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakSet

from .. import types
from .._arguments import UNSET
from .._calls.attempts import Context, attempts
from .._calls.drivers import AsyncDriver, SyncDriver
from .._calls.flow import Flow, Sleep
from .._calls.rpc import many
from .._locks import lock_of
from .._text import one_line
from ..errors import ConfigurationError

log = logging.getLogger("cwinference")

INTERVAL = 2.0
"""Seconds between two polls while requests are made."""
_DEPLOYMENTS_SECONDS = 30.0
"""How long a list of the gateway's deployments is used."""
_LATEST = 20
"""How many of a deployment's hot-loads are read: the newest ones."""
_UNUSED_SECONDS = 30.0
"""How long after the last request polling goes on."""
_STALE_SECONDS = 30.0
"""After which time without a good poll nothing is claimed any more."""

_COMPLETED = types.HotLoadState.HOT_LOAD_STATE_COMPLETED
_MOVING = frozenset({types.HotLoadState.HOT_LOAD_STATE_PENDING, types.HotLoadState.HOT_LOAD_STATE_IN_PROGRESS})


@dataclass(frozen=True)
class Weights:
    """Which weights a model had around a request, as far as it is known without asking: up to some seconds late.

    Attributes:
        before: identity of the snapshot that was loaded last when the request was sent; None if there was none, or it
            is not known: before the first poll has ended, or if several deployments of the model differ.
        after: the same when the response was complete; until then, as of now.
        loading: identity of a snapshot that was being loaded at either time, so that some replicas may have had it.
        changed: whether another snapshot became current in between.
    """

    before: str | None
    after: str | None
    loading: str | None
    changed: bool


@dataclass(frozen=True)
class Snapshot:
    """What a deployment has loaded: the identity, the hot-load's id, and the identity that is being loaded."""

    is_known: bool = False
    identity: str | None = None
    hot_load_id: str | None = None
    loading: str | None = None


class WeightsObservation:
    """What was known when a request was sent, and when its response was complete."""

    __slots__ = ("__weakref__", "_after", "_before", "_model", "_source")

    def __init__(self, source: "WeightsSource", model: str | None) -> None:
        self._source = source
        self._model = model
        self._before = source.current(model)
        self._after: Snapshot | None = None

    def end(self) -> Weights:
        """Note that the response is complete; return what is known."""
        if self._after is None:
            self._after = self._source.current(self._model)
        return self.weights()

    def weights(self) -> Weights:
        """Return what is known so far."""
        before, after = self._before, self._after or self._source.current(self._model)
        return Weights(
            before=before.identity,
            after=after.identity,
            loading=after.loading or before.loading,
            changed=before.is_known and after.is_known and before.hot_load_id != after.hot_load_id,
        )


class Poller(NamedTuple):
    """What polls: says whether it has ended, and can be stopped."""

    has_ended: Callable[[], bool]
    stop: Callable[[], object]


class WeightsSource:
    """Polls the hot-loads of one gateway's deployments, on a thread or in a task, for as long as somebody asks."""

    def __init__(self, gateway_id: str, management: Context, start: Callable[["WeightsSource"], Poller]) -> None:
        self._gateway_id = gateway_id
        self.management = management
        self._start = start
        self._lock = lock_of(self)
        self._snapshots: Mapping[str, Snapshot] = {}
        """By the names of models; replaced as a whole."""
        self._deployments: Sequence[types.Deployment] = ()
        self._listed_at = self._polled_at = -math.inf
        self._used_at = 0.0
        self._observations: WeakSet[WeightsObservation] = WeakSet()
        self._poller: Poller | None = None
        self._is_closed = False

    def observe(self, model: str | None) -> WeightsObservation:
        """Begin an observation; start to poll, unless that is done already."""
        observation = WeightsObservation(self, model)
        with self._lock:
            self._observations.add(observation)
            self._used_at = self.management.clock.monotonic()
            if not self._is_closed and (self._poller is None or self._poller.has_ended()):
                self._poller = self._start(self)
        return observation

    def close(self) -> None:
        """Poll no more."""
        self._is_closed = True
        if self._poller is not None:
            self._poller.stop()

    def current(self, model: str | None) -> Snapshot:
        """Return what a model has loaded; nothing if that is not known."""
        if model is None or self.management.clock.monotonic() - self._polled_at > _STALE_SECONDS:
            return Snapshot()
        return self._snapshots.get(model, Snapshot())

    def keep(self) -> Flow[None]:
        """Poll for as long as somebody asks."""
        while self._is_wanted():
            try:
                yield from self.poll()
            except ConfigurationError:  # the client is closed
                return
            except Exception as error:
                log.debug("weights of gateway %s: %s", self._gateway_id, one_line(str(error)))
            yield Sleep(INTERVAL)

    def poll(self) -> Flow[None]:
        """Read the newest hot-loads of each deployment."""
        clock = self.management.clock
        if clock.monotonic() - self._listed_at > _DEPLOYMENTS_SECONDS:
            request = types.ListDeploymentsRequest(parent_gateway_id=self._gateway_id)
            self._deployments = yield from attempts(
                many(request, "items", types.Deployment, UNSET, None), self.management
            )
            self._listed_at = clock.monotonic()
        found: dict[str, list[Snapshot]] = {}
        for deployment in self._deployments:
            if deployment.spec.disabled:
                continue
            newest = types.ListHotLoadsRequest(parent_deployment_id=deployment.spec.id, max_page_size=_LATEST)
            hot_loads = yield from attempts(many(newest, "hot_loads", types.HotLoad, UNSET, None), self.management)
            found.setdefault(deployment.spec.model.name, []).append(_snapshot(hot_loads))
        # Which of several deployments responds is not known, so that they have to agree.
        self._snapshots = {model: each[0] for model, each in found.items() if len({one.identity for one in each}) == 1}
        self._polled_at = clock.monotonic()

    def _is_wanted(self) -> bool:
        if self._is_closed:
            return False
        return bool(self._observations) or self.management.clock.monotonic() - self._used_at < _UNUSED_SECONDS


def poll_on_thread(source: WeightsSource) -> Poller:
    """Poll on a thread."""
    keep = SyncDriver(source.management).bind(source.keep)
    thread = threading.Thread(target=keep, name="cwinference weights", daemon=True)
    thread.start()
    return Poller(lambda: not thread.is_alive(), lambda: None)


def poll_in_task(source: WeightsSource) -> Poller:
    """Poll in a task of the running loop."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(AsyncDriver(source.management).bind(source.keep)())
    return Poller(lambda: task.done() or loop.is_closed(), lambda: _cancel(task, loop))


def _cancel(task: "asyncio.Task[None]", loop: asyncio.AbstractEventLoop) -> None:
    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(task.cancel)


def observe_all(servers: Sequence[Any], model: str | None) -> Mapping[Any, WeightsObservation]:
    """Begin observations of all servers that are polled: which one will respond is not known yet."""
    return {server: server.weights.observe(model) for server in servers if server.weights is not None}


def _snapshot(newest_first: Sequence[types.HotLoad]) -> Snapshot:
    moving = next((each for each in newest_first if each.status.state in _MOVING), None)
    loaded = next((each for each in newest_first if each.status.state == _COMPLETED), None)
    return Snapshot(
        is_known=True,
        identity=None if loaded is None else loaded.spec.identity,
        hot_load_id=None if loaded is None else loaded.spec.id,
        loading=None if moving is None else moving.spec.identity,
    )

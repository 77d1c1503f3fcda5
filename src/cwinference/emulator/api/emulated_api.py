"""The management API as a function: requests in, replies or refusals out, over a state that lives by the clock."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeVar

from google.protobuf.message import Message

from ... import types
from ..._wire.methods import Method
from ..behavior import Behavior, Fate
from ..clock import Clock
from ..interfaces import Caller, Refusal, Violation
from ..parameters import Parameters
from . import rpc_errors as refusals
from .capacity_claims import CapacityClaims
from .deployments import Deployments
from .gateways import Gateways
from .hot_loads import HotLoads
from .journal import Journal
from .store import Store
from .tables import Record, in_order
from .context import Handlers, World

M = TypeVar("M", bound=Message)
Check = Callable[[Message], Sequence[Violation]]
"""The rules that a request breaks whatever the state."""

_MESSAGES: dict[str, type[Message]] = {
    "gateway": types.Gateway,
    "deployment": types.Deployment,
    "capacity_claim": types.CapacityClaim,
    "hot_load": types.HotLoad,
}


class EmulatedApi:
    """All methods of the four services, and the directory of what gateways serve. Any thread may call."""

    def __init__(
        self,
        *,
        ready_after: float | None = None,
        behaviour: Behavior | None = None,
        clock: Clock | None = None,
        check: Check | None = None,
        public_url: str = "http://127.0.0.1:0",
        parameters: Parameters | None = None,
        fates: dict[str, Fate] | None = None,
        journal: Journal | None = None,
    ) -> None:
        """Begin with what the journal holds, or with nothing.

        Args:
            ready_after: seconds from a create to READY; short for the same field of `behaviour`.
            behaviour: delays, previews and the like.
            clock: what time it is; None: a clock of its own, running.
            check: the rules that requests have to obey; None: none.
            public_url: scheme, host and port of the gateways' endpoints.
            parameters: what resources may be made of; None: what suits the rules.
            fates: bad ends in store, by id or name of a resource, or by identity of a hot-load. They count from the
                next create or update on, and may be put in and taken out at any time.
            journal: where state is kept over a restart; None: nowhere. Closed by `close`.
        """
        behaviour = behaviour or Behavior()
        if ready_after is not None:
            behaviour = replace(behaviour, ready_after=ready_after)
        self.clock = clock or Clock()
        self.fates = {} if fates is None else fates
        """Bad ends in store."""
        self._store = Store(self.clock, journal)
        self._world = World(
            store=self._store,
            behaviour=behaviour,
            parameters=(parameters or Parameters()).filled(behaviour.rules),
            public_url=public_url.rstrip("/"),
            fates=self.fates,
        )
        self._check = check
        self._gateways = Gateways(self._world)
        kinds = (self._gateways, Deployments(self._world), CapacityClaims(self._world))
        hot_loads = HotLoads(self._world)
        self._performers = {kind.kind: kind.perform for kind in kinds} | {"hot_load": hot_loads.perform}
        self._handlers: Handlers = dict(chain.from_iterable(each.handlers().items() for each in (*kinds, hot_loads)))
        try:
            self._store.load(_MESSAGES)
        except BaseException:
            self._store.close()
            raise

    @property
    def public_url(self) -> str:
        """Scheme, host and port of the gateways' endpoints; setting it moves those that have one already."""
        return self._world.public_url

    @public_url.setter
    def public_url(self, url: str) -> None:
        with self._store.session(self._perform):
            self._world.public_url = url.rstrip("/")
            self._gateways.move()

    def call(self, method: Method, request: Message, caller: Caller) -> Message:
        """Answer one request, or raise `Refusal`. Whether the caller may write at all is decided before."""
        handler = self._handlers.get(method.request)
        if handler is None:
            raise Refusal("unimplemented", "this method is not known here")
        if self._check is not None and (violations := self._check(request)):
            raise refusals.invalid(violations)
        with self._store.session(self._perform):
            return method.response(**handler(request, caller))

    def gateway(self, id: str) -> types.Gateway | None:
        """The gateway as it stands now, whatever its organization."""
        with self._store.session(self._perform):
            record = self._store.gateways.get(id)
            return None if record is None else _copy(record.message)

    def deployments(self, gateway_id: str) -> Sequence[types.Deployment]:
        """All deployments that name the gateway, as they stand now, in the order of their creation."""
        with self._store.session(self._perform):
            return [_copy(each.message) for each in in_order(self._store.deployments.children(gateway_id).values())]

    def close(self) -> None:
        """Close the journal. Nothing may be called any more."""
        self._store.close()

    def _perform(self, record: Record, step: str, due: int) -> None:
        self._performers[record.kind](record, step, due)


def _copy(message: M) -> M:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy

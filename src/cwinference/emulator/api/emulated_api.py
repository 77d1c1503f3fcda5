"""The emulated management API as a function: from a request to a response or an `RpcError`."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import chain
from typing import Any, TypeVar

from google.protobuf.message import Message

from ... import types
from ..._wire.methods import Method
from ..behavior import Behavior, Fate
from ..clock import EmulatorClock
from ..interfaces import Caller, RpcError, Violation
from ..parameters import Parameters
from . import rpc_errors, snapshots
from .capacity_claims import CapacityClaimHandlers
from .context import ApiContext, HandlerMap
from .deployments import DeploymentHandlers
from .gateways import GatewayHandlers
from .hot_loads import HotLoadHandlers
from .journal import Journal
from .lifecycle import UNPROMPTED, LifecycleHandlers
from .store import RecordStore
from .tables import Record, sorted_by_creation

M = TypeVar("M", bound=Message)
RequestCheck = Callable[[Message], Sequence[Violation]]
"""Returns the validation rules that a request violates, independent of the state."""

_MESSAGE_TYPES: dict[str, type[Message]] = {
    "gateway": types.Gateway,
    "deployment": types.Deployment,
    "capacity_claim": types.CapacityClaim,
    "hot_load": types.HotLoad,
}


class EmulatedApi:
    """All methods of the four services, and the `Directory` of gateways and deployments. It is thread-safe."""

    def __init__(
        self,
        *,
        ready_after: float | None = None,
        behavior: Behavior | None = None,
        clock: EmulatorClock | None = None,
        check: RequestCheck | None = None,
        public_url: str = "http://127.0.0.1:0",
        parameters: Parameters | None = None,
        fates: dict[str, Fate] | None = None,
        journal: Journal | None = None,
    ) -> None:
        """Start with the content of the journal, or empty.

        Args:
            ready_after: seconds from a create to READY; short for the same field of `behavior`, and overrides it.
            behavior: delays, optional features and limits. None: the defaults of `Behavior`.
            clock: the time that resources live by. None: a clock that follows real time.
            check: the validation of requests. None: requests are not validated.
            public_url: scheme, host and port of the gateways' endpoints.
            parameters: what resources may be made of. None: the built-in parameters for the rules of `behavior`.
            fates: planned failures, by the id or name of a resource or the identity of a hot-load. The dict may change
                at any time; a fate takes effect when a create or an update would otherwise complete, or later if it
                says so.
            journal: where the state is kept across restarts. None: nowhere. `close` closes it.

        Raises:
            ConfigurationError: the journal is damaged.
        """
        behavior = behavior or Behavior()
        if ready_after is not None:
            behavior = replace(behavior, ready_after=ready_after)
        self.clock = clock or EmulatorClock()
        self.fates = {} if fates is None else fates
        """Planned failures; see `fates` of the constructor."""
        self._store = RecordStore(self.clock, journal)
        self._context = ApiContext(
            store=self._store,
            behavior=behavior,
            parameters=(parameters or Parameters()).with_defaults(behavior.rules),
            public_url=public_url.rstrip("/"),
            fates=self.fates,
        )
        self._check = check
        self._gateways = GatewayHandlers(self._context)
        services: tuple[LifecycleHandlers | HotLoadHandlers, ...] = (
            self._gateways,
            DeploymentHandlers(self._context),
            CapacityClaimHandlers(self._context),
            HotLoadHandlers(self._context),
        )
        self._lifecycles = [each for each in services if isinstance(each, LifecycleHandlers)]
        self._step_names = {each.kind: each.step_names for each in services}
        self._step_runners = {each.kind: each.run_step for each in services}
        self._handlers: HandlerMap = dict(chain.from_iterable(each.handlers().items() for each in services))
        self._store.after_reload = self._gateways.update_endpoints
        try:
            self._store.load(_MESSAGE_TYPES)
        except BaseException:
            self._store.close()
            raise

    @property
    def public_url(self) -> str:
        """Scheme, host and port of the gateways' endpoints. Setting it updates the existing endpoints."""
        return self._context.public_url

    @public_url.setter
    def public_url(self, url: str) -> None:
        with self._session(must_write=False):
            self._context.public_url = url.rstrip("/")
            self._gateways.update_endpoints()

    def call(self, method: Method, request: Message, caller: Caller) -> Message:
        """Return the response to one request, or raise `RpcError`. The caller's role has been checked before."""
        handler = self._handlers.get(method.request)
        if handler is None:
            raise RpcError("unimplemented", "the emulator does not implement this method")
        if self._check is not None and (violations := self._check(request)):
            raise rpc_errors.invalid_argument(violations)
        with self._session():
            # The response is built inside the session. Its constructor copies the fields, so that later changes of a
            # record do not reach a response that is still being encoded.
            return method.response(**handler(request, caller))

    def gateway(self, id: str) -> types.Gateway | None:
        """Return the current state of a gateway of any organization, or None if there is none with this id."""
        with self._session():
            record = self._store.gateways.get(id)
            return None if record is None else _copy(record.message)

    def deployments(self, gateway_id: str) -> Sequence[types.Deployment]:
        """Return the current state of all deployments that name the gateway, in the order of their creation."""
        with self._session():
            children = self._store.deployments.children(gateway_id)
            return [_copy(each.message) for each in sorted_by_creation(children.values())]

    def snapshot(self) -> Sequence[Mapping[str, Any]]:
        """Return all resources of all organizations with what is planned for them, as JSON objects."""
        with self._session():
            return snapshots.take(self._store)

    def restore(self, resources: object) -> int:
        """Replace all resources by those of a snapshot, and return how many there are.

        What was planned happens after as much time as it would have after the snapshot.

        Raises:
            RpcError: (invalid_argument) the value is no snapshot; nothing was changed.
        """
        with self._session():
            rows = snapshots.read(resources, _MESSAGE_TYPES, self._step_names, self.clock.now())
            self._store.replace(rows)
            self._gateways.update_endpoints()
            return len(rows)

    def settle(self) -> None:
        """Complete all changes at once: resources become READY, or fail as their fates say, and hot-loads complete."""
        with self._session(must_write=False):
            self._store.hasten(self._run_step, UNPROMPTED)

    def close(self) -> None:
        """Close the journal. The API must not be called any more."""
        self._store.close()

    def _session(self, *, must_write: bool = True) -> AbstractContextManager[None]:
        return self._store.session(self._run_step, self._plan_strikes, must_write=must_write)

    def _plan_strikes(self) -> None:
        if any(each.strikes_after is not None for each in list(self.fates.values())):
            for each in self._lifecycles:
                each.plan_strikes()

    def _run_step(self, record: Record, step: str, due: int) -> None:
        self._step_runners[record.kind](record, step, due)


def _copy(message: M) -> M:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy

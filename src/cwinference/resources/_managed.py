"""What gateways, deployments and capacity claims share: how they are created, changed, awaited and deleted."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from .. import types
from .._calls.rpc import Call, CallOptions, held_in, one, one_or_none, required
from .._calls.flow import Flow
from .._calls.operation import Mode, Resource, operation
from ._changes import check_changes, check_lost, check_wait, create, delete, rest_of
from ._waits import until_gone, until_ready

R = TypeVar("R", types.Gateway, types.Deployment, types.CapacityClaim)


class ManagedResource(Resource[Mode], Generic[Mode, R]):
    """A kind of resource that has a status to wait for, and a spec that an update replaces as a whole."""

    _kind: type[R]
    _field: str
    """Where the replies hold it."""
    _get_request: type[Any]
    _ready_within: float
    """Seconds for which `wait=True` waits, unless the call has a timeout of its own."""

    @operation
    def wait_deleted(self, id: str, *, timeout: float | None = 1200.0) -> Flow[None]:
        """Wait until it is gone. `timeout` in seconds; None for no limit.

        Raises:
            WaitTimeout: the time is over (also a `TimeoutError`).
        """
        return until_gone(self._reader(required("id", id)), self._driver.context.clock, timeout=timeout)

    def _create(self, request: Any, options: CallOptions, *, own_id: bool, wait: bool) -> Flow[R]:
        """`own_id`: the request's id was made here, so what is found under it may be ours."""
        check_wait(wait)
        rest = rest_of(options, self._driver.context)
        made = yield from create(
            self._do(self._one(request, options)),
            (lambda: self._do(self._get(request.id, rest()))) if own_id else None,
            lambda found: found.spec.name == request.name,
        )
        return (yield from self._ready(made, options, rest)) if wait else made

    def _get(self, id: str, options: CallOptions, **how: Any) -> Call[R]:
        return Call(self._get_request(id=required("id", id)), held_in(self._field), options, **how)

    def _update(self, request: Message, options: CallOptions, *, wait: bool) -> Flow[R]:
        check_wait(wait)
        rest = rest_of(options, self._driver.context)
        reply = yield from self._do(self._one(request, options, repeatable=False))
        return (yield from self._ready(reply, options, rest, after=reply)) if wait else reply

    def _modify(
        self,
        id: str,
        changes: Mapping[str, Any],
        rewrite: Callable[[R], Message],
        options: CallOptions,
        *,
        wait: bool,
    ) -> Flow[R]:
        """`rewrite` makes the update of what was read."""
        check_wait(wait)
        check_changes(id, changes, options)
        rest = rest_of(options, self._driver.context)
        lost: list[str] = []
        current = yield from self._do(self._get(id, options, as_json=True, lost=lost))
        check_lost(lost, f"{self._field}.spec")
        reply = yield from self._do(self._one(rewrite(current), rest(), repeatable=False, as_json=True))
        return (yield from self._ready(reply, options, rest, after=reply)) if wait else reply

    def _delete(self, request: Message, options: CallOptions) -> Flow[R | None]:
        return delete(self._do(one_or_none(request, self._field, self._kind, options)))

    def _ready(self, written: R, options: CallOptions, rest: Callable[[], CallOptions], **how: Any) -> Flow[R]:
        """Wait for what was written; a timeout that the caller gave holds for the wait too."""
        within = rest().get("timeout") if "timeout" in options else self._ready_within
        return (yield from self._until_ready(written.spec.id, within, **how))

    def _until_ready(self, id: str, timeout: float | None, **how: Any) -> Flow[R]:
        return until_ready(self._reader(id), self._driver.context.clock, timeout=timeout, **how)

    def _reader(self, id: str) -> Callable[[float], Flow[R]]:
        return lambda timeout: self._do(self._get(id, {"timeout": timeout}))

    def _one(self, request: Message, options: CallOptions, **how: Any) -> Call[R]:
        return one(request, self._field, self._kind, options, **how)

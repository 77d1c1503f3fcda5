"""What gateways, deployments and capacity claims have in common: how they are created, changed, awaited, deleted."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from .. import types
from .._arguments import UNSET, check_flag, check_id
from .._calls.deadline import Deadline
from .._calls.flow import Flow
from .._calls.operation import Mode, Resource, operation
from .._calls.rpc import Rpc, in_field, one, one_or_none
from ..errors import ApiError, note_earlier
from ..retry import Retry
from ._changes import check_changes, check_unknown_fields, create, delete
from ._waits import until_gone, until_ready

R = TypeVar("R", types.Gateway, types.Deployment, types.CapacityClaim)


class ManagedResource(Resource[Mode], Generic[Mode, R]):
    """A kind of resource that has a status to wait for, and a spec that an update replaces as a whole."""

    _kind: type[R]
    _field: str
    """The field of a response that contains the resource."""
    _get_request: type[Any]
    _ready_timeout: float
    """Seconds for which `wait=True` waits, unless the call has a timeout of its own."""

    @operation
    def wait_deleted(self, id: str, *, timeout: float | None = 1200.0) -> Flow[None]:
        """Wait until the resource is gone, through transient failures.

        Args:
            id: id of the resource.
            timeout: seconds for the whole wait (1,200); None for no limit.

        Raises:
            WaitTimeout: the time has run out (also a `TimeoutError`).
        """
        return until_gone(self._reader(check_id(id)), self._driver.context.clock, timeout=timeout)

    def _create(
        self, request: Any, timeout: float | None, retry: Retry | None, *, id_is_generated: bool, wait: bool
    ) -> Flow[R]:
        """Create, and wait if that is wanted. With `id_is_generated`, what has the request's id is ours."""
        _check_wait(wait)
        deadline = self._deadline(timeout)
        created = yield from create(
            self._do(self._one(request, timeout, retry)),
            (lambda: self._do(self._get(request.id, deadline.require(), retry))) if id_is_generated else None,
            lambda found: found.spec.name == request.name,
        )
        return (yield from self._ready(created, timeout, deadline)) if wait else created

    def _get(self, id: str, timeout: float | None, retry: Retry | None, **how: Any) -> Rpc[R]:
        return Rpc(self._get_request(id=check_id(id)), in_field(self._field), timeout, retry, **how)

    def _update(self, request: Message, timeout: float | None, retry: Retry | None, *, wait: bool) -> Flow[R]:
        _check_wait(wait)
        deadline = self._deadline(timeout)
        updated = yield from self._do(self._one(request, timeout, retry, idempotent=False))
        return (yield from self._ready(updated, timeout, deadline, after=updated)) if wait else updated

    def _modify(
        self,
        id: str,
        changes: Mapping[str, Any],
        rewrite: Callable[[R], Message],
        timeout: float | None,
        retry: Retry | None,
        *,
        wait: bool,
    ) -> Flow[R]:
        """Read, rewrite and update. `rewrite` makes the request of an update from the resource."""
        _check_wait(wait)
        check_changes(id, changes)
        deadline = self._deadline(timeout)
        unknown: list[str] = []
        current = yield from self._do(self._get(id, timeout, retry, as_json=True, unknown_fields=unknown))
        check_unknown_fields(unknown, f"{self._field}.spec")
        request = rewrite(current)
        write = self._one(request, deadline.require(), retry, idempotent=False, as_json=True)
        updated = yield from self._do(write)
        return (yield from self._ready(updated, timeout, deadline, after=updated)) if wait else updated

    def _delete(self, request: Message, timeout: float | None, retry: Retry | None) -> Flow[R | None]:
        return delete(self._do(one_or_none(request, self._field, self._kind, timeout, retry)))

    def _ready(self, written: R, timeout: float | None, deadline: Deadline, **how: Any) -> Flow[R]:
        """Wait for what was written. A timeout that the caller gave covers the wait as well."""
        try:
            remaining = self._ready_timeout if timeout is UNSET else deadline.require()
            return (yield from self._until_ready(written.spec.id, remaining, **how))
        except ApiError as error:
            note_earlier(error, may_have_succeeded=True)  # it is an error of the wait: the write was done
            raise

    def _until_ready(self, id: str, timeout: float | None, **how: Any) -> Flow[R]:
        return until_ready(self._reader(id), self._driver.context.clock, timeout=timeout, **how)

    def _reader(self, id: str) -> Callable[[float], Flow[R]]:
        return lambda timeout: self._do(self._get(id, timeout, UNSET))

    def _one(self, request: Message, timeout: float | None, retry: Retry | None, **how: Any) -> Rpc[R]:
        return one(request, self._field, self._kind, timeout, retry, **how)


def _check_wait(wait: bool) -> None:
    check_flag(wait, "wait", "; for a limit use wait(id, timeout=...)")

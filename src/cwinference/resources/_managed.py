"""What gateways, deployments and capacity claims have in common: how they are created, changed, awaited, deleted."""

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar, cast

from google.protobuf.message import Message

from .. import errors, types
from .._arguments import UNSET, check_at_least, check_callback, check_flag, check_id
from .._calls.deadline import Deadline
from .._calls.flow import Flow
from .._calls.operation import Mode, Resource, operation
from .._calls.rpc import Rpc, in_field, one, one_or_none
from .._calls.session import ClientSession
from .._wire.methods import method_for
from ..retry import Retry
from ._changes import (
    cannot_show,
    check_changes,
    check_unknown_fields,
    copy_spec,
    create,
    delete,
    edited,
    has_unknown_fields,
    keep_unseen,
    replacement,
)
from ._handles import of_resource, written_to
from ._parts import fill, materialized

M = TypeVar("M", bound=Message)
R = TypeVar("R", "types.Gateway", "types.Deployment", "types.CapacityClaim")


class _FromSpec:
    def __repr__(self) -> str:
        return "<that of spec>"


FROM_SPEC: Final[Any] = _FromSpec()
"""The default of an argument that is required unless `spec` is given."""


class Waiting(Generic[R]):
    """Whether and how a method that has written something waits for the result."""

    def __init__(self, wait: bool, on_change: Callable[[R], object] | None, error_after: float | None) -> None:
        check_flag(wait, "wait", "; for a limit use wait(id, timeout=...)")
        check_callback(on_change, "on_change")
        if error_after is not None:
            check_at_least(0, error_after, "error_after")
        for name, value in (("on_change", on_change), ("error_after", error_after)):
            if value is not None and not wait:
                raise errors.ConfigurationError(f"{name} has an effect only with wait=True")
        self.wait = wait
        self.on_change: Callable[[R], object] | None = on_change
        self.error_after = error_after


class ManagedResource(Resource[Mode], Generic[Mode, R]):
    """A kind of resource that has a status to wait for, and a spec that an update replaces as a whole."""

    _kind: type[R]
    _field: str
    """The field of a response that contains the resource."""
    _get_request: type[Any]
    _list_request: type[Any]
    _listed: str
    """The field of the response to a list that contains the resources."""
    _update_request: type[Any]
    _ready_timeout: float
    """Seconds for which `wait=True` waits, unless the call has a timeout of its own."""

    @operation
    def wait_deleted(self, id: str, *, timeout: float | None = 1200.0) -> Flow[None]:
        """Wait until the resource is gone; transient failures do not end the wait.

        Args:
            id: id of the resource.
            timeout: seconds for the whole wait (1,200); None for no limit.

        Raises:
            WaitTimeout: the time has run out (also a `TimeoutError`).
        """
        return self._until_gone(check_id(id), timeout)

    def _create(
        self, request: Any, timeout: float | None, retry: Retry | None, waiting: Waiting[R], *, id_is_generated: bool
    ) -> Flow[R]:
        """Create, and wait if that is wanted. With `id_is_generated`, what has the request's id is ours."""
        deadline = self._deadline(timeout)
        with written_to(request.id):
            created = yield from create(
                self._do(self._one(request, timeout, retry)),
                (lambda: self._do(self._get(request.id, deadline.require(), retry))) if id_is_generated else None,
                lambda found: found.spec.name == request.name,
            )
        return (yield from self._ready(created, timeout, deadline, waiting, created=True))

    def _get(self, id: str, timeout: float | None, retry: Retry | None, **how: Any) -> Rpc[R]:
        return Rpc(self._get_request(id=check_id(id)), in_field(self._field), timeout, retry, **how)

    def _find(self, name: str, timeout: float | None, retry: Retry | None) -> Rpc[R]:
        """Return a list of which the result is the resource of that name."""
        check_id(name, "name")

        def named(response: Any) -> R:
            found = self._named(name, response)
            if found is None:
                text = f"no {self._field.replace('_', ' ')} has the name {name!r}"
                raise errors.NotFound(text, method=method_for(self._list_request).name)
            return found

        return Rpc(self._list_request(), named, timeout, retry)

    def _named(self, name: str, response: Any) -> R | None:
        """Return the resource of that name in the response to a list."""
        return next((each for each in getattr(response, self._listed) if each.spec.name == name), None)

    def _update(
        self,
        request: Message,
        timeout: float | None,
        retry: Retry | None,
        waiting: Waiting[R],
        *,
        spec: object,
        named: Container[str],
    ) -> Flow[R]:
        """Update, and wait if that is wanted.

        `spec`: a whole spec that the caller gave, which may have been read in a binary codec, or None. `named`: the
        fields that the caller has named.
        """
        deadline, own_id = self._deadline(timeout), cast(Any, request).id
        time_to_write = timeout
        if spec is not None and self._is_binary() and (cannot_show(request, named) or has_unknown_fields(spec)):
            current = yield from self._read_to_change(own_id, timeout, retry)
            keep_unseen(request, current.spec, named)
            time_to_write = deadline.require()
        with written_to(own_id):
            updated = yield from self._do(self._one(request, time_to_write, retry, idempotent=False))
        return (yield from self._ready(updated, timeout, deadline, waiting))

    def _modify(
        self,
        id: str,
        changes: Mapping[str, Any],
        edit: Callable[[Any], object] | None,
        timeout: float | None,
        retry: Retry | None,
        waiting: Waiting[R],
    ) -> Flow[R]:
        """Read, change and update. The changes are refused before the read if they cannot fit any resource."""
        changes = {name: materialized(value) for name, value in changes.items()}
        request = self._update_request(id=check_id(id))
        check_changes(request, changes, edit)
        self._change(self._update_request(), self._kind().spec, changes)
        deadline = self._deadline(timeout)
        current = yield from self._read_to_change(id, timeout, retry)
        if edit is None:
            self._change(request, current.spec, changes)
        else:
            copy_spec(edited(current.spec, edit, request), request)
        self._check_rewrite(request, current, changes)
        write = self._one(request, deadline.require(), retry, idempotent=False, as_json=True)
        with written_to(id):
            updated = yield from self._do(write)
        return (yield from self._ready(updated, timeout, deadline, waiting, as_json=True))

    def _change(self, request: Any, spec: Any, changes: Mapping[str, Any]) -> None:
        """Make the request one that changes a spec."""
        replacement(request, spec, changes)

    def _check_rewrite(self, request: Any, current: Any, changes: Mapping[str, Any]) -> None:
        """Refuse to write what would lose something that the read could not show."""

    def _read_to_change(self, id: str, timeout: float | None, retry: Retry | None) -> Flow[R]:
        """Read as JSON, and refuse a spec with fields that this release does not know."""
        current, unknown = yield from self._read_as_json(id, timeout, retry)
        check_unknown_fields(unknown, f"{self._field}.spec")
        return current

    def _read_as_json(self, id: str, timeout: float | None, retry: Retry | None) -> Flow[tuple[R, Sequence[str]]]:
        """Return the resource with all of its fields, and the paths of those that this release does not know."""
        unknown: list[str] = []
        current = yield from self._do(self._get(id, timeout, retry, as_json=True, unknown_fields=unknown))
        return current, unknown

    def _is_binary(self) -> bool:
        """Return whether responses come in a binary codec."""
        settings = cast(ClientSession[Any], self._driver.context.session).settings
        return settings.transport == "grpc" or (settings.transport == "connect" and settings.codec == "proto")

    def _delete(self, request: Message, timeout: float | None, retry: Retry | None) -> Flow[R | None]:
        return delete(self._do(one_or_none(request, self._field, self._kind, timeout, retry)))

    def _ready(
        self,
        written: R,
        timeout: float | None,
        deadline: Deadline,
        waiting: Waiting[R],
        *,
        created: bool = False,
        as_json: bool = False,
    ) -> Flow[R]:
        """Wait for what was written, if that is wanted. A timeout that the caller gave covers the wait as well.

        What was written `as_json` is read so too, for the fields that a binary codec does not show.
        """
        if not waiting.wait:
            return written
        how: dict[str, Any] = {"just_created": True} if created else {"after": written}
        how |= {"on_change": waiting.on_change, "error_after": waiting.error_after, "as_json": as_json}
        with of_resource(written.spec.id):
            try:
                remaining = self._ready_timeout if timeout is UNSET else deadline.require()
                return (yield from self._until_ready(written.spec.id, remaining, **how))
            except errors.ApiError as error:
                errors.note_earlier(error, may_have_succeeded=True)  # it is an error of the wait: the write was done
                raise

    def _until_ready(self, id: str, timeout: float | None, *, as_json: bool = False, **how: Any) -> Flow[R]:
        from ._waits import until_ready

        with of_resource(id):
            found: R = yield from until_ready(
                self._reader(id, as_json), self._driver.context.clock, timeout=timeout, **how
            )
        return found

    def _until_gone(self, id: str, timeout: float | None) -> Flow[None]:
        from ._waits import until_gone

        with of_resource(id):
            yield from until_gone(self._reader(id), self._driver.context.clock, timeout=timeout)

    def _reader(self, id: str, as_json: bool = False) -> Callable[[float], Flow[R]]:
        return lambda timeout: self._do(self._get(id, timeout, UNSET, as_json=as_json))

    def _one(self, request: Message, timeout: float | None, retry: Retry | None, **how: Any) -> Rpc[R]:
        return one(request, self._field, self._kind, timeout, retry, **how)


def whole(request: M, spec: Any, kind: type[Message], fields: Mapping[str, Any], method: str) -> M:
    """Return the request with a whole spec, and with the fields that the caller named next to it, which win.

    Without a spec, each field whose default is FROM_SPEC is required.
    """
    given = {name: value for name, value in fields.items() if value is not FROM_SPEC}
    if spec is None:
        missing = [name for name in fields if name not in given]
        if missing:
            raise TypeError(f"{method}: missing argument: {', '.join(missing)} (or a whole spec=)")
    else:
        copy_spec(spec_of(spec, kind), request)
    fill(request, given)
    return request


def named_in(fields: Mapping[str, Any]) -> set[str]:
    """Return the paths of the fields that the caller named: `a.b` for those in a mapping."""
    paths = set[str]()
    for name, value in fields.items():
        if isinstance(value, Mapping):
            paths |= {f"{name}.{key}" for key in cast(Mapping[str, Any], value)}
        elif value is not None and value is not FROM_SPEC:
            paths.add(name)
    return paths


def spec_of(spec: Any, kind: type[Message]) -> Message:
    """Return a whole spec, given as a message or as a mapping."""
    name = cast(Any, kind.DESCRIPTOR).name
    if isinstance(spec, Mapping):
        found = kind()
        fill(found, cast(Mapping[str, Any], spec), "spec")
        return found
    if type(spec) is not kind:
        advice = "; use its spec" if isinstance(getattr(spec, "spec", None), kind) else ""
        raise errors.ConfigurationError(
            f"spec: expected a types.{name} or a mapping, got {type(spec).__name__}{advice}"
        )
    found_spec: Message = spec
    return found_spec

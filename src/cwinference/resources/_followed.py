"""What watches and caches need of gateways, deployments and capacity claims: how to list and to read them."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from google.protobuf.timestamp_pb2 import Timestamp

from .. import errors, types
from .._arguments import UNSET, check_id, shown
from .._calls.flow import Flow
from .._calls.operation import Mode, operation
from .._calls.rpc import many
from ..following._kinds import Kind
from ..retry import Retry
from ._managed import ManagedResource, Waiting

if TYPE_CHECKING:
    from .._calls.transient import PollError
    from ..following._following import Following, ResourceSource

R = TypeVar("R", "types.Gateway", "types.Deployment", "types.CapacityClaim")


class FollowedResource(ManagedResource[Mode, R], Generic[Mode, R]):
    """A kind of resource that is known by its name, so that one can be ensured, and that can be followed."""

    _create_request: type[Any]
    _required: ClassVar[Collection[str]] = ()
    """Arguments without which none can be created."""
    _immutable: ClassVar[Collection[str]] = ()
    """Fields that cannot change, although the request of an update has them."""

    @operation
    def wait_all(
        self,
        ids: Iterable[str],
        *,
        timeout: float | None = 3600.0,
        on_change: Callable[[R], object] | None = None,
        error_after: float | None = None,
    ) -> Flow[Mapping[str, R | errors.InferenceError]]:
        """Wait until each of several resources is READY or never will be; return each, or what went wrong with it.

        It costs one list per poll, however many there are. As with `wait`, neither ERROR nor a transient failure ends
        it. What ends the wait for one resource does not end that for the others: it is in the result, by the resource's
        id, in the order of `ids`.

        Args:
            ids: ids of the resources.
            timeout: seconds for the whole wait (3,600); None for no limit. What is not READY then has a `WaitTimeout`.
            on_change: called with each resource whenever it differs from the previous poll.
            error_after: seconds in ERROR after which a resource has a `ResourceFailed`; None: never.

        Raises:
            ConfigurationError: an argument is wrong.
            ApiError, ProtocolError: a failure of the list that will not pass, such as PermissionDenied.
        """
        from ..following._following import Follower
        from ._wait_all import until_all_ready
        from ._waits import Awaited, WaitClock

        clock = self._driver.context.clock
        wait = WaitClock(clock, timeout)
        waiting = {each: Awaited[R](clock, wait.deadline, None, on_change, error_after) for each in _checked(ids)}
        source = self._source(lambda each: each.spec.id in waiting, wait.timeout)
        return until_all_ready(Follower(source), waiting, wait, clock)

    def _ensure(
        self,
        name: str,
        spec: Any,
        fields: Mapping[str, Any],
        timeout: float | None,
        retry: Retry | None,
        waiting: Waiting[R],
    ) -> Flow[R]:
        """Create, change or find the resource, and wait if that is wanted."""
        from ._ensure import EnsureOptions, Ensuring

        options = EnsureOptions(timeout, self._deadline(timeout), retry, waiting)
        return Ensuring(self, name, spec, fields, options).run()

    def _complete(self, request: Any) -> None:
        """Add to the request of a create what is required, but may be empty."""

    def _source(
        self, covers: Callable[[R], bool] = lambda _: True, timeout: Callable[[], Any] = lambda: UNSET, **scope: str
    ) -> "ResourceSource[R]":
        """Return how to read this kind.

        Args:
            covers: which resources are meant. A list of changes contains all: it shows which have left the scope.
            timeout: returns that of the next call.
            scope: filters for lists of everything.
        """
        from ..following._following import ResourceSource

        def list_(updated_after: Timestamp | None) -> Flow[Sequence[R]]:
            filters: dict[str, Any] = dict(scope) if updated_after is None else {"updated_after": updated_after}
            return self._do(many(self._list_request(**filters), self._listed, self._kind, timeout()))

        def get(id: str) -> Flow[R]:
            return self._do(self._get(id, timeout(), UNSET))

        return ResourceSource(cast(Kind, self._field), self._kind, list_, get, covers)

    def _following(
        self,
        source: "ResourceSource[R]",
        interval: tuple[float, float],
        relist: float,
        on_error: "Callable[[PollError], object] | None",
    ) -> "Following[R]":
        """Return what a watch follows. The arguments are checked, and a closed client is refused."""
        from ..following._following import following

        return following([source], self._driver.context, interval, relist, on_error)


def _checked(ids: Iterable[str]) -> Sequence[str]:
    """Return ids, each once. A single string is refused: it would be taken for many."""
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        raise errors.ConfigurationError(f"ids: expected a list of ids, got {shown(ids)}")
    return [*dict.fromkeys(check_id(each, "ids") for each in ids)]

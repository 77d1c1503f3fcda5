"""What watches and caches need of gateways, deployments and capacity claims: how to list and to read them."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, cast

from google.protobuf.timestamp_pb2 import Timestamp

from .. import types
from .._arguments import UNSET
from .._calls.flow import Flow
from .._calls.operation import Mode
from .._calls.rpc import many
from .._calls.transient import PollError
from ..following._change import Kind
from ..following._following import Following, Source, following
from ._ensure import EnsuredResource

R = TypeVar("R", types.Gateway, types.Deployment, types.CapacityClaim)


class FollowedResource(EnsuredResource[Mode, R], Generic[Mode, R]):
    """A kind of resource that can be followed."""

    def _source(self, covers: Callable[[R], bool] = lambda _: True, **scope: str) -> Source[R]:
        """Return how to read this kind.

        Args:
            covers: which resources are meant. A list of changes contains all: it shows which have left the scope.
            scope: filters for lists of everything.
        """

        def list_(updated_after: Timestamp | None) -> Flow[Sequence[R]]:
            filters: dict[str, Any] = dict(scope) if updated_after is None else {"updated_after": updated_after}
            return self._do(many(self._list_request(**filters), self._listed, self._kind))

        def get(id: str) -> Flow[R]:
            return self._do(self._get(id, UNSET, UNSET))

        return Source(cast(Kind, self._field), self._kind, list_, get, covers)

    def _following(
        self,
        source: Source[R],
        interval: tuple[float, float],
        relist: float,
        on_error: Callable[[PollError], object] | None,
    ) -> Following[R]:
        """Return what a watch follows. The arguments are checked, and a closed client is refused."""
        return following([source], self._driver.context, interval, relist, on_error)

"""`client.hot_loads`: new weights loaded into the running replicas of a deployment. All calls travel as JSON."""

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import Message

from .. import types
from .._arguments import UNSET, check_id
from .._calls.flow import Emit, Flow, Pages
from .._calls.operation import Mode, Resource, operation, paged
from .._calls.rpc import Rpc, one, whole
from ..errors import ProtocolError
from ..retry import Retry
from ._arguments import given_or_new, optional_id
from ._changes import create
from ._handles import of_resource, written_to
from ._parts import build
from ._waits import until_ready

_PAGE_SIZE = 1000


class HotLoads(Resource[Mode]):
    """Hot-loads: new weights loaded into the running replicas of a deployment. A preview feature of the service."""

    @operation
    def create(
        self,
        deployment_id: str,
        *,
        identity: str,
        type: "types.SnapshotType.ValueType",
        hot_load_id: str | None = None,
        incremental_snapshot_metadata: types.IncrementalSnapshotMetadata | Mapping[str, Any] | None = None,
        prompt_cache_policy: "types.PromptCachePolicy.ValueType | None" = None,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> Flow[types.HotLoad]:
        """Start to load a snapshot into a deployment, and return the hot-load; see `wait`.

        Args:
            deployment_id: a READY deployment with hot-loading enabled.
            identity: the snapshot's directory below the deployment's `hot_load` location; one path segment.
            type: full or incremental.
            hot_load_id: a UUID of your own. By default one is generated, which makes it safe to retry a lost request.
            incremental_snapshot_metadata: what an incremental snapshot builds on; not for a full one.
            prompt_cache_policy: whether the prompt cache is kept; by default it is.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: the deployment id or the identity is empty.
            FailedPrecondition: the deployment is not READY, hot-loading is disabled, another hot-load is in progress,
                or the snapshot does not continue the chain of those before.
            InvalidArgument: the service refuses a value; `details` says which.
        """
        request = build(
            types.CreateHotLoadRequest,
            deployment_id=check_id(deployment_id, "deployment_id"),
            hot_load_id=given_or_new(hot_load_id, "hot_load_id"),
            identity=check_id(identity, "identity"),
            type=type,
            incremental_snapshot_metadata=incremental_snapshot_metadata,
            prompt_cache_policy=prompt_cache_policy or types.PromptCachePolicy.PROMPT_CACHE_POLICY_UNSPECIFIED,
        )
        deadline = self._deadline(timeout)
        return self._create(
            self._do(one(request, "hot_load", types.HotLoad, timeout, retry)),
            (lambda: self._do(_get(request.hot_load_id, deadline.require(), retry))) if hot_load_id is None else None,
            request,
        )

    @operation
    def get(self, id: str, *, timeout: float | None = UNSET, retry: Retry | None = UNSET) -> Rpc[types.HotLoad]:
        """Return a hot-load.

        Args:
            id: id of the hot-load.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            NotFound: there is no such hot-load in your organization.
        """
        return _get(id, timeout, retry)

    @paged
    def list(
        self,
        parent_deployment_id: str | None = None,
        *,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> Pages[types.HotLoad]:
        """Iterate over hot-loads, newest first. They are read page by page.

        Args:
            parent_deployment_id: only those of this deployment; None means all of the organization.
            timeout: seconds for each page, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: the id is empty.
        """
        parent = optional_id(parent_deployment_id, "parent_deployment_id")
        return self._pages(
            lambda token: whole(
                build(
                    types.ListHotLoadsRequest,
                    parent_deployment_id=parent,
                    max_page_size=_PAGE_SIZE,
                    page_token=token,
                ),
                types.ListHotLoadsResponse,
                timeout,
                retry,
            ),
            "hot_loads",
        )

    @paged
    def replicas(
        self, hot_load_id: str, *, timeout: float | None = UNSET, retry: Retry | None = UNSET
    ) -> Pages[types.HotLoadReplica]:
        """Iterate over the status of each replica, by zone and name. They are read page by page.

        A replica is up to date when it is READY and its `current_snapshot_identity` is the target.

        Args:
            hot_load_id: id of the hot-load.
            timeout: seconds for each page, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            NotFound: there is no such hot-load.
        """
        check_id(hot_load_id, "hot_load_id")
        return self._pages(
            lambda token: whole(
                types.ListHotLoadReplicasRequest(hot_load_id=hot_load_id, max_page_size=_PAGE_SIZE, page_token=token),
                types.ListHotLoadReplicasResponse,
                timeout,
                retry,
            ),
            "replicas",
        )

    @operation
    def cancel(self, id: str, *, timeout: float | None = UNSET, retry: Retry | None = UNSET) -> Rpc[types.HotLoad]:
        """Request that a hot-load be stopped, and return it; nothing is rolled back.

        It is not retried if it may have been processed.

        Args:
            id: id of the hot-load.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            Unimplemented: the service does not offer it yet.
            NotFound: there is no such hot-load.
        """
        request = types.CancelHotLoadRequest(id=check_id(id))
        return one(request, "hot_load", types.HotLoad, timeout, retry, idempotent=False)

    @operation
    def wait(
        self,
        id: str,
        *,
        timeout: float | None = 1800.0,
        on_change: Callable[[types.HotLoad], object] | None = None,
    ) -> Flow[types.HotLoad]:
        """Wait until the hot-load is COMPLETED, and return it; transient failures do not end the wait.

        Polling starts at 0.25 s and backs off to 10 s.

        Args:
            id: id of the hot-load.
            timeout: seconds for the whole wait (1,800); None for no limit.
            on_change: called with the hot-load whenever it differs from the previous poll.

        Raises:
            ResourceFailed: it is FAILED or CANCELED; the text lists the unmet conditions.
            WaitTimeout: the time has run out (also a `TimeoutError`).
            NotFound: there is no such hot-load.
        """
        return self._until_completed(check_id(id), timeout, on_change)

    def _create(
        self,
        send: Flow[types.HotLoad],
        read_back: Callable[[], Flow[types.HotLoad]] | None,
        request: types.CreateHotLoadRequest,
    ) -> Flow[types.HotLoad]:
        with written_to(request.hot_load_id):
            return (yield from create(send, read_back, lambda found: _asks_for(found.spec) == _asks_for(request)))

    def _until_completed(
        self, id: str, timeout: float | None, on_change: Callable[[types.HotLoad], object] | None
    ) -> Flow[types.HotLoad]:
        def read(seconds: float) -> Flow[types.HotLoad]:
            return self._do(_get(id, seconds, UNSET))

        with of_resource(id):
            return (yield from until_ready(read, self._driver.context.clock, timeout=timeout, on_change=on_change))

    def _pages(self, page: Callable[[str], Rpc[Any]], field: str) -> Pages[Any]:
        """Return all pages. The first call is made here, so that the method itself reports a wrong argument."""
        return self._pages_from(page(""), page, field)

    def _pages_from(self, call: Rpc[Any], page: Callable[[str], Rpc[Any]], field: str) -> Pages[Any]:
        """Return all pages, the first by `call`. A page token that comes twice would never end, so it is an error."""
        seen = {""}
        while True:
            response: Any = yield from self._do(call)
            yield Emit(getattr(response, field))
            token = response.next_page_token
            if not token:
                return
            if token in seen:
                raise ProtocolError("the server returned the same page token twice", method=_method_of(response))
            seen.add(token)
            call = page(token)


def _get(id: str, timeout: float | None, retry: Retry | None) -> Rpc[types.HotLoad]:
    return one(types.GetHotLoadRequest(id=check_id(id)), "hot_load", types.HotLoad, timeout, retry)


def _asks_for(wanted: types.HotLoadSpec | types.CreateHotLoadRequest) -> tuple[Any, ...]:
    """Return everything that makes a hot-load what it is, apart from its id. The default policy is PRESERVE."""
    return (
        wanted.deployment_id,
        wanted.identity,
        wanted.type,
        wanted.prompt_cache_policy or types.PromptCachePolicy.PROMPT_CACHE_POLICY_PRESERVE,
        wanted.incremental_snapshot_metadata,
    )


def _method_of(response: Message) -> str:
    return response.DESCRIPTOR.name.removesuffix("Response")

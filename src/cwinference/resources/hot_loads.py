"""`client.hot_loads`: new weights swapped into the running replicas of a deployment. All of it travels as JSON."""

from collections.abc import Callable
from typing import Any, Unpack

from google.protobuf.message import Message

from .. import types
from .._calls.rpc import Call, CallOptions, build, given_or_new, one, required, required_if_given, whole
from .._calls.flow import Emit, Flow, Pages
from .._calls.operation import Mode, Resource, operation, paged
from ..errors import ProtocolError
from ._changes import create, rest_of
from ._waits import until_ready

_PAGE_SIZE = 1000


class HotLoads(Resource[Mode]):
    """Hot-loads: new weights swapped into the running replicas of a deployment. A preview of the service's."""

    @operation
    def create(
        self,
        deployment_id: str,
        *,
        identity: str,
        type: "types.SnapshotType.ValueType",
        hot_load_id: str | None = None,
        incremental_snapshot_metadata: types.IncrementalSnapshotMetadata | None = None,
        prompt_cache_policy: "types.PromptCachePolicy.ValueType | None" = None,
        **options: Unpack[CallOptions],
    ) -> Flow[types.HotLoad]:
        """Start to load a snapshot into a deployment; see `wait`.

        Args:
            deployment_id: a READY deployment with hot-loading switched on.
            identity: the snapshot's directory below the deployment's `hot_load` location; one path segment.
            type: full or incremental.
            hot_load_id: a UUID of your own. Left out, one is made, which lets a lost request be repeated safely.
            incremental_snapshot_metadata: what an incremental snapshot builds on; not for a full one.
            prompt_cache_policy: whether the prompt cache is kept; left out, it is.

        Raises:
            ConfigurationError: an empty deployment id or identity.
            FailedPrecondition: the deployment is not READY, hot-loading is off, another one is in progress, or the
                snapshot does not fit the chain.
            InvalidArgument: the service refuses a value; `details` says which.
        """
        request = build(
            types.CreateHotLoadRequest,
            deployment_id=required("deployment_id", deployment_id),
            hot_load_id=given_or_new("hot_load_id", hot_load_id),
            identity=required("identity", identity),
            type=type,
            incremental_snapshot_metadata=incremental_snapshot_metadata,
            prompt_cache_policy=prompt_cache_policy or types.PromptCachePolicy.PROMPT_CACHE_POLICY_UNSPECIFIED,
        )
        rest = rest_of(options, self._driver.context)
        return create(
            self._do(one(request, "hot_load", types.HotLoad, options)),
            (lambda: self._do(_get(request.hot_load_id, rest()))) if hot_load_id is None else None,
            lambda found: (found.spec.deployment_id, found.spec.identity) == (deployment_id, identity),
        )

    @operation
    def get(self, id: str, **options: Unpack[CallOptions]) -> Call[types.HotLoad]:
        """Read one hot-load.

        Raises:
            NotFound: there is no such hot-load in your organization.
        """
        return _get(id, options)

    @paged
    def list(self, parent_deployment_id: str | None = None, **options: Unpack[CallOptions]) -> Pages[types.HotLoad]:
        """Iterate over hot-loads, newest first, page by page. `timeout` is for each page.

        Args:
            parent_deployment_id: only those of this deployment; None means all of the organization.

        Raises:
            ConfigurationError: an empty id.
        """
        parent = required_if_given("parent_deployment_id", parent_deployment_id)
        return self._pages(
            lambda token: whole(
                build(
                    types.ListHotLoadsRequest,
                    parent_deployment_id=parent,
                    max_page_size=_PAGE_SIZE,
                    page_token=token,
                ),
                types.ListHotLoadsResponse,
                options,
            ),
            "hot_loads",
        )

    @paged
    def replicas(self, hot_load_id: str, **options: Unpack[CallOptions]) -> Pages[types.HotLoadReplica]:
        """Iterate over how each replica stands, by zone and name, page by page. `timeout` is for each page.

        A replica is caught up when it is READY and its `current_snapshot_identity` is the target.

        Raises:
            NotFound: there is no such hot-load.
        """
        required("hot_load_id", hot_load_id)
        return self._pages(
            lambda token: whole(
                types.ListHotLoadReplicasRequest(hot_load_id=hot_load_id, max_page_size=_PAGE_SIZE, page_token=token),
                types.ListHotLoadReplicasResponse,
                options,
            ),
            "replicas",
        )

    @operation
    def cancel(self, id: str, **options: Unpack[CallOptions]) -> Call[types.HotLoad]:
        """Ask to stop a hot-load; nothing is rolled back. It is sent once.

        Raises:
            Unimplemented: the service does not offer it yet.
            NotFound: there is no such hot-load.
        """
        request = types.CancelHotLoadRequest(id=required("id", id))
        return one(request, "hot_load", types.HotLoad, options, repeatable=False)

    @operation
    def wait(
        self,
        id: str,
        *,
        timeout: float | None = 1800.0,
        on_change: Callable[[types.HotLoad], object] | None = None,
    ) -> Flow[types.HotLoad]:
        """Wait until the hot-load is COMPLETED, through passing failures, and return it.

        Args:
            id: the hot-load.
            timeout: seconds for the whole wait; None for no limit.
            on_change: called with the hot-load whenever it differs from the last look.

        Raises:
            ResourceFailed: it is FAILED or CANCELED; the text shows the unmet conditions.
            WaitTimeout: the time is over (also a `TimeoutError`).
            NotFound: there is no such hot-load.
        """
        required("id", id)
        return until_ready(
            lambda limit: self._do(_get(id, {"timeout": limit})),
            self._driver.context.clock,
            timeout=timeout,
            on_change=on_change,
        )

    def _pages(self, page: Callable[[str], Call[Any]], field: str) -> Pages[Any]:
        """All pages. The first call is made here, so that a wrong argument is told where it is given."""
        return self._pages_from(page(""), page, field)

    def _pages_from(self, call: Call[Any], page: Callable[[str], Call[Any]], field: str) -> Pages[Any]:
        """A page token that comes a second time would go on for ever and is an error."""
        seen = {""}
        while True:
            reply: Any = yield from self._do(call)
            yield Emit(getattr(reply, field))
            token = reply.next_page_token
            if not token:
                return
            if token in seen:
                raise ProtocolError("the server gave the same page token twice", method=_method_of(reply))
            seen.add(token)
            call = page(token)


def _get(id: str, options: CallOptions) -> Call[types.HotLoad]:
    return one(types.GetHotLoadRequest(id=required("id", id)), "hot_load", types.HotLoad, options)


def _method_of(reply: Message) -> str:
    return reply.DESCRIPTOR.name.removesuffix("Response")

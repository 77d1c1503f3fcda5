"""`client.deployments`: models that run on GPUs behind one or more gateways."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from google.protobuf.timestamp_pb2 import Timestamp

from .. import errors, types
from .._arguments import UNSET, check_id
from .._calls.flow import Flow
from .._calls.operation import Mode, operation
from .._calls.rpc import Rpc, many, whole
from ..following._declarations import watch
from ..retry import Retry
from ._arguments import given_or_new, later_than, optional_id
from ._followed import FollowedResource
from ._managed import FROM_SPEC, Waiting, named_in
from ._managed import whole as whole_request
from ._parts import build

if TYPE_CHECKING:
    from ..following._following import Following


class Deployments(FollowedResource[Mode, types.Deployment]):
    """Deployments: models that run on GPUs behind one or more gateways."""

    _kind = types.Deployment
    _field = "deployment"
    _get_request = types.GetDeploymentRequest
    _list_request = types.ListDeploymentsRequest
    _listed = "items"
    _create_request = types.CreateDeploymentRequest
    _update_request = types.UpdateDeploymentRequest
    _ready_timeout = 3600.0
    _required = ("gateway_ids", "runtime", "resources", "model", "autoscaling")
    _immutable = ("hot_load",)

    @operation
    def create(
        self,
        name: str = FROM_SPEC,
        *,
        id: str | None = None,
        gateway_ids: Iterable[str] = FROM_SPEC,
        runtime: types.DeploymentRuntime | Mapping[str, Any] = FROM_SPEC,
        resources: types.DeploymentResources | Mapping[str, Any] = FROM_SPEC,
        model: types.DeploymentModel | Mapping[str, Any] = FROM_SPEC,
        autoscaling: types.DeploymentAutoscaling | Mapping[str, Any] = FROM_SPEC,
        traffic: types.DeploymentTraffic | Mapping[str, Any] | None = None,
        disabled: bool | None = None,
        hot_load: types.DeploymentHotLoad | Mapping[str, Any] | None = None,
        spec: types.DeploymentSpec | Mapping[str, Any] | None = None,
        wait: bool = False,
        on_change: Callable[[types.Deployment], object] | None = None,
        error_after: float | None = None,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> Flow[types.Deployment]:
        """Create a deployment, and return it at once; with `wait=True` return it when it is READY, which takes minutes.

        It occupies its GPUs until it is deleted.

        Wherever a message is taken, so is a mapping of its fields; there, enum names work without their prefix.

        Args:
            name: unique in the organization; letters, digits and hyphens, at most 63 characters.
            id: a UUID of your own. By default one is generated, which makes it safe to retry a lost request.
            gateway_ids: the gateways that serve it, at least one; they must exist.
            runtime: engine, version and options, from `parameters().runtime_parameters`.
            resources: instance type and GPUs of one replica.
            model: the name that clients request, and the location of the weights.
            autoscaling: minimum and maximum number of replicas.
            traffic: its share among deployments of the same model name; by default weight 0.
            disabled: create it without running it.
            hot_load: enables hot-loading. Only responses in JSON show it (`transport="rest"`, `codec="json"`,
                `modify`), because its field number in the binary form is not published.
            spec: a whole spec, such as that of another deployment, instead of the arguments above. Its `id` and
                `organization_id` are ignored. Arguments next to it take precedence: a mapping changes just its keys.
                One that was read in a binary codec (gRPC, or Connect by default) lacks `hot_load`: give it next to it.
            wait: return only when it is READY (3,600 s at most, or the `timeout` of this call).
            on_change: with `wait=True`, called with the deployment whenever it differs from the previous poll.
            error_after: with `wait=True`, seconds in ERROR after which it raises ResourceFailed; None: never.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: the name is empty, or a value is of the wrong type or out of range.
            AlreadyExists: the id or the name is taken.
            InvalidArgument: the service refuses a value; `details` says which.
            ResourceFailed, WaitTimeout: with `wait=True`, as `wait` raises them. The `resource_id` of these, and of any
                other error after the write, is the id.
        """
        waiting = Waiting(wait, on_change, error_after)
        fields: dict[str, Any] = {
            "name": name,
            "gateway_ids": gateway_ids,
            "runtime": runtime,
            "resources": resources,
            "model": model,
            "autoscaling": autoscaling,
            "traffic": traffic,
            "disabled": disabled,
            "hot_load": hot_load,
        }
        request = types.CreateDeploymentRequest(id=given_or_new(id))
        _fill(request, spec, fields, "create")
        return self._create(request, timeout, retry, waiting, id_is_generated=id is None)

    @operation
    def get(self, id: str, *, timeout: float | None = UNSET, retry: Retry | None = UNSET) -> Rpc[types.Deployment]:
        """Return a deployment. Only responses in JSON show its `hot_load` (see `create`).

        Args:
            id: id of the deployment.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            NotFound: there is no such deployment in your organization.
        """
        return self._get(id, timeout, retry)

    @operation
    def find(self, name: str, *, timeout: float | None = UNSET, retry: Retry | None = UNSET) -> Rpc[types.Deployment]:
        """Return the deployment of that name, which is unique in an organization. It reads the list of all deployments.

        Args:
            name: the exact name.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: the name is empty.
            NotFound: no deployment in your organization has that name.
        """
        return self._find(name, timeout, retry)

    @operation
    def list(
        self,
        *,
        parent_gateway_id: str | None = None,
        updated_after: datetime | Timestamp | None = None,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> Rpc[Sequence[types.Deployment]]:
        """Return the organization's deployments, all in one response.

        Args:
            parent_gateway_id: only those of this gateway; None means all of the organization.
            updated_after: only those changed later than this: a timezone-aware `datetime`, or a `Timestamp` for
                nanoseconds. Deleted ones are never listed.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: the id is empty, or `updated_after` has no time zone (it is also a `ValueError`).
        """
        request = build(
            types.ListDeploymentsRequest,
            parent_gateway_id=optional_id(parent_gateway_id, "parent_gateway_id"),
            updated_after=later_than(updated_after),
        )
        return many(request, "items", types.Deployment, timeout, retry)

    @operation
    def update(
        self,
        id: str,
        *,
        name: str = FROM_SPEC,
        gateway_ids: Iterable[str] = FROM_SPEC,
        runtime: types.DeploymentRuntime | Mapping[str, Any] = FROM_SPEC,
        resources: types.DeploymentResources | Mapping[str, Any] = FROM_SPEC,
        model: types.DeploymentModel | Mapping[str, Any] = FROM_SPEC,
        autoscaling: types.DeploymentAutoscaling | Mapping[str, Any] = FROM_SPEC,
        traffic: types.DeploymentTraffic | Mapping[str, Any] | None = None,
        disabled: bool | None = None,
        hot_load: types.DeploymentHotLoad | Mapping[str, Any] | None = None,
        spec: types.DeploymentSpec | Mapping[str, Any] | None = None,
        wait: bool = False,
        on_change: Callable[[types.Deployment], object] | None = None,
        error_after: float | None = None,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> Flow[types.Deployment]:
        """Replace the whole spec, and return the deployment; what is omitted is reset. Use `modify` to change a part.

        It is not retried if it may have been processed: a second update could undo a change made in between.

        Args:
            id: id of the deployment.
            name, gateway_ids, runtime, resources, model, autoscaling, traffic, disabled: as in `create`.
            hot_load: has to be what was set at creation; it cannot change.
            spec: a whole spec, instead of the arguments above. Its `id` and `organization_id` are ignored, and
                arguments next to it take precedence: a mapping changes just its keys.
                In a binary codec (gRPC, or Connect by default) it cannot show `hot_load`, so that is read as JSON
                first, and kept.
            wait: return only when the new spec is READY (3,600 s at most, or the `timeout` of this call).
            on_change: with `wait=True`, called with the deployment whenever it differs from the previous poll.
            error_after: with `wait=True`, seconds in ERROR after which it raises ResourceFailed; None: never.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: an argument is wrong; or, with `spec`, the deployment has a field that this release
                would reset.
            NotFound: there is no such deployment.
            FailedPrecondition: one of its hot-loads is unfinished.
            InvalidArgument: the service refuses a value; `details` says which.
            ResourceFailed, WaitTimeout: with `wait=True`, as `wait` raises them. The `resource_id` of these, and of any
                other error after the write, is the id.
        """
        waiting = Waiting(wait, on_change, error_after)
        fields: dict[str, Any] = {
            "name": name,
            "gateway_ids": gateway_ids,
            "runtime": runtime,
            "resources": resources,
            "model": model,
            "autoscaling": autoscaling,
            "traffic": traffic,
            "disabled": disabled,
            "hot_load": hot_load,
        }
        request = types.UpdateDeploymentRequest(id=check_id(id))
        _fill(request, spec, fields, "update")
        return self._update(request, timeout, retry, waiting, spec=spec, named=named_in(fields))

    @operation
    def modify(
        self,
        id: str,
        *,
        name: str | None = None,
        gateway_ids: Iterable[str] | None = None,
        runtime: types.DeploymentRuntime | Mapping[str, Any] | None = None,
        resources: types.DeploymentResources | Mapping[str, Any] | None = None,
        model: types.DeploymentModel | Mapping[str, Any] | None = None,
        autoscaling: types.DeploymentAutoscaling | Mapping[str, Any] | None = None,
        traffic: types.DeploymentTraffic | Mapping[str, Any] | None = None,
        disabled: bool | None = None,
        hot_load: types.DeploymentHotLoad | Mapping[str, Any] | None = None,
        edit: Callable[[types.DeploymentSpec], object] | None = None,
        wait: bool = False,
        on_change: Callable[[types.Deployment], object] | None = None,
        error_after: float | None = None,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> Flow[types.Deployment]:
        """Change a part of the spec, and return the deployment: read it, apply the changes, and update it.

        There are three ways to change a part, such as `autoscaling`: a mapping changes just its keys, and so do
        mappings inside it; 0 and empty values count, so an empty list or mapping empties its field. A message replaces
        the part; it is refused if that would reset sub-fields that are set now and not in it. `edit` changes anything.

        It reads and writes as JSON on every transport, so that fields newer than this release are noticed. A concurrent
        change between the read and the write is overwritten: the API has no version to check.

        Args:
            id: id of the deployment.
            name, gateway_ids, runtime, resources, model, autoscaling, traffic, disabled, hot_load: as in `create`; None
                leaves a field as it is.
            edit: instead of these, a plain function that is called with a copy of the spec, a `types.DeploymentSpec`,
                and changes it in place.
            wait: return only when the new spec is READY (3,600 s at most, or the `timeout` of this call).
            on_change: with `wait=True`, called with the deployment whenever it differs from the previous poll.
            error_after: with `wait=True`, seconds in ERROR after which it raises ResourceFailed; None: never.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: no change is given; or a message would reset something; or the deployment has a field
                that this release would reset.
            NotFound: there is no such deployment.
            ResourceFailed, WaitTimeout: with `wait=True`, as `wait` raises them. The `resource_id` of these, and of any
                other error after the write, is the id.
        """
        changes = {
            "name": name,
            "gateway_ids": gateway_ids,
            "runtime": runtime,
            "resources": resources,
            "model": model,
            "autoscaling": autoscaling,
            "traffic": traffic,
            "disabled": disabled,
            "hot_load": hot_load,
        }

        return self._modify(id, changes, edit, timeout, retry, Waiting(wait, on_change, error_after))

    @operation
    def ensure(
        self,
        name: str,
        *,
        gateway_ids: Iterable[str] | None = None,
        runtime: types.DeploymentRuntime | Mapping[str, Any] | None = None,
        resources: types.DeploymentResources | Mapping[str, Any] | None = None,
        model: types.DeploymentModel | Mapping[str, Any] | None = None,
        autoscaling: types.DeploymentAutoscaling | Mapping[str, Any] | None = None,
        traffic: types.DeploymentTraffic | Mapping[str, Any] | None = None,
        disabled: bool | None = None,
        hot_load: types.DeploymentHotLoad | Mapping[str, Any] | None = None,
        spec: types.DeploymentSpec | Mapping[str, Any] | None = None,
        wait: bool = False,
        on_change: Callable[[types.Deployment], object] | None = None,
        error_after: float | None = None,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> Flow[types.Deployment]:
        """Return the deployment of that name as it is described here: create it, change it, or leave it as it is.

        If there is none of that name, it is created. If all given fields are equal, nothing is written; otherwise it is
        changed as by `modify`. A field that is not given is neither compared nor reset, nor is a field of a message
        that is not set, or a key that a mapping does not have. The order of gateway ids and of an engine's options
        means nothing. Several processes may ensure the same name at the same time, and it is safe to call it again
        after any error.

        Args:
            name: unique in the organization; the identity of the deployment.
            gateway_ids, runtime, resources, model, autoscaling, traffic, disabled, hot_load: as in `create`; None
                leaves a field as it is. The first five are required if there is none of that name. `hot_load` cannot
                change.
            spec: a whole spec, such as that of another deployment, instead of the arguments above: its fields that are
                set, without `id`, `name` and `organization_id`. Arguments next to it take precedence: a mapping changes
                just its keys.
            wait: return only when it is READY (3,600 s at most, or the `timeout` of this call), and wait until an old
                one of that name is gone.
            on_change: with `wait=True`, called with the deployment whenever it differs from the previous poll.
            error_after: with `wait=True`, seconds in ERROR after which it raises ResourceFailed; None: never.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: an argument is wrong, or is missing to create it; or `hot_load` differs; or a message
                would reset something; or the deployment has a field that this release would reset.
            FailedPrecondition: the one of that name is being deleted, and `wait` is not given; or the service refuses
                the change for now.
            InvalidArgument: the service refuses a value; `details` says which.
            ResourceFailed, WaitTimeout: with `wait=True`, as `wait` raises them. The `resource_id` of these, and of any
                other error after the write, is the id.
        """
        waiting = Waiting(wait, on_change, error_after)
        fields: dict[str, Any] = {
            "gateway_ids": gateway_ids,
            "runtime": runtime,
            "resources": resources,
            "model": model,
            "autoscaling": autoscaling,
            "traffic": traffic,
            "disabled": disabled,
            "hot_load": hot_load,
        }
        return self._ensure(name, spec, fields, timeout, retry, waiting)

    @operation
    def delete(
        self, id: str, *, timeout: float | None = UNSET, retry: Retry | None = UNSET
    ) -> Flow[types.Deployment | None]:
        """Start to delete a deployment, whatever its state, and return its last state; see `wait_deleted`.

        It returns None if the response has no state, or if a retry finds that an earlier attempt has deleted it.

        Args:
            id: id of the deployment.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            NotFound: there is no such deployment.
        """
        return self._delete(types.DeleteDeploymentRequest(id=check_id(id)), timeout, retry)

    @operation
    def parameters(
        self,
        *,
        gateway_ids: Iterable[str] = (),
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> Rpc[types.GetDeploymentParametersResponse]:
        """Return the engines, versions, options and instance types that a deployment may use.

        Args:
            gateway_ids: only what is available behind these gateways; none means all of the organization.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.
        """
        request = build(types.GetDeploymentParametersRequest, gateway_ids=gateway_ids)
        return whole(request, types.GetDeploymentParametersResponse, timeout, retry)

    @operation
    def wait(
        self,
        id: str,
        *,
        timeout: float | None = 3600.0,
        after: types.Deployment | None = None,
        on_change: Callable[[types.Deployment], object] | None = None,
        error_after: float | None = None,
    ) -> Flow[types.Deployment]:
        """Wait until the deployment is READY, and return it; neither ERROR nor a transient failure ends the wait.

        A disabled one never becomes READY: its `ResourcesApplied` condition is awaited instead. Polling starts at
        0.25 s and backs off to 10 s.

        Args:
            id: id of the deployment.
            timeout: seconds for the whole wait (3,600); None for no limit.
            after: the response of an update. READY then counts only once the deployment has changed since, or after
                10 s, because a status can lag behind.
            on_change: called with the deployment whenever it differs from the previous poll.
            error_after: seconds in ERROR after which it raises ResourceFailed; None: never.

        Raises:
            ResourceFailed: it is FAILED or DELETING, or was in ERROR for too long; the text lists the unmet conditions.
            WaitTimeout: the time has run out (also a `TimeoutError`).
            NotFound: there is no such deployment.
        """
        return self._until_ready(check_id(id), timeout, after=after, on_change=on_change, error_after=error_after)

    @watch
    def watch(
        self,
        *,
        parent_gateway_id: str | None = None,
        interval: tuple[float, float] = (1.0, 30.0),
        relist: float = 300.0,
        on_error: Callable[[errors.ApiError | errors.ProtocolError], object] | None = None,
    ) -> "Following[types.Deployment]":
        """Return an endless iterator over changes: first all deployments as "added", then "synced", then what changes.

        Each step of it polls and sleeps as needed, on the calling thread or task: leave the loop to end it. It is
        level-based: who is slow sees the newest state of each deployment, not all that came before, and nothing twice.
        A deployment whose deletion went unnoticed is "removed" at the next full list. Failures that pass are retried
        without end.

        Args:
            parent_gateway_id: only those of this gateway; None means all of the organization.
            interval: seconds between two polls: the shortest, while anything is CREATING, UPDATING or DELETING, and the
                longest, to which it backs off when nothing moves (1, 30).
            relist: seconds between two lists of everything, which find removals that nothing else shows (300).
            on_error: called with each failure that passes, when the client's own retries have given up.

        Raises:
            ConfigurationError: an argument is wrong, or the client is closed.
            ApiError, ProtocolError: at a step, a failure that will not pass, such as PermissionDenied.
        """
        if parent_gateway_id is None:
            return self._following(self._source(), interval, relist, on_error)
        wanted = check_id(parent_gateway_id, "parent_gateway_id").lower()
        source = self._source(
            lambda each: wanted in map(str.lower, each.spec.gateway_ids), parent_gateway_id=parent_gateway_id
        )
        return self._following(source, interval, relist, on_error)

    def _complete(self, request: types.CreateDeploymentRequest) -> None:
        request.traffic.SetInParent()


def _fill(request: Any, spec: Any, fields: Mapping[str, Any], method: str) -> None:
    whole_request(request, spec, types.DeploymentSpec, fields, f"deployments.{method}")
    check_id(request.name, "name") if spec is not None else check_id(fields["name"], "name")
    request.traffic.SetInParent()  # required, but may be empty

"""`client.deployments`: models that run on GPUs behind one or more gateways."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Unpack

from google.protobuf.timestamp_pb2 import Timestamp

from .. import types
from .._calls.rpc import Call, CallOptions, build, given_or_new, many, required, required_if_given, whole
from .._calls.flow import Flow
from .._calls.operation import Mode, operation
from ._changes import replacement
from ._filters import later_than
from ._managed import ManagedResource


class Deployments(ManagedResource[Mode, types.Deployment]):
    """Deployments: models that run on GPUs behind one or more gateways."""

    _kind = types.Deployment
    _field = "deployment"
    _get_request = types.GetDeploymentRequest
    _ready_within = 3600.0

    @operation
    def create(
        self,
        name: str,
        *,
        id: str | None = None,
        gateway_ids: Iterable[str],
        runtime: types.DeploymentRuntime,
        resources: types.DeploymentResources,
        model: types.DeploymentModel,
        autoscaling: types.DeploymentAutoscaling,
        traffic: types.DeploymentTraffic | None = None,
        disabled: bool = False,
        hot_load: types.DeploymentHotLoad | None = None,
        wait: bool = False,
        **options: Unpack[CallOptions],
    ) -> Flow[types.Deployment]:
        """Ask for a new deployment. It answers at once; loading a model takes minutes; `wait=True` waits until READY.

        It holds its GPUs until it is deleted.

        Args:
            name: unique in the organization; letters, digits and hyphens, at most 63.
            id: a UUID of your own. Left out, one is made, which lets a lost request be repeated safely.
            gateway_ids: the gateways that serve it, at least one; they must exist.
            runtime: engine, version and options, from `parameters().runtime_parameters`.
            resources: instance type and GPUs of one replica.
            model: the name that clients ask for, and where the weights lie.
            autoscaling: fewest and most replicas.
            traffic: its share among deployments of the same model name; left out, weight 0.
            disabled: create it without running it.
            hot_load: switches hot-loading on. It is seen only in answers that came as JSON (`transport="rest"`,
                `codec="json"`, `modify`), since its number in the binary form is not published.
            wait: return only when it is READY (at most 3,600 s, or the `timeout` of this call).

        Raises:
            ConfigurationError: an empty name.
            AlreadyExists: the id or the name is taken.
            InvalidArgument: the service refuses a value; `details` says which.
            ResourceFailed, WaitTimeout: with `wait=True`, as `wait` raises them.
        """
        request = build(
            types.CreateDeploymentRequest,
            id=given_or_new("id", id),
            name=required("name", name),
            gateway_ids=gateway_ids,
            runtime=runtime,
            resources=resources,
            model=model,
            autoscaling=autoscaling,
            traffic=types.DeploymentTraffic() if traffic is None else traffic,
            disabled=disabled,
            hot_load=hot_load,
        )
        return self._create(request, options, own_id=id is None, wait=wait)

    @operation
    def get(self, id: str, **options: Unpack[CallOptions]) -> Call[types.Deployment]:
        """Read one deployment. Its `hot_load` is seen only in answers that came as JSON (see `create`).

        Raises:
            NotFound: there is no such deployment in your organization.
        """
        return self._get(id, options)

    @operation
    def list(
        self,
        *,
        parent_gateway_id: str | None = None,
        updated_after: datetime | Timestamp | None = None,
        **options: Unpack[CallOptions],
    ) -> Call[Sequence[types.Deployment]]:
        """List the organization's deployments, all in one answer.

        Args:
            parent_gateway_id: only those of this gateway; None means all of the organization.
            updated_after: only those changed later than this: a timezone-aware `datetime`, or a `Timestamp` for
                nanoseconds. Deleted ones never show.

        Raises:
            ConfigurationError: an empty id, or `updated_after` has no time zone (it is a `ValueError` too).
        """
        request = build(
            types.ListDeploymentsRequest,
            parent_gateway_id=required_if_given("parent_gateway_id", parent_gateway_id),
            updated_after=later_than(updated_after),
        )
        return many(request, "items", types.Deployment, options)

    @operation
    def update(
        self,
        id: str,
        *,
        name: str,
        gateway_ids: Iterable[str],
        runtime: types.DeploymentRuntime,
        resources: types.DeploymentResources,
        model: types.DeploymentModel,
        autoscaling: types.DeploymentAutoscaling,
        traffic: types.DeploymentTraffic | None = None,
        disabled: bool = False,
        hot_load: types.DeploymentHotLoad | None = None,
        wait: bool = False,
        **options: Unpack[CallOptions],
    ) -> Flow[types.Deployment]:
        """Replace the whole spec; what is left out is reset. See `modify` for changing a part.

        The arguments are those of `create`; `hot_load` has to repeat what was set at creation. It is sent once: a lost
        update is not repeated, since by then it might undo somebody else's. `wait=True` waits until the new spec is
        READY.

        Raises:
            NotFound: there is no such deployment.
            FailedPrecondition: one of its hot-loads is unfinished.
            InvalidArgument: the service refuses a value; `details` says which.
        """
        request = build(
            types.UpdateDeploymentRequest,
            id=required("id", id),
            name=required("name", name),
            gateway_ids=gateway_ids,
            runtime=runtime,
            resources=resources,
            model=model,
            autoscaling=autoscaling,
            traffic=types.DeploymentTraffic() if traffic is None else traffic,
            disabled=disabled,
            hot_load=hot_load,
        )
        return self._update(request, options, wait=wait)

    @operation
    def modify(
        self,
        id: str,
        *,
        name: str | None = None,
        gateway_ids: Iterable[str] | None = None,
        runtime: types.DeploymentRuntime | None = None,
        resources: types.DeploymentResources | None = None,
        model: types.DeploymentModel | None = None,
        autoscaling: types.DeploymentAutoscaling | None = None,
        traffic: types.DeploymentTraffic | None = None,
        disabled: bool | None = None,
        hot_load: types.DeploymentHotLoad | None = None,
        wait: bool = False,
        **options: Unpack[CallOptions],
    ) -> Flow[types.Deployment]:
        """Change a part of the spec: read it, put the changes on top, and update. None leaves a field as it is.

        It reads and writes as JSON on every transport, so that fields newer than this release are seen. A change of
        somebody else's between the read and the write is overwritten: the API has no version to check.

        Raises:
            ConfigurationError: the deployment holds a field that this release would lose; or no change is given.
            NotFound: there is no such deployment.
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

        def rewrite(current: types.Deployment) -> types.UpdateDeploymentRequest:
            return replacement(types.UpdateDeploymentRequest(id=id), current.spec, changes)

        return self._modify(id, changes, rewrite, options, wait=wait)

    @operation
    def delete(self, id: str, **options: Unpack[CallOptions]) -> Flow[types.Deployment | None]:
        """Start to remove a deployment, in whatever state it is; see `wait_deleted`. Gives its last state, or None when
        the answer tells none, or a repeated request finds nothing left.

        Raises:
            NotFound: there is no such deployment.
        """
        request = types.DeleteDeploymentRequest(id=required("id", id))
        return self._delete(request, options)

    @operation
    def parameters(
        self, *, gateway_ids: Iterable[str] = (), **options: Unpack[CallOptions]
    ) -> Call[types.GetDeploymentParametersResponse]:
        """Tell which engines, versions, options and instance types a deployment may use.

        Args:
            gateway_ids: answer for these gateways only; none means all of the organization.
        """
        request = build(types.GetDeploymentParametersRequest, gateway_ids=gateway_ids)
        return whole(request, types.GetDeploymentParametersResponse, options)

    @operation
    def wait(
        self,
        id: str,
        *,
        timeout: float | None = 3600.0,
        after: types.Deployment | None = None,
        on_change: Callable[[types.Deployment], object] | None = None,
    ) -> Flow[types.Deployment]:
        """Wait until the deployment is READY, through ERROR and passing failures, and return it.

        A disabled one never gets READY; it is awaited by its `ResourcesApplied` condition.

        Args:
            id: the deployment.
            timeout: seconds for the whole wait; None for no limit.
            after: the answer of an update. READY then counts once the deployment changed after it, or 10 s later,
                because a status can lag behind.
            on_change: called with the deployment whenever it differs from the last look.

        Raises:
            ResourceFailed: it is FAILED or DELETING; the text shows the unmet conditions.
            WaitTimeout: the time is over (also a `TimeoutError`).
            NotFound: there is no such deployment.
        """
        return self._until_ready(required("id", id), timeout, after=after, on_change=on_change)

"""`client.gateways`: the public entry points to deployed models."""

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
from ._arguments import given_or_new, later_than
from ._followed import FollowedResource
from ._managed import FROM_SPEC, Waiting, named_in
from ._managed import whole as whole_request

if TYPE_CHECKING:
    from ..following._following import Following


class Gateways(FollowedResource[Mode, types.Gateway]):
    """Gateways: the public entry points to deployed models."""

    _kind = types.Gateway
    _field = "gateway"
    _get_request = types.GetGatewayRequest
    _list_request = types.ListGatewaysRequest
    _listed = "items"
    _create_request = types.CreateGatewayRequest
    _update_request = types.UpdateGatewayRequest
    _ready_timeout = 600.0

    @operation
    def create(
        self,
        name: str = FROM_SPEC,
        *,
        id: str | None = None,
        zones: Iterable[str] | None = None,
        core_weave_auth: types.CoreWeaveAuth | Mapping[str, Any] | None = None,
        weights_and_biases_auth: types.WeightsAndBiasesAuth | Mapping[str, Any] | None = None,
        endpoint_configuration: types.EndpointConfiguration | Mapping[str, Any] | None = None,
        body_based_routing: types.BodyBasedRouting | Mapping[str, Any] | None = None,
        header_based_routing: types.HeaderBasedRouting | Mapping[str, Any] | None = None,
        path_based_routing: types.PathBasedRouting | Mapping[str, Any] | None = None,
        spec: types.GatewaySpec | Mapping[str, Any] | None = None,
        wait: bool = False,
        on_change: Callable[[types.Gateway], object] | None = None,
        error_after: float | None = None,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> Flow[types.Gateway]:
        """Create a gateway, and return it at once, usually CREATING; with `wait=True` return it when it is READY.

        Wherever a message is taken, so is a mapping of its fields; there, enum names work without their prefix.

        Args:
            name: unique in the organization; letters, digits and hyphens, at most 63 characters. CoreWeave's Terraform
                provider allows only 38, because the host name derived from it must fit into a certificate.
            id: a UUID of your own. By default one is generated, which makes it safe to retry a lost request.
            zones: where its deployments may run, from `parameters().zones`; none means all.
            core_weave_auth: inference requests carry a CoreWeave token. Exactly one auth is required.
            weights_and_biases_auth: inference requests carry a Weights & Biases key.
            endpoint_configuration: host names of your own, the address ranges that may call it, and whether requests
                pass through the platform's edge proxy. The last two travel only as JSON, and binary responses do not
                show them.
            body_based_routing: the model is named in the JSON body. Exactly one routing is required.
            header_based_routing: the model is named in an HTTP header.
            path_based_routing: the model is the first segment of the path.
            spec: a whole spec, such as that of another gateway, instead of the arguments above. Its `id` and
                `organization_id` are ignored. Arguments next to it take precedence: a mapping changes just its keys.
                One that was read in a binary codec (gRPC, or Connect by default) lacks the address ranges and the edge
                proxy mode: give these next to it.
            wait: return only when it is READY (600 s at most, or the `timeout` of this call).
            on_change: with `wait=True`, called with the gateway whenever it differs from the previous poll.
            error_after: with `wait=True`, seconds in ERROR after which it raises ResourceFailed; None: never.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: the name is empty, a value is of the wrong type or out of range, or two members of a
                oneof are given.
            AlreadyExists: the id or the name is taken.
            InvalidArgument: the service refuses a value; `details` says which.
            ResourceFailed, WaitTimeout: with `wait=True`, as `wait` raises them. The `resource_id` of these, and of any
                other error after the write, is the id.
        """
        waiting = Waiting(wait, on_change, error_after)
        fields: dict[str, Any] = {
            "name": name,
            "zones": zones,
            "core_weave_auth": core_weave_auth,
            "weights_and_biases_auth": weights_and_biases_auth,
            "endpoint_configuration": endpoint_configuration,
            "body_based_routing": body_based_routing,
            "header_based_routing": header_based_routing,
            "path_based_routing": path_based_routing,
        }
        request = types.CreateGatewayRequest(id=given_or_new(id))
        _fill(request, spec, fields, "create")
        return self._create(request, timeout, retry, waiting, id_is_generated=id is None)

    @operation
    def get(self, id: str, *, timeout: float | None = UNSET, retry: Retry | None = UNSET) -> Rpc[types.Gateway]:
        """Return a gateway.

        Args:
            id: id of the gateway.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            NotFound: there is no such gateway in your organization.
        """
        return self._get(id, timeout, retry)

    @operation
    def find(self, name: str, *, timeout: float | None = UNSET, retry: Retry | None = UNSET) -> Rpc[types.Gateway]:
        """Return the gateway of that name, which is unique in an organization. It reads the list of all gateways.

        Args:
            name: the exact name.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: the name is empty.
            NotFound: no gateway in your organization has that name.
        """
        return self._find(name, timeout, retry)

    @operation
    def list(
        self,
        *,
        updated_after: datetime | Timestamp | None = None,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> Rpc[Sequence[types.Gateway]]:
        """Return the organization's gateways, all in one response.

        Args:
            updated_after: only those changed later than this: a timezone-aware `datetime`, or a `Timestamp` for
                nanoseconds. Deleted ones are never listed.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: `updated_after` has no time zone (it is also a `ValueError`).
        """
        request = types.ListGatewaysRequest(updated_after=later_than(updated_after))
        return many(request, "items", types.Gateway, timeout, retry)

    @operation
    def update(
        self,
        id: str,
        *,
        name: str = FROM_SPEC,
        zones: Iterable[str] | None = None,
        core_weave_auth: types.CoreWeaveAuth | Mapping[str, Any] | None = None,
        weights_and_biases_auth: types.WeightsAndBiasesAuth | Mapping[str, Any] | None = None,
        endpoint_configuration: types.EndpointConfiguration | Mapping[str, Any] | None = None,
        body_based_routing: types.BodyBasedRouting | Mapping[str, Any] | None = None,
        header_based_routing: types.HeaderBasedRouting | Mapping[str, Any] | None = None,
        path_based_routing: types.PathBasedRouting | Mapping[str, Any] | None = None,
        spec: types.GatewaySpec | Mapping[str, Any] | None = None,
        wait: bool = False,
        on_change: Callable[[types.Gateway], object] | None = None,
        error_after: float | None = None,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> Flow[types.Gateway]:
        """Replace the whole spec, and return the gateway; what is omitted is reset. Use `modify` to change a part.

        It is not retried if it may have been processed: a second update could undo a change made in between.

        Args:
            id: id of the gateway.
            name, zones, core_weave_auth, weights_and_biases_auth, endpoint_configuration, body_based_routing,
            header_based_routing, path_based_routing: as in `create`.
            spec: a whole spec, instead of the arguments above. Its `id` and `organization_id` are ignored, and
                arguments next to it take precedence: a mapping changes just its keys.
                In a binary codec (gRPC, or Connect by default) it cannot show a gateway's address ranges and edge proxy
                mode, so they are read as JSON first, and kept. A Weights & Biases key is never shown: give that auth
                next to it.
            wait: return only when the new spec is READY (600 s at most, or the `timeout` of this call).
            on_change: with `wait=True`, called with the gateway whenever it differs from the previous poll.
            error_after: with `wait=True`, seconds in ERROR after which it raises ResourceFailed; None: never.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: an argument is wrong; or, with `spec`, the gateway has a field that this release would
                reset.
            NotFound: there is no such gateway.
            InvalidArgument: the service refuses a value; `details` says which.
            ResourceFailed, WaitTimeout: with `wait=True`, as `wait` raises them. The `resource_id` of these, and of any
                other error after the write, is the id.
        """
        waiting = Waiting(wait, on_change, error_after)
        fields: dict[str, Any] = {
            "name": name,
            "zones": zones,
            "core_weave_auth": core_weave_auth,
            "weights_and_biases_auth": weights_and_biases_auth,
            "endpoint_configuration": endpoint_configuration,
            "body_based_routing": body_based_routing,
            "header_based_routing": header_based_routing,
            "path_based_routing": path_based_routing,
        }
        request = types.UpdateGatewayRequest(id=check_id(id))
        _fill(request, spec, fields, "update")
        return self._update(request, timeout, retry, waiting, spec=spec, named=named_in(fields))

    @operation
    def modify(
        self,
        id: str,
        *,
        name: str | None = None,
        zones: Iterable[str] | None = None,
        core_weave_auth: types.CoreWeaveAuth | Mapping[str, Any] | None = None,
        weights_and_biases_auth: types.WeightsAndBiasesAuth | Mapping[str, Any] | None = None,
        endpoint_configuration: types.EndpointConfiguration | Mapping[str, Any] | None = None,
        body_based_routing: types.BodyBasedRouting | Mapping[str, Any] | None = None,
        header_based_routing: types.HeaderBasedRouting | Mapping[str, Any] | None = None,
        path_based_routing: types.PathBasedRouting | Mapping[str, Any] | None = None,
        edit: Callable[[types.GatewaySpec], object] | None = None,
        wait: bool = False,
        on_change: Callable[[types.Gateway], object] | None = None,
        error_after: float | None = None,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> Flow[types.Gateway]:
        """Change a part of the spec, and return the gateway: read it, apply the changes, and update it.

        A part such as `endpoint_configuration` can be changed in three ways. A mapping changes just its keys, and so do
        the mappings in it; 0 and empty values count, so an empty list or mapping empties its field. A message replaces
        the part; it is refused if that would reset sub-fields that are set now and not in it. `edit` changes anything.

        It reads and writes as JSON on every transport, so that fields newer than this release are noticed. A concurrent
        change between the read and the write is overwritten: the API has no version to check.

        Args:
            id: id of the gateway.
            name, zones, core_weave_auth, weights_and_biases_auth, endpoint_configuration, body_based_routing,
            header_based_routing, path_based_routing: as in `create`; None leaves a field as it is.
            edit: instead of these, a plain function that is called with a copy of the spec, a `types.GatewaySpec`, and
                changes it in place.
            wait: return only when the new spec is READY (600 s at most, or the `timeout` of this call).
            on_change: with `wait=True`, called with the gateway whenever it differs from the previous poll.
            error_after: with `wait=True`, seconds in ERROR after which it raises ResourceFailed; None: never.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: no change is given; or a message would reset something; or the gateway has a field that
                this release would reset; or it has Weights & Biases auth, whose key a read never returns, and no auth
                is given. (With that auth, give its key again if one was set.)
            NotFound: there is no such gateway.
            ResourceFailed, WaitTimeout: with `wait=True`, as `wait` raises them. The `resource_id` of these, and of any
                other error after the write, is the id.
        """
        changes: dict[str, Any] = {
            "name": name,
            "zones": zones,
            "core_weave_auth": core_weave_auth,
            "weights_and_biases_auth": weights_and_biases_auth,
            "endpoint_configuration": endpoint_configuration,
            "body_based_routing": body_based_routing,
            "header_based_routing": header_based_routing,
            "path_based_routing": path_based_routing,
        }
        return self._modify(id, changes, edit, timeout, retry, Waiting(wait, on_change, error_after))

    @operation
    def ensure(
        self,
        name: str,
        *,
        zones: Iterable[str] | None = None,
        core_weave_auth: types.CoreWeaveAuth | Mapping[str, Any] | None = None,
        weights_and_biases_auth: types.WeightsAndBiasesAuth | Mapping[str, Any] | None = None,
        endpoint_configuration: types.EndpointConfiguration | Mapping[str, Any] | None = None,
        body_based_routing: types.BodyBasedRouting | Mapping[str, Any] | None = None,
        header_based_routing: types.HeaderBasedRouting | Mapping[str, Any] | None = None,
        path_based_routing: types.PathBasedRouting | Mapping[str, Any] | None = None,
        spec: types.GatewaySpec | Mapping[str, Any] | None = None,
        wait: bool = False,
        on_change: Callable[[types.Gateway], object] | None = None,
        error_after: float | None = None,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> Flow[types.Gateway]:
        """Return the gateway of that name as it is described here: create it, change it, or leave it as it is.

        If there is none of that name, it is created. If all given fields are equal, nothing is written; otherwise it is
        changed as by `modify`. A field that is not given is neither compared nor reset, nor is a field of a message
        that is not set, or a key that a mapping does not have. The order of zones, host names and address ranges means
        nothing. Several processes may ensure the same name at the same time, and it is safe to call it again after any
        error.

        Args:
            name: unique in the organization; the identity of the gateway.
            zones, core_weave_auth, weights_and_biases_auth, endpoint_configuration, body_based_routing,
            header_based_routing, path_based_routing: as in `create`; None leaves a field as it is. An `api_key` is sent
                with other changes, but never a change by itself: no read returns it. Host names that are there already
                stay, since an update only adds to them.
            spec: a whole spec, such as that of another gateway, instead of the arguments above: its fields that are
                set, without `id`, `name` and `organization_id`. Arguments next to it take precedence: a mapping changes
                just its keys.
            wait: return only when it is READY (600 s at most, or the `timeout` of this call), and wait until an old one
                of that name is gone.
            on_change: with `wait=True`, called with the gateway whenever it differs from the previous poll.
            error_after: with `wait=True`, seconds in ERROR after which it raises ResourceFailed; None: never.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: an argument is wrong; or a message would reset something; or the gateway has a field
                that this release would reset; or it has Weights & Biases auth, whose key a read never returns, and no
                auth is given.
            FailedPrecondition: the one of that name is being deleted, and `wait` is not given; or the service refuses
                the change for now.
            InvalidArgument: the service refuses a value; `details` says which.
            ResourceFailed, WaitTimeout: with `wait=True`, as `wait` raises them. The `resource_id` of these, and of any
                other error after the write, is the id.
        """
        waiting = Waiting(wait, on_change, error_after)
        fields: dict[str, Any] = {
            "zones": zones,
            "core_weave_auth": core_weave_auth,
            "weights_and_biases_auth": weights_and_biases_auth,
            "endpoint_configuration": endpoint_configuration,
            "body_based_routing": body_based_routing,
            "header_based_routing": header_based_routing,
            "path_based_routing": path_based_routing,
        }
        return self._ensure(name, spec, fields, timeout, retry, waiting)

    @operation
    def delete(
        self, id: str, *, timeout: float | None = UNSET, retry: Retry | None = UNSET
    ) -> Flow[types.Gateway | None]:
        """Start to delete a gateway, and return its last state; see `wait_deleted`.

        It returns None if the response has no state, or if a retry finds that an earlier attempt has deleted it.

        Args:
            id: id of the gateway.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            NotFound: there is no such gateway.
            FailedPrecondition: a deployment still refers to it, even one that is being deleted.
        """
        return self._delete(types.DeleteGatewayRequest(id=check_id(id)), timeout, retry)

    @operation
    def parameters(
        self, *, timeout: float | None = UNSET, retry: Retry | None = UNSET
    ) -> Rpc[types.GetGatewayParametersResponse]:
        """Return the values that a gateway can be created with: `zones`.

        Args:
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.
        """
        return whole(types.GetGatewayParametersRequest(), types.GetGatewayParametersResponse, timeout, retry)

    @operation
    def wait(
        self,
        id: str,
        *,
        timeout: float | None = 600.0,
        after: types.Gateway | None = None,
        on_change: Callable[[types.Gateway], object] | None = None,
        error_after: float | None = None,
    ) -> Flow[types.Gateway]:
        """Wait until the gateway is READY, and return it; neither ERROR nor a transient failure ends the wait.

        Polling starts at 0.25 s and backs off to 10 s.

        Args:
            id: id of the gateway.
            timeout: seconds for the whole wait (600); None for no limit.
            after: the response of an update. READY then counts only once the gateway has changed since, or after 10 s,
                because a status can lag behind.
            on_change: called with the gateway whenever it differs from the previous poll.
            error_after: seconds in ERROR after which it raises ResourceFailed; None: never.

        Raises:
            ResourceFailed: it is FAILED or DELETING, or was in ERROR for too long; the text lists the unmet conditions.
            WaitTimeout: the time has run out (also a `TimeoutError`).
            NotFound: there is no such gateway.
        """
        return self._until_ready(check_id(id), timeout, after=after, on_change=on_change, error_after=error_after)

    @watch
    def watch(
        self,
        *,
        interval: tuple[float, float] = (1.0, 30.0),
        relist: float = 300.0,
        on_error: Callable[[errors.ApiError | errors.ProtocolError], object] | None = None,
    ) -> "Following[types.Gateway]":
        """Return an endless iterator over changes: first all gateways as "added", then "synced", then what changes.

        Each step of it polls and sleeps as needed, on the calling thread or task: leave the loop to end it. It is
        level-based: who is slow sees the newest state of each gateway, not all that came before, and nothing twice. A
        gateway whose deletion went unnoticed is "removed" at the next full list. Failures that pass are retried without
        end.

        Args:
            interval: seconds between two polls: the shortest, while anything is CREATING, UPDATING or DELETING, and the
                longest, to which it backs off when nothing moves (1, 30).
            relist: seconds between two lists of everything, which find removals that nothing else shows (300).
            on_error: called with each failure that passes, when the client's own retries have given up.

        Raises:
            ConfigurationError: an argument is wrong, or the client is closed.
            ApiError, ProtocolError: at a step, a failure that will not pass, such as PermissionDenied.
        """
        return self._following(self._source(), interval, relist, on_error)

    def _check_rewrite(self, request: Any, current: Any, changes: Mapping[str, Any]) -> None:
        if not current.spec.HasField("weights_and_biases_auth") or not request.HasField("weights_and_biases_auth"):
            return
        if changes.get("weights_and_biases_auth") is None and not request.weights_and_biases_auth.api_key:
            raise errors.ConfigurationError(
                "weights_and_biases_auth: the gateway's key is write-only, so a read cannot tell whether it is set; "
                "give weights_and_biases_auth again"
            )


def _fill(request: Any, spec: Any, fields: Mapping[str, Any], method: str) -> None:
    whole_request(request, spec, types.GatewaySpec, fields, f"gateways.{method}")
    check_id(request.name if spec is not None else fields["name"], "name")

"""`client.gateways`: the public entry points to deployed models."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from .. import errors, types
from .._arguments import UNSET, at_most_one, check_id
from .._calls.flow import Flow
from .._calls.operation import Mode, operation
from .._calls.rpc import Rpc, many, whole
from ..retry import Retry
from ._arguments import build, given_or_new, later_than
from ._changes import replacement
from ._managed import ManagedResource


class Gateways(ManagedResource[Mode, types.Gateway]):
    """Gateways: the public entry points to deployed models."""

    _kind = types.Gateway
    _field = "gateway"
    _get_request = types.GetGatewayRequest
    _ready_timeout = 600.0

    @operation
    def create(
        self,
        name: str,
        *,
        id: str | None = None,
        zones: Iterable[str] = (),
        core_weave_auth: types.CoreWeaveAuth | None = None,
        weights_and_biases_auth: types.WeightsAndBiasesAuth | None = None,
        endpoint_configuration: types.EndpointConfiguration | None = None,
        body_based_routing: types.BodyBasedRouting | None = None,
        header_based_routing: types.HeaderBasedRouting | None = None,
        path_based_routing: types.PathBasedRouting | None = None,
        wait: bool = False,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> Flow[types.Gateway]:
        """Create a gateway, and return it at once, usually CREATING; with `wait=True` return it when it is READY.

        Args:
            name: unique in the organization; letters, digits and hyphens, at most 63 characters.
            id: a UUID of your own. By default one is generated, which makes it safe to retry a lost request.
            zones: where its deployments may run, from `parameters().zones`; none means all.
            core_weave_auth: inference requests carry a CoreWeave token. Exactly one auth is required.
            weights_and_biases_auth: inference requests carry a Weights & Biases key.
            endpoint_configuration: host names of your own, and address ranges that may call it.
            body_based_routing: the model is named in the JSON body. Exactly one routing is required.
            header_based_routing: the model is named in an HTTP header.
            path_based_routing: the model is the first segment of the path.
            wait: return only when it is READY (600 s at most, or the `timeout` of this call).
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: the name is empty, or two members of a oneof are given.
            AlreadyExists: the id or the name is taken.
            InvalidArgument: the service refuses a value; `details` says which.
            ResourceFailed, WaitTimeout: with `wait=True`, as `wait` raises them.
        """
        auth = _auth(core_weave_auth, weights_and_biases_auth)
        routing = _routing(body_based_routing, header_based_routing, path_based_routing)
        request = build(
            types.CreateGatewayRequest,
            id=given_or_new(id),
            name=check_id(name, "name"),
            zones=zones,
            endpoint_configuration=endpoint_configuration,
            **auth,
            **routing,
        )
        return self._create(request, timeout, retry, id_is_generated=id is None, wait=wait)

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
        name: str,
        zones: Iterable[str] = (),
        core_weave_auth: types.CoreWeaveAuth | None = None,
        weights_and_biases_auth: types.WeightsAndBiasesAuth | None = None,
        endpoint_configuration: types.EndpointConfiguration | None = None,
        body_based_routing: types.BodyBasedRouting | None = None,
        header_based_routing: types.HeaderBasedRouting | None = None,
        path_based_routing: types.PathBasedRouting | None = None,
        wait: bool = False,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> Flow[types.Gateway]:
        """Replace the whole spec, and return the gateway; what is omitted is reset. Use `modify` to change a part.

        It is not retried if it may have been processed: a second update could undo a change made in between.

        Args:
            id: id of the gateway.
            name, zones, core_weave_auth, weights_and_biases_auth, endpoint_configuration, body_based_routing,
            header_based_routing, path_based_routing: as in `create`.
            wait: return only when the new spec is READY (600 s at most, or the `timeout` of this call).
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            NotFound: there is no such gateway.
            InvalidArgument: the service refuses a value; `details` says which.
            ResourceFailed, WaitTimeout: with `wait=True`, as `wait` raises them.
        """
        auth = _auth(core_weave_auth, weights_and_biases_auth)
        routing = _routing(body_based_routing, header_based_routing, path_based_routing)
        request = build(
            types.UpdateGatewayRequest,
            id=check_id(id),
            name=check_id(name, "name"),
            zones=zones,
            endpoint_configuration=endpoint_configuration,
            **auth,
            **routing,
        )
        return self._update(request, timeout, retry, wait=wait)

    @operation
    def modify(
        self,
        id: str,
        *,
        name: str | None = None,
        zones: Iterable[str] | None = None,
        core_weave_auth: types.CoreWeaveAuth | None = None,
        weights_and_biases_auth: types.WeightsAndBiasesAuth | None = None,
        endpoint_configuration: types.EndpointConfiguration | None = None,
        body_based_routing: types.BodyBasedRouting | None = None,
        header_based_routing: types.HeaderBasedRouting | None = None,
        path_based_routing: types.PathBasedRouting | None = None,
        wait: bool = False,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> Flow[types.Gateway]:
        """Change a part of the spec, and return the gateway: read it, apply the changes, and update it.

        It reads and writes as JSON on every transport, so that fields newer than this release are noticed. A concurrent
        change between the read and the write is overwritten: the API has no version to check.

        Args:
            id: id of the gateway.
            name, zones, core_weave_auth, weights_and_biases_auth, endpoint_configuration, body_based_routing,
            header_based_routing, path_based_routing: as in `create`; None leaves a field as it is.
            wait: return only when the new spec is READY (600 s at most, or the `timeout` of this call).
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: no change is given; or the gateway has a field that this release would reset; or it
                has Weights & Biases auth, whose key a read never returns, and no auth is given.
            NotFound: there is no such gateway.
            ResourceFailed, WaitTimeout: with `wait=True`, as `wait` raises them.
        """
        changes = {
            "name": name,
            "zones": zones,
            "endpoint_configuration": endpoint_configuration,
            **_auth(core_weave_auth, weights_and_biases_auth),
            **_routing(body_based_routing, header_based_routing, path_based_routing),
        }

        def rewrite(current: types.Gateway) -> types.UpdateGatewayRequest:
            if current.spec.HasField("weights_and_biases_auth") and not (core_weave_auth or weights_and_biases_auth):
                raise errors.ConfigurationError(
                    "weights_and_biases_auth: the gateway's key is write-only, so a read cannot tell whether it is "
                    "set; give weights_and_biases_auth again"
                )
            return replacement(types.UpdateGatewayRequest(id=id), current.spec, changes)

        return self._modify(id, changes, rewrite, timeout, retry, wait=wait)

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
    ) -> Flow[types.Gateway]:
        """Wait until the gateway is READY, through ERROR and transient failures, and return it.

        Polling starts at 0.25 s and backs off to 10 s.

        Args:
            id: id of the gateway.
            timeout: seconds for the whole wait (600); None for no limit.
            after: the response of an update. READY then counts only once the gateway has changed since, or after 10 s,
                because a status can lag behind.
            on_change: called with the gateway whenever it differs from the previous poll.

        Raises:
            ResourceFailed: it is FAILED or DELETING; the text lists the unmet conditions.
            WaitTimeout: the time has run out (also a `TimeoutError`).
            NotFound: there is no such gateway.
        """
        return self._until_ready(check_id(id), timeout, after=after, on_change=on_change)


def _auth(core_weave: types.CoreWeaveAuth | None, wandb: types.WeightsAndBiasesAuth | None) -> dict[str, Any]:
    given = {"core_weave_auth": core_weave, "weights_and_biases_auth": wandb}
    at_most_one("auth", **given)
    return given


def _routing(
    body: types.BodyBasedRouting | None, header: types.HeaderBasedRouting | None, path: types.PathBasedRouting | None
) -> dict[str, Any]:
    given = {"body_based_routing": body, "header_based_routing": header, "path_based_routing": path}
    at_most_one("routing", **given)
    return given

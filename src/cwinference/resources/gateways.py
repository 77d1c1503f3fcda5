"""`client.gateways`: the public doors in front of deployed models."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeAlias, Unpack

from google.protobuf.timestamp_pb2 import Timestamp

from .. import errors, types
from .._calls.rpc import Call, CallOptions, at_most_one, build, given_or_new, many, required, whole
from .._calls.flow import Flow
from .._calls.operation import Mode, operation
from ._changes import replacement
from ._filters import later_than
from ._managed import ManagedResource

Routing: TypeAlias = types.BodyBasedRouting | types.HeaderBasedRouting | types.PathBasedRouting


class Gateways(ManagedResource[Mode, types.Gateway]):
    """Gateways: the public doors in front of deployed models."""

    _kind = types.Gateway
    _field = "gateway"
    _get_request = types.GetGatewayRequest
    _ready_within = 600.0

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
        **options: Unpack[CallOptions],
    ) -> Flow[types.Gateway]:
        """Ask for a new gateway. It answers at once, usually with status CREATING; `wait=True` waits until READY.

        Args:
            name: unique in the organization; letters, digits and hyphens, at most 63.
            id: a UUID of your own. Left out, one is made, which lets a lost request be repeated safely.
            zones: where its deployments may run, from `parameters().zones`; none means all.
            core_weave_auth: inference requests carry a CoreWeave token. Exactly one auth is needed.
            weights_and_biases_auth: inference requests carry a Weights & Biases key.
            endpoint_configuration: host names of your own, and address ranges that may call it.
            body_based_routing: the model is named in the JSON body. Exactly one routing is needed.
            header_based_routing: the model is named in an HTTP header.
            path_based_routing: the model is the first segment of the path.
            wait: return only when it is READY (at most 600 s, or the `timeout` of this call).

        Raises:
            ConfigurationError: an empty name, or two members of a oneof.
            AlreadyExists: the id or the name is taken.
            InvalidArgument: the service refuses a value; `details` says which.
            ResourceFailed, WaitTimeout: with `wait=True`, as `wait` raises them.
        """
        auth = _auth(core_weave_auth, weights_and_biases_auth)
        routing = _routing(body_based_routing, header_based_routing, path_based_routing)
        request = build(
            types.CreateGatewayRequest,
            id=given_or_new("id", id),
            name=required("name", name),
            zones=zones,
            endpoint_configuration=endpoint_configuration,
            **auth,
            **routing,
        )
        return self._create(request, options, own_id=id is None, wait=wait)

    @operation
    def get(self, id: str, **options: Unpack[CallOptions]) -> Call[types.Gateway]:
        """Read one gateway.

        Raises:
            NotFound: there is no such gateway in your organization.
        """
        return self._get(id, options)

    @operation
    def list(
        self, *, updated_after: datetime | Timestamp | None = None, **options: Unpack[CallOptions]
    ) -> Call[Sequence[types.Gateway]]:
        """List the organization's gateways, all in one answer.

        Args:
            updated_after: only those changed later than this: a timezone-aware `datetime`, or a `Timestamp` for
                nanoseconds. Deleted ones never show.

        Raises:
            ConfigurationError: `updated_after` has no time zone (it is a `ValueError` too).
        """
        request = types.ListGatewaysRequest(updated_after=later_than(updated_after))
        return many(request, "items", types.Gateway, options)

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
        **options: Unpack[CallOptions],
    ) -> Flow[types.Gateway]:
        """Replace the whole spec; what is left out is reset. See `modify` for changing a part.

        The arguments are those of `create`. It is sent once: a lost update is not repeated, since by then it might undo
        somebody else's. `wait=True` waits until the new spec is READY.

        Raises:
            NotFound: there is no such gateway.
            InvalidArgument: the service refuses a value; `details` says which.
        """
        auth = _auth(core_weave_auth, weights_and_biases_auth)
        routing = _routing(body_based_routing, header_based_routing, path_based_routing)
        request = build(
            types.UpdateGatewayRequest,
            id=required("id", id),
            name=required("name", name),
            zones=zones,
            endpoint_configuration=endpoint_configuration,
            **auth,
            **routing,
        )
        return self._update(request, options, wait=wait)

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
        **options: Unpack[CallOptions],
    ) -> Flow[types.Gateway]:
        """Change a part of the spec: read it, put the changes on top, and update. None leaves a field as it is.

        It reads and writes as JSON on every transport, so that fields newer than this release are seen. A change of
        somebody else's between the read and the write is overwritten: the API has no version to check.

        Raises:
            ConfigurationError: no change is given; or the gateway holds a field that this release would lose; or it
                has Weights & Biases auth, whose key a read never returns, and no auth is given.
            NotFound: there is no such gateway.
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

        return self._modify(id, changes, rewrite, options, wait=wait)

    @operation
    def delete(self, id: str, **options: Unpack[CallOptions]) -> Flow[types.Gateway | None]:
        """Start to remove a gateway; see `wait_deleted`. Gives its last state, or None when the answer tells none, or a
        repeated request finds nothing left.

        Raises:
            NotFound: there is no such gateway.
            FailedPrecondition: a deployment still refers to it, be it one that is itself being deleted.
        """
        request = types.DeleteGatewayRequest(id=required("id", id))
        return self._delete(request, options)

    @operation
    def parameters(self, **options: Unpack[CallOptions]) -> Call[types.GetGatewayParametersResponse]:
        """Tell which values a gateway may be made of: `zones`."""
        return whole(types.GetGatewayParametersRequest(), types.GetGatewayParametersResponse, options)

    @operation
    def wait(
        self,
        id: str,
        *,
        timeout: float | None = 600.0,
        after: types.Gateway | None = None,
        on_change: Callable[[types.Gateway], object] | None = None,
    ) -> Flow[types.Gateway]:
        """Wait until the gateway is READY, through ERROR and passing failures, and return it.

        Args:
            id: the gateway.
            timeout: seconds for the whole wait; None for no limit.
            after: the answer of an update. READY then counts once the gateway changed after it, or 10 s later, because
                a status can lag behind.
            on_change: called with the gateway whenever it differs from the last look.

        Raises:
            ResourceFailed: it is FAILED or DELETING; the text shows the unmet conditions.
            WaitTimeout: the time is over (also a `TimeoutError`).
            NotFound: there is no such gateway.
        """
        return self._until_ready(required("id", id), timeout, after=after, on_change=on_change)


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

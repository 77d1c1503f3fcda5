"""`client.capacity_claims`: GPU instances set aside for the organization's deployments."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Unpack

from google.protobuf.timestamp_pb2 import Timestamp

from .. import types
from .._calls.rpc import Call, CallOptions, build, given_or_new, many, required, whole
from .._calls.flow import Flow
from .._calls.operation import Mode, operation
from ._changes import replace_fields, replacement
from ._filters import later_than
from ._managed import ManagedResource


class CapacityClaims(ManagedResource[Mode, types.CapacityClaim]):
    """Capacity claims: GPU instances set aside for the organization's deployments."""

    _kind = types.CapacityClaim
    _field = "capacity_claim"
    _get_request = types.GetCapacityClaimRequest
    _ready_within = 3600.0

    @operation
    def create(
        self,
        name: str,
        *,
        id: str | None = None,
        resources: types.CapacityClaimResources,
        wait: bool = False,
        **options: Unpack[CallOptions],
    ) -> Flow[types.CapacityClaim]:
        """Claim instances. It answers at once; they are allocated afterwards; `wait=True` waits until READY.

        Args:
            name: unique in the organization; lower-case letters, digits and hyphens. It can never change.
            id: a UUID of your own. Left out, one is made, which lets a lost request be repeated safely.
            resources: instance type, number of instances, terms and zones.
            wait: return only when it is READY (at most 3,600 s, or the `timeout` of this call).

        Raises:
            ConfigurationError: an empty name.
            AlreadyExists: the id or the name is taken.
            InvalidArgument: the service refuses a value; `details` says which.
            ResourceFailed, WaitTimeout: with `wait=True`, as `wait` raises them.
        """
        request = build(
            types.CreateCapacityClaimRequest,
            id=given_or_new("id", id),
            name=required("name", name),
            resources=resources,
        )
        return self._create(request, options, own_id=id is None, wait=wait)

    @operation
    def get(self, id: str, **options: Unpack[CallOptions]) -> Call[types.CapacityClaim]:
        """Read one claim.

        Raises:
            NotFound: there is no such claim in your organization.
        """
        return self._get(id, options)

    @operation
    def list(
        self, *, updated_after: datetime | Timestamp | None = None, **options: Unpack[CallOptions]
    ) -> Call[Sequence[types.CapacityClaim]]:
        """List the organization's claims, all in one answer.

        Args:
            updated_after: only those changed later than this: a timezone-aware `datetime`, or a `Timestamp` for
                nanoseconds. Deleted ones never show.

        Raises:
            ConfigurationError: `updated_after` has no time zone (it is a `ValueError` too).
        """
        request = types.ListCapacityClaimsRequest(updated_after=later_than(updated_after))
        return many(request, "capacity_claims", types.CapacityClaim, options)

    @operation
    def update(
        self,
        id: str,
        *,
        resources: types.CapacityClaimResources,
        wait: bool = False,
        **options: Unpack[CallOptions],
    ) -> Flow[types.CapacityClaim]:
        """Replace the claim's resources, all of them. It is sent once: a lost update is not repeated, since by then it
        might undo somebody else's. `wait=True` waits until the instances are allocated.

        Raises:
            NotFound: there is no such claim.
            InvalidArgument: the service refuses a value; `details` says which.
        """
        request = build(types.UpdateCapacityClaimRequest, id=required("id", id), resources=resources)
        return self._update(request, options, wait=wait)

    @operation
    def modify(
        self,
        id: str,
        *,
        resources: types.CapacityClaimResources | None = None,
        instance_id: str | None = None,
        instance_count: int | None = None,
        capacity_type: "types.CapacityType.ValueType | None" = None,
        zones: Sequence[str] | None = None,
        wait: bool = False,
        **options: Unpack[CallOptions],
    ) -> Flow[types.CapacityClaim]:
        """Change a part of the claim: read it, put the changes on top, and update. None leaves a field as it is.

        `resources` replaces all of them; the other arguments one of its fields each, for example `instance_count=3`. It
        reads and writes as JSON on every transport, so that fields newer than this release are seen. A change of
        somebody else's between the read and the write is overwritten: the API has no version to check.

        Raises:
            ConfigurationError: the claim holds a field that this release would lose; or no change is given.
            NotFound: there is no such claim.
        """
        parts = {
            "instance_id": instance_id,
            "instance_count": instance_count,
            "capacity_type": capacity_type,
            "zones": zones,
        }

        def rewrite(current: types.CapacityClaim) -> types.UpdateCapacityClaimRequest:
            request = replacement(types.UpdateCapacityClaimRequest(id=id), current.spec, {"resources": resources})
            replace_fields(request.resources, parts)
            return request

        return self._modify(id, {"resources": resources, **parts}, rewrite, options, wait=wait)

    @operation
    def delete(self, id: str, **options: Unpack[CallOptions]) -> Flow[types.CapacityClaim | None]:
        """Start to give the instances back; see `wait_deleted`. Gives the claim's last state, or None when the answer
        tells none, or a repeated request finds nothing left.

        Raises:
            NotFound: there is no such claim.
        """
        request = types.DeleteCapacityClaimRequest(id=required("id", id))
        return self._delete(request, options)

    @operation
    def parameters(self, **options: Unpack[CallOptions]) -> Call[types.GetCapacityClaimParametersResponse]:
        """Tell which instance types can be claimed, by zone: `zone_instance_types`."""
        return whole(types.GetCapacityClaimParametersRequest(), types.GetCapacityClaimParametersResponse, options)

    @operation
    def wait(
        self,
        id: str,
        *,
        timeout: float | None = 3600.0,
        after: types.CapacityClaim | None = None,
        on_change: Callable[[types.CapacityClaim], object] | None = None,
    ) -> Flow[types.CapacityClaim]:
        """Wait until the claim is READY, through ERROR and passing failures, and return it.

        Args:
            id: the claim.
            timeout: seconds for the whole wait; None for no limit.
            after: the answer of an update. READY then counts once the claim changed after it, or 10 s later, because a
                status can lag behind.
            on_change: called with the claim whenever it differs from the last look.

        Raises:
            ResourceFailed: it is FAILED or DELETING; the text shows the unmet conditions.
            WaitTimeout: the time is over (also a `TimeoutError`).
            NotFound: there is no such claim.
        """
        return self._until_ready(required("id", id), timeout, after=after, on_change=on_change)

"""`client.capacity_claims`: GPU instances set aside for the organization's deployments."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Unpack

from google.protobuf.timestamp_pb2 import Timestamp

from .. import types
from .._call import Call, CallOptions, build, given_or_new, many, one, one_or_none, required, whole
from .._flow import Flow
from .._operation import Mode, Resource, operation
from . import _lifecycle
from ._filters import later_than


class CapacityClaims(Resource[Mode]):
    """Capacity claims: GPU instances set aside for the organization's deployments."""

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
            wait: return only when it is READY (at most 3,600 s).

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
        _lifecycle.check_wait(wait)
        rest = _lifecycle.rest_of(options, self._driver.context)
        made = yield from _lifecycle.create(
            self._do(one(request, "capacity_claim", types.CapacityClaim, options)),
            (lambda: self._do(_get(request.id, rest()))) if id is None else None,
            lambda found: found.spec.name == name,
        )
        return (yield from self._until_ready(made.spec.id)) if wait else made

    @operation
    def get(self, id: str, **options: Unpack[CallOptions]) -> Call[types.CapacityClaim]:
        """Read one claim.

        Raises:
            NotFound: there is no such claim in your organization.
        """
        return _get(id, options)

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
        call = one(request, "capacity_claim", types.CapacityClaim, options, repeatable=False)
        return (yield from self._write(call, wait))

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
        _lifecycle.check_wait(wait)
        _lifecycle.check_changes(id, {"resources": resources, **parts}, options)
        rest = _lifecycle.rest_of(options, self._driver.context)
        lost: list[str] = []
        current = yield from self._do(_get(id, options, as_json=True, lost=lost))
        request = types.UpdateCapacityClaimRequest(id=id)
        _lifecycle.replacement(request, current.spec, {"resources": resources}, lost)
        _lifecycle.replace_fields(request.resources, parts)
        call = one(request, "capacity_claim", types.CapacityClaim, rest(), repeatable=False, as_json=True)
        return (yield from self._write(call, wait))

    @operation
    def delete(self, id: str, **options: Unpack[CallOptions]) -> Flow[types.CapacityClaim | None]:
        """Start to give the instances back; see `wait_deleted`. Gives the claim's last state, or None when the answer
        tells none, or a repeated request finds nothing left.

        Raises:
            NotFound: there is no such claim.
        """
        request = types.DeleteCapacityClaimRequest(id=required("id", id))
        return _lifecycle.delete(self._do(one_or_none(request, "capacity_claim", types.CapacityClaim, options)))

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
        return self._until_ready(required("id", id), timeout=timeout, after=after, on_change=on_change)

    @operation
    def wait_deleted(self, id: str, *, timeout: float | None = 1200.0) -> Flow[None]:
        """Wait until the claim is gone. `timeout` in seconds; None for no limit.

        Raises:
            WaitTimeout: the time is over (also a `TimeoutError`).
        """
        return _lifecycle.until_gone(self._reader(required("id", id)), self._driver.context.clock, timeout=timeout)

    def _reader(self, id: str) -> Callable[[float], Flow[types.CapacityClaim]]:
        return lambda timeout: self._do(_get(id, {"timeout": timeout}))

    def _until_ready(self, id: str, *, timeout: float | None = 3600.0, **how: Any) -> Flow[types.CapacityClaim]:
        return _lifecycle.until_ready(self._reader(id), self._driver.context.clock, timeout=timeout, **how)

    def _write(self, call: Call[types.CapacityClaim], wait: bool) -> Flow[types.CapacityClaim]:
        _lifecycle.check_wait(wait)
        reply = yield from self._do(call)
        return (yield from self._until_ready(reply.spec.id, after=reply)) if wait else reply


def _get(id: str, options: CallOptions, **how: Any) -> Call[types.CapacityClaim]:
    request = types.GetCapacityClaimRequest(id=required("id", id))
    return one(request, "capacity_claim", types.CapacityClaim, options, **how)

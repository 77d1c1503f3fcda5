"""`client.capacity_claims`: GPU instances reserved for the organization's deployments."""

from collections.abc import Callable, Mapping, Sequence
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
from ._changes import replace_fields, replacement
from ._followed import FollowedResource
from ._managed import FROM_SPEC, Waiting, named_in
from ._managed import whole as whole_request

if TYPE_CHECKING:
    from ..following._following import Following


class CapacityClaims(FollowedResource[Mode, types.CapacityClaim]):
    """Capacity claims: GPU instances reserved for the organization's deployments."""

    _kind = types.CapacityClaim
    _field = "capacity_claim"
    _get_request = types.GetCapacityClaimRequest
    _list_request = types.ListCapacityClaimsRequest
    _listed = "capacity_claims"
    _create_request = types.CreateCapacityClaimRequest
    _update_request = types.UpdateCapacityClaimRequest
    _ready_timeout = 3600.0
    _required = ("resources",)

    @operation
    def create(
        self,
        name: str = FROM_SPEC,
        *,
        id: str | None = None,
        resources: types.CapacityClaimResources | Mapping[str, Any] = FROM_SPEC,
        spec: types.CapacityClaimSpec | Mapping[str, Any] | None = None,
        wait: bool = False,
        on_change: Callable[[types.CapacityClaim], object] | None = None,
        error_after: float | None = None,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> Flow[types.CapacityClaim]:
        """Claim instances, and return the claim at once; with `wait=True` return it when they are allocated.

        Wherever a message is taken, so is a mapping of its fields; there, enum names work without their prefix.

        Args:
            name: unique in the organization; lower-case letters, digits and hyphens. It can never change.
            id: a UUID of your own. By default one is generated, which makes it safe to retry a lost request.
            resources: instance type, number of instances, terms and zones.
            spec: a whole spec, such as that of another claim, instead of the arguments above. Its `id` and
                `organization_id` are ignored. Arguments next to it take precedence: a mapping changes just its keys.
            wait: return only when it is READY (3,600 s at most, or the `timeout` of this call).
            on_change: with `wait=True`, called with the claim whenever it differs from the previous poll.
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
        fields: dict[str, Any] = {"name": name, "resources": resources}
        request = types.CreateCapacityClaimRequest(id=given_or_new(id))
        whole_request(request, spec, types.CapacityClaimSpec, fields, "capacity_claims.create")
        check_id(request.name if spec is not None else fields["name"], "name")
        return self._create(request, timeout, retry, waiting, id_is_generated=id is None)

    @operation
    def get(self, id: str, *, timeout: float | None = UNSET, retry: Retry | None = UNSET) -> Rpc[types.CapacityClaim]:
        """Return a claim.

        Args:
            id: id of the claim.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            NotFound: there is no such claim in your organization.
        """
        return self._get(id, timeout, retry)

    @operation
    def find(
        self, name: str, *, timeout: float | None = UNSET, retry: Retry | None = UNSET
    ) -> Rpc[types.CapacityClaim]:
        """Return the claim of that name, which is unique in an organization. It reads the list of all claims.

        Args:
            name: the exact name.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: the name is empty.
            NotFound: no claim in your organization has that name.
        """
        return self._find(name, timeout, retry)

    @operation
    def list(
        self,
        *,
        updated_after: datetime | Timestamp | None = None,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> Rpc[Sequence[types.CapacityClaim]]:
        """Return the organization's claims, all in one response.

        Args:
            updated_after: only those changed later than this: a timezone-aware `datetime`, or a `Timestamp` for
                nanoseconds. Deleted ones are never listed.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: `updated_after` has no time zone (it is also a `ValueError`).
        """
        request = types.ListCapacityClaimsRequest(updated_after=later_than(updated_after))
        return many(request, "capacity_claims", types.CapacityClaim, timeout, retry)

    @operation
    def update(
        self,
        id: str,
        *,
        resources: types.CapacityClaimResources | Mapping[str, Any] = FROM_SPEC,
        spec: types.CapacityClaimSpec | Mapping[str, Any] | None = None,
        wait: bool = False,
        on_change: Callable[[types.CapacityClaim], object] | None = None,
        error_after: float | None = None,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> Flow[types.CapacityClaim]:
        """Replace all of the claim's resources, and return the claim. Use `modify` to change a part.

        It is not retried if it may have been processed: a second update could undo a change made in between.

        Args:
            id: id of the claim.
            resources: as in `create`.
            spec: a whole spec, instead of the arguments above. Its `id` and `organization_id` are ignored, and
                arguments next to it take precedence: a mapping changes just its keys.
                The name of a claim cannot change, and is ignored too.
            wait: return only when the instances are allocated (3,600 s at most, or the `timeout` of this call).
            on_change: with `wait=True`, called with the claim whenever it differs from the previous poll.
            error_after: with `wait=True`, seconds in ERROR after which it raises ResourceFailed; None: never.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: an argument is wrong.
            NotFound: there is no such claim.
            InvalidArgument: the service refuses a value; `details` says which.
            ResourceFailed, WaitTimeout: with `wait=True`, as `wait` raises them. The `resource_id` of these, and of any
                other error after the write, is the id.
        """
        waiting = Waiting(wait, on_change, error_after)
        fields: dict[str, Any] = {"resources": resources}
        request = types.UpdateCapacityClaimRequest(id=check_id(id))
        whole_request(request, spec, types.CapacityClaimSpec, fields, "capacity_claims.update")
        return self._update(request, timeout, retry, waiting, spec=spec, named=named_in(fields))

    @operation
    def modify(
        self,
        id: str,
        *,
        resources: types.CapacityClaimResources | Mapping[str, Any] | None = None,
        instance_id: str | None = None,
        instance_count: int | None = None,
        capacity_type: "types.CapacityType.ValueType | None" = None,
        zones: Sequence[str] | None = None,
        edit: Callable[[types.CapacityClaimSpec], object] | None = None,
        wait: bool = False,
        on_change: Callable[[types.CapacityClaim], object] | None = None,
        error_after: float | None = None,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> Flow[types.CapacityClaim]:
        """Change a part of the claim, and return it: read it, apply the changes, and update it.

        There are three ways to change a part, such as `resources`: a mapping changes just its keys, and so do mappings
        inside it; 0 and empty values count, so an empty list or mapping empties its field. A message replaces the part;
        it is refused if that would reset sub-fields that are set now and not in it. `edit` changes anything.

        It reads and writes as JSON on every transport, so that fields newer than this release are noticed. A concurrent
        change between the read and the write is overwritten: the API has no version to check.

        Args:
            id: id of the claim.
            resources: replaces all of the claim's resources.
            instance_id, instance_count, capacity_type, zones: each replaces one field of the resources; None leaves it
                as it is.
            edit: instead of these, a plain function that is called with a copy of the spec, a
                `types.CapacityClaimSpec`, and changes it in place.
            wait: return only when the instances are allocated (3,600 s at most, or the `timeout` of this call).
            on_change: with `wait=True`, called with the claim whenever it differs from the previous poll.
            error_after: with `wait=True`, seconds in ERROR after which it raises ResourceFailed; None: never.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: no change is given; or a message would reset something; or the claim has a field that
                this release would reset.
            NotFound: there is no such claim.
            ResourceFailed, WaitTimeout: with `wait=True`, as `wait` raises them. The `resource_id` of these, and of any
                other error after the write, is the id.
        """
        changes = {
            "resources": resources,
            "instance_id": instance_id,
            "instance_count": instance_count,
            "capacity_type": capacity_type,
            "zones": zones,
        }
        return self._modify(id, changes, edit, timeout, retry, Waiting(wait, on_change, error_after))

    @operation
    def ensure(
        self,
        name: str,
        *,
        resources: types.CapacityClaimResources | Mapping[str, Any] | None = None,
        spec: types.CapacityClaimSpec | Mapping[str, Any] | None = None,
        wait: bool = False,
        on_change: Callable[[types.CapacityClaim], object] | None = None,
        error_after: float | None = None,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> Flow[types.CapacityClaim]:
        """Return the claim of that name as it is described here: create it, change it, or leave it as it is.

        If there is none of that name, it is created. If all given fields are equal, nothing is written; otherwise it is
        changed as by `modify`. A field that is not given is neither compared nor reset, nor is a field of a message
        that is not set, or a key that a mapping does not have. The order of zones counts: it is a preference. Several
        processes may ensure the same name at the same time, and it is safe to call it again after any error.

        Args:
            name: unique in the organization; the identity of the claim.
            resources: as in `create`; required if there is none of that name.
            spec: a whole spec, such as that of another claim, instead of the arguments above: its fields that are set,
                without `id`, `name` and `organization_id`. Arguments next to it take precedence: a mapping changes just
                its keys.
            wait: return only when it is READY (3,600 s at most, or the `timeout` of this call), and wait until an old
                one of that name is gone.
            on_change: with `wait=True`, called with the claim whenever it differs from the previous poll.
            error_after: with `wait=True`, seconds in ERROR after which it raises ResourceFailed; None: never.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: an argument is wrong, or is missing to create it; or a message would reset something; or
                the claim has a field that this release would reset.
            FailedPrecondition: the one of that name is being deleted, and `wait` is not given; or the service refuses
                the change for now.
            InvalidArgument: the service refuses a value; `details` says which.
            ResourceFailed, WaitTimeout: with `wait=True`, as `wait` raises them. The `resource_id` of these, and of any
                other error after the write, is the id.
        """
        waiting = Waiting(wait, on_change, error_after)
        fields: dict[str, Any] = {
            "resources": resources,
        }
        return self._ensure(name, spec, fields, timeout, retry, waiting)

    @operation
    def delete(
        self, id: str, *, timeout: float | None = UNSET, retry: Retry | None = UNSET
    ) -> Flow[types.CapacityClaim | None]:
        """Start to release the instances, and return the claim's last state; see `wait_deleted`.

        It returns None if the response has no state, or if a retry finds that an earlier attempt has deleted it.

        Args:
            id: id of the claim.
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            NotFound: there is no such claim.
        """
        return self._delete(types.DeleteCapacityClaimRequest(id=check_id(id)), timeout, retry)

    @operation
    def parameters(
        self, *, timeout: float | None = UNSET, retry: Retry | None = UNSET
    ) -> Rpc[types.GetCapacityClaimParametersResponse]:
        """Return the instance types that can be claimed, by zone: `zone_instance_types`.

        Args:
            timeout: seconds for the whole call, including retries; None for no limit. By default the client's.
            retry: how failures are retried; None for not at all. By default the client's.
        """
        request = types.GetCapacityClaimParametersRequest()
        return whole(request, types.GetCapacityClaimParametersResponse, timeout, retry)

    @operation
    def wait(
        self,
        id: str,
        *,
        timeout: float | None = 3600.0,
        after: types.CapacityClaim | None = None,
        on_change: Callable[[types.CapacityClaim], object] | None = None,
        error_after: float | None = None,
    ) -> Flow[types.CapacityClaim]:
        """Wait until the claim is READY, and return it; neither ERROR nor a transient failure ends the wait.

        Polling starts at 0.25 s and backs off to 10 s.

        Args:
            id: id of the claim.
            timeout: seconds for the whole wait (3,600); None for no limit.
            after: the response of an update. READY then counts only once the claim has changed since, or after 10 s,
                because a status can lag behind.
            on_change: called with the claim whenever it differs from the previous poll.
            error_after: seconds in ERROR after which it raises ResourceFailed; None: never.

        Raises:
            ResourceFailed: it is FAILED or DELETING, or was in ERROR for too long; the text lists the unmet conditions.
            WaitTimeout: the time has run out (also a `TimeoutError`).
            NotFound: there is no such claim.
        """
        return self._until_ready(check_id(id), timeout, after=after, on_change=on_change, error_after=error_after)

    @watch
    def watch(
        self,
        *,
        interval: tuple[float, float] = (1.0, 30.0),
        relist: float = 300.0,
        on_error: Callable[[errors.ApiError | errors.ProtocolError], object] | None = None,
    ) -> "Following[types.CapacityClaim]":
        """Return an endless iterator over changes: first all claims as "added", then "synced", then what changes.

        Each step of it polls and sleeps as needed, on the calling thread or task: leave the loop to end it. It is
        level-based: who is slow sees the newest state of each claim, not all that came before, and nothing twice. A
        claim whose deletion went unnoticed is "removed" at the next full list. Failures that pass are retried without
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

    def _change(self, request: Any, spec: Any, changes: Mapping[str, Any]) -> None:
        replacement(request, spec, {"resources": changes["resources"]})
        replace_fields(request.resources, {name: value for name, value in changes.items() if name != "resources"})

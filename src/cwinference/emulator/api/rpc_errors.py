"""The errors of the API, with the details that the official clients read."""

from collections.abc import Iterable

from google.rpc.error_details_pb2 import BadRequest, PreconditionFailure, QuotaFailure, ResourceInfo

from ..interfaces import RpcError, Violation


def not_found(noun: str, id: str) -> RpcError:
    """Return the error for a resource that does not exist in the caller's organization."""
    text = f"{noun} not found"
    return RpcError("not_found", text, ResourceInfo(resource_type=noun, resource_name=id, description=text))


def already_exists(noun: str, field: str, value: str) -> RpcError:
    """Return the error for an id or a name that another resource has."""
    text = f"a {noun} with {field} {value} already exists"
    return RpcError("already_exists", text, ResourceInfo(resource_type=noun, resource_name=value, description=text))


def failed_precondition(type: str, subject: str, text: str) -> RpcError:
    """Return the error for a request that the current state of the subject does not allow."""
    violation = PreconditionFailure.Violation(type=type, subject=subject, description=text)
    return RpcError("failed_precondition", text, PreconditionFailure(violations=[violation]))


def being_deleted(noun: str, id: str) -> RpcError:
    """Return the error for a change of a resource that is being deleted."""
    return failed_precondition("DELETING", f"{noun}/{id}", f"the {noun} is being deleted")


def quota_exhausted(noun: str, organization: str, quota: int) -> RpcError:
    """Return the error for one resource more than the organization may have."""
    text = f"the organization's quota of {quota} {noun}s is used up"
    violation = QuotaFailure.Violation(subject=f"organization/{organization}", description=text)
    return RpcError("resource_exhausted", text, QuotaFailure(violations=[violation]))


def invalid_argument(violations: Iterable[Violation]) -> RpcError:
    """Return the error for values that are never valid, with all violations and the ids of their rules."""
    violations = tuple(violations)
    detail = BadRequest(
        field_violations=[
            BadRequest.FieldViolation(field=each.field, description=each.message, reason=each.rule)
            for each in violations
        ]
    )
    text = "; ".join(f"{each.field}: {each.message}" if each.field else each.message for each in violations)
    return RpcError("invalid_argument", text, detail)

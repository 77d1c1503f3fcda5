"""Refusals with the details that the official clients look for, each kind made in one place."""

from collections.abc import Iterable

from google.rpc.error_details_pb2 import BadRequest, PreconditionFailure, QuotaFailure, ResourceInfo

from ..interfaces import Refusal, Violation


def not_found(noun: str, id: str) -> Refusal:
    """There is no such resource in the caller's organization."""
    text = f"{noun} not found"
    return Refusal("not_found", text, ResourceInfo(resource_type=noun, resource_name=id, description=text))


def already_exists(noun: str, what: str, value: str) -> Refusal:
    """The id or the name is taken."""
    text = f"a {noun} with {what} {value} already exists"
    return Refusal("already_exists", text, ResourceInfo(resource_type=noun, resource_name=value, description=text))


def failed_precondition(type: str, subject: str, text: str) -> Refusal:
    """The state of something forbids it for now."""
    violation = PreconditionFailure.Violation(type=type, subject=subject, description=text)
    return Refusal("failed_precondition", text, PreconditionFailure(violations=[violation]))


def being_deleted(noun: str, id: str) -> Refusal:
    """It will be gone soon, and takes nothing new."""
    return failed_precondition("DELETING", f"{noun}/{id}", f"the {noun} is being deleted")


def quota_exhausted(noun: str, organization: str, quota: int) -> Refusal:
    """The organization has all that it may have."""
    text = f"the organization's quota of {quota} {noun}s is used up"
    violation = QuotaFailure.Violation(subject=f"organization/{organization}", description=text)
    return Refusal("resource_exhausted", text, QuotaFailure(violations=[violation]))


def invalid(violations: Iterable[Violation]) -> Refusal:
    """Values that are wrong whatever the state: all of them in one answer, the rule's id as the reason."""
    violations = tuple(violations)
    detail = BadRequest(
        field_violations=[
            BadRequest.FieldViolation(field=each.field, description=each.message, reason=each.rule)
            for each in violations
        ]
    )
    text = "; ".join(f"{each.field}: {each.message}" if each.field else each.message for each in violations)
    return Refusal("invalid_argument", text, detail)

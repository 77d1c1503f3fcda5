"""The result of a batch, as it is printed."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...inference import BatchResult


def result_json(result: "BatchResult") -> dict[str, Any]:
    """Return an outcome as a value for JSON."""
    names = ("completed", "failed", "skipped", "unsent", "gave_up", "first_failure")
    return {
        **{name: getattr(result, name) for name in names},
        "failures": None if result.failures is None else str(result.failures),
        "usage": dict(result.usage.raw),
        "total_usage": dict(result.total_usage.raw),
    }


def counts(result: "BatchResult") -> str:
    """Return the line at the end."""
    return f"{result.completed} completed, {result.failed} failed, {result.skipped} skipped"

"""Tables of the errors: codes with their classes, whether they are retried, and what to do about each."""

import inspect
from collections.abc import Iterator, Mapping

from cwinference import errors
from cwinference._cli.failures import code_of
from cwinference._retry_rules import Hint, is_retryable, may_have_effect
from cwinference.emulator.protocols.codecs import HTTP_STATUS

from .tables import table

_PAGE = "python/errors.md"

ADVICE: Mapping[type[errors.InferenceError], str] = {
    errors.Cancelled: "Read the resource, and call again if it is not as you want it.",
    errors.Unknown: "Look at `http_status` and `message`: most likely a proxy has responded. `doctor` says more.",
    errors.InvalidArgument: "Change the request: `details` names the fields, and `parameters()` lists what is allowed.",
    errors.DeadlineExceeded: "Allow more time with `timeout=`. A change may have been made: read the resource first.",
    errors.NotFound: "Check the id, and whether the token is of the same organization.",
    errors.AlreadyExists: "Choose another name, or use `ensure`.",
    errors.PermissionDenied: "Use a token with the role Inference Viewer for reads, Inference Admin for writes; for "
    "completions, one of the gateway's organization.",
    errors.ResourceExhausted: "Ask for a larger quota, or send less; `retry_after` says when, if the server knows.",
    errors.FailedPrecondition: "Wait, or remove what is in the way: `details` and `explain` say what it is.",
    errors.Aborted: "Read the resource, and make the change again.",
    errors.OutOfRange: "Change the value.",
    errors.Unimplemented: "Check the endpoint; the API may not offer the method yet.",
    errors.Internal: "Report it to CoreWeave, with `headers` (the request id).",
    errors.Unavailable: "Check the network and the endpoint with `doctor`; if these are fine, try later.",
    errors.DataLoss: "Report it to CoreWeave.",
    errors.Unauthenticated: "Check where the token comes from, and whether it has expired.",
    errors.ConfigurationError: "Change the argument that the text names.",
    errors.ProtocolError: "Run `doctor`: it finds what differs from this release, or what is between you and the API.",
    errors.ResourceFailed: "Use `explain` for the cause; change the spec, or delete the resource.",
    errors.WaitTimeout: "Wait again, with a longer `timeout=`.",
    errors.PlanOutdated: "Plan again, and apply that.",
    errors.Conflict: "See what has changed, and decide again.",
    errors.StreamStalled: "Send the request again, or raise `idle_timeout=`; `partial_text` is what had arrived.",
    errors.StreamInterrupted: "Send the request again; `partial_text` is what had arrived.",
}
"""What to do about each error."""


def codes() -> str:
    """Return the table of the classes for status codes."""
    return table(
        ("class", "retried", "may have succeeded", "what to do"),
        (
            (
                _link(kind),
                _retried(kind.code),
                "maybe" if may_have_effect(kind.code, Hint.NONE) else "no",
                ADVICE[kind],
            )
            for kind in errors.BY_NUMBER.values()
        ),
    )


def numbers() -> str:
    """Return the table of what the codes are called elsewhere."""
    return table(
        ("class", "`error.code`", "gRPC", "HTTP", "exit code"),
        (
            (_link(kind), f"`{kind.code}`", str(number), str(HTTP_STATUS[kind.code]), str(code_of(kind(""))))
            for number, kind in errors.BY_NUMBER.items()
        ),
    )


def others() -> str:
    """Return the table of errors that are no status codes."""
    return table(
        ("class", "means", "exit code", "what to do"),
        ((_link(kind), _meaning(kind), str(_exit_code(kind)), ADVICE[kind]) for kind in _other_kinds()),
    )


def _other_kinds() -> Iterator[type[errors.InferenceError]]:
    yield from (kind for kind in ADVICE if not issubclass(kind, errors.ApiError))


def _exit_code(kind: type[errors.InferenceError]) -> int:
    """Return the exit code for a class. Its own initialization is left out, which needs more than a text."""
    return code_of(kind.__new__(kind))


def _retried(code: str) -> str:
    if code == "deadline_exceeded" and is_retryable(code, Hint.NONE, None):
        return "an attempt, yes; the whole call, no"
    if is_retryable(code, Hint.NONE, None):
        return "yes"
    if is_retryable(code, Hint.NONE, 1.0):
        return "if the server names a delay"
    return "once, with a new token" if code == "unauthenticated" else "no"


def _link(kind: type[errors.InferenceError]) -> str:
    return f"[`{kind.__name__}`]({_PAGE}#cwinference.errors.{kind.__name__})"


def _meaning(kind: type[errors.InferenceError]) -> str:
    return (inspect.getdoc(kind) or "").partition("\n\n")[0]

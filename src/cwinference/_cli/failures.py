"""From an error to what is printed: a line, the next command to try, and the exit code."""

import re
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import click

from .. import errors
from .._text import one_line
from . import output
from .exit_codes import CONFLICT, CREDENTIALS, NOT_FOUND, OTHER, RESOURCE_FAILED, TIME_OVER, USAGE

_CODES: Sequence[tuple[type[Exception], int]] = (
    (errors.ConfigurationError, USAGE),
    (errors.NotFound, NOT_FOUND),
    (errors.Unauthenticated, CREDENTIALS),
    (errors.PermissionDenied, CREDENTIALS),
    (errors.AlreadyExists, CONFLICT),
    (errors.FailedPrecondition, CONFLICT),
    (errors.Aborted, CONFLICT),
    (errors.Conflict, CONFLICT),
    (errors.PlanOutdated, CONFLICT),
    (errors.ResourceFailed, RESOURCE_FAILED),
    (TimeoutError, TIME_OVER),
)

_ADVICE: Sequence[tuple[type[Exception], str]] = (
    (errors.Unauthenticated, "check the token in COREWEAVE_API_TOKEN, CW_API_TOKEN or --token-file"),
    (errors.PermissionDenied, "use a token whose role allows it: reads need Inference Viewer, writes Inference Admin"),
    (errors.InvalidArgument, "to see what is allowed: cwinference {kind} parameters"),
    (errors.NotFound, "to see them all: cwinference {kind} list"),
    (errors.AlreadyExists, "to see it: cwinference {kind} get {name}"),
    (errors.FailedPrecondition, "to see its state: cwinference {kind} describe {name}"),
    (errors.Aborted, "to see its state: cwinference {kind} describe {name}"),
    (errors.ResourceFailed, "to see why: cwinference explain {kind} {id}"),
    (errors.WaitTimeout, "to go on waiting: cwinference {kind} wait {id}"),
    (errors.DeadlineExceeded, "to allow more time: --timeout 2m"),
    (errors.Unavailable, "to see what is wrong: cwinference doctor"),
    (errors.Unimplemented, "to see whether this is the API: cwinference doctor"),
    (errors.ProtocolError, "to see whether this is the API: cwinference doctor"),
)
"""The next command to try. One that names a kind or a name is left out where there is none."""

_LISTED = re.compile(r"engine|version|instance|zone|capacity_type")
"""What `parameters` lists, as fields and texts of the API call it."""
_LABEL = "a name has 1 to 63 letters, digits and hyphens, and no hyphen at its ends"
_NAMES: Mapping[str, str] = {
    "gateways": _LABEL,
    "deployments": _LABEL,
    "claims": "a name has 1 to 100 lower-case letters, digits and hyphens, and no hyphen at its ends",
}
"""What the API's published rules say of the names of a kind."""

_GROUPS: Mapping[str, str] = {
    **{each: each for each in ("gateways", "deployments", "claims", "hot-loads")},
    "rollout": "deployments",
}
"""The group whose commands advice names, by the group of the command that failed."""


class CommandError(click.ClickException):
    """What a command itself finds wrong.

    Args:
        message: what is wrong, on one line.
        code: the exit code.
        advice: the next command to try, or what else to do; it becomes a line of its own.
    """

    def __init__(self, message: str, *, code: int = OTHER, advice: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.advice = advice


class Failure(NamedTuple):
    """What to print to standard error, and the exit code."""

    lines: Sequence[str]
    code: int


def failure_of(error: Exception, path: str, subject: tuple[str, str] = ("", ""), *, debug: bool = False) -> Failure:
    """Return what to print of an error that has ended a command, and the exit code.

    Args:
        error: the error.
        path: the command.
        subject: the kind of resource that it was about, and which one.
        debug: whether to add the traceback of an error that nobody expects.
    """
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx is not None else path
        return Failure([f"{path}: {_usage_text(error)} (see {path} --help)"], USAGE)
    code, advice = code_of(error), advice_for(error, subject)
    lines = [f"{path}: {one_line(text_of(error))}"]
    if not isinstance(error, errors.InferenceError | OSError | click.ClickException):
        lines = [f"{path}: unexpected error: {one_line(f'{type(error).__name__}: {error}')}"]
        advice = "the same command with --debug shows where it happened; please report it"
        if debug:
            return Failure([*lines, *map(one_line, traceback.format_exception(error))], code)
    return Failure([*lines, *([one_line(advice)] if advice else ())], code)


def code_of(error: Exception) -> int:
    """Return the exit code for an error."""
    if isinstance(error, CommandError):
        return error.code
    return next((code for kind, code in _CODES if isinstance(error, kind)), OTHER)


def text_of(error: Exception) -> str:
    """Return what is wrong, in words that fit a command line."""
    if isinstance(error, errors.ConfigurationError) and error.for_command:
        return error.for_command
    if isinstance(error, click.ClickException):
        return error.format_message()
    return output.describe(error)


def advice_for(error: Exception, subject: tuple[str, str] = ("", "")) -> str:
    """Return what to do about an error; empty if that is unknown."""
    if isinstance(error, CommandError):
        return error.advice
    kind, name = subject
    kind = _GROUPS.get(kind, "")
    if isinstance(error, errors.InvalidArgument):
        refused = _refused_fields(error)
        if "name" in refused:
            return _NAMES.get(kind, "")
        if kind == "hot-loads" or not any(map(_LISTED.search, refused or [error.message])):
            return ""  # `parameters`, which hot-loads do not have, would not help
    words = {"kind": kind, "name": name, "id": _called(error) or name}
    advice = next((advice for kind, advice in _ADVICE if isinstance(error, kind)), "")
    return advice.format(**words) if all(words[each] for each in words if f"{{{each}}}" in advice) else ""


def _called(error: Exception) -> str:
    """Return the name of the resource that an error is about, or else its id; empty if it has none."""
    spec: Any = getattr(getattr(error, "resource", None), "spec", None)
    return getattr(spec, "name", "") or getattr(spec, "id", "") or getattr(error, "resource_id", None) or ""


def _refused_fields(error: errors.ApiError) -> list[str]:
    """Return the fields of which the API says that they are wrong."""
    return [each.field for detail in error.details for each in getattr(detail, "field_violations", ())]


def _usage_text(error: click.UsageError) -> str:
    """Return click's message as the library's are: in lower case, without a full stop."""
    text = one_line(error.format_message()).removesuffix(".")
    return text[:1].lower() + text[1:]

"""Everything that this library raises. `InferenceError` is the root.

`ApiError` has one subclass for each status code, the same on every transport; `CODES` is the table.
`message` is a server's text as received; control characters in it are escaped wherever it is printed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message

from ._retry_rules import Hint, is_retryable, may_have_effect
from ._text import printable

ApiErrorT = TypeVar("ApiErrorT", bound="ApiError")


class InferenceError(Exception):
    """The root of all errors of this library.

    Attributes:
        resource_id: the id of the resource that exists, or may exist, although the method has failed: that of a create
            whose response was lost, or of whatever was being waited for. None where there is none.
        steps_done: what `apply` had done of its plan when it failed, as `PlanStep`s; empty for all other methods.
        steps_left: what it had not done, beginning with the step that failed, if one has.
    """

    resource_id: str | None = None
    steps_done: Sequence[Any] = ()
    steps_left: Sequence[Any] = ()

    def __str__(self) -> str:
        return printable(super().__str__())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())


def _rebuild(kind: type[InferenceError], args: tuple[Any, ...], state: dict[str, Any]) -> InferenceError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(InferenceError, ValueError):
    """Refused before anything was written: the text names the argument, what is wrong with it, and what to do.

    Nothing was sent, except that `modify`, `ensure` and completions of a gateway given by its id may have read before.
    """

    def __init__(self, message: str, *, for_command: str | None = None) -> None:
        super().__init__(message)
        self.for_command = for_command
        """What to say instead where the arguments come from a command line, which has other options; None: the same."""


class ProtocolError(InferenceError):
    """The response could not be decoded, or was larger than allowed. Never retried.

    Attributes:
        method: name of the method, such as `GetGateway` or `chat.completions`.
        http_status: HTTP status of the response, or None if it is not known.
        attempts: how many times the call was sent.
        headers: the headers of the response, as in `ApiError`; empty if they are not known.
    """

    def __init__(
        self,
        message: str,
        *,
        method: str = "",
        http_status: int | None = None,
        attempts: int = 1,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.method = method
        self.http_status = http_status
        self.attempts = attempts
        self.headers = {} if headers is None else dict(headers)

    def __str__(self) -> str:
        return printable(f"{self.method}: {self.args[0]}" if self.method else str(self.args[0]))


class ApiError(InferenceError):
    """A call failed. Its class says how: there is one subclass for each code.

    Attributes:
        code: status code in lower case, as the Connect protocol spells it: `"not_found"`.
        message: what the server, or this library, says happened.
        details: the decoded `google.rpc` messages of the response; unknown ones as `google.protobuf.Any`.
        http_status: HTTP status of the response; None if there was none, as over gRPC, or it is not known.
        attempts: how many times the call was sent.
        method: name of the method, such as `GetGateway` or `chat.completions`.
        retry_after: seconds that the server asked to wait before a retry; negative if it wants none. None if it did
            not say.
        headers: the headers of the response (over gRPC, its metadata and trailers), by names in lower case, without
            secrets; empty if there was no response.
        retryable: whether the same call may succeed later.
        may_have_succeeded: whether the server may have processed the request although the call failed.
    """

    code: str = "unknown"

    def __init__(
        self,
        message: str = "",
        *,
        details: Sequence[Message] = (),
        http_status: int | None = None,
        attempts: int = 1,
        method: str = "",
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = tuple(details)
        self.http_status = http_status
        self.attempts = attempts
        self.method = method
        self.retry_after = retry_after
        self.headers = {} if headers is None else dict(headers)
        self._hint = Hint.NONE
        self._is_page = False
        self._earlier_may_have_succeeded = False

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later: the server was not reached, is overloaded, or was too slow.

        Before you repeat a change, look at `may_have_succeeded`.
        """
        return is_retryable(self.code, self._hint, self.retry_after)

    @property
    def may_have_succeeded(self) -> bool:
        """Whether the server may have processed the request although the call failed: a lost response, for example.

        This includes earlier attempts of the call. False if the server certainly did nothing.
        """
        return self._earlier_may_have_succeeded or may_have_effect(self.code, self._hint)

    def __str__(self) -> str:
        where = f"{self.method}: " if self.method else ""
        tries = f" (after {self.attempts} attempts)" if self.attempts > 1 else ""
        return printable(f"{where}{self.message or 'no message'} [{self.code}]{tries}")


def with_hint(error: ApiErrorT, hint: Hint) -> ApiErrorT:
    """Return the error with what a transport knows of the attempt beyond its code."""
    error._hint = hint  # pyright: ignore[reportPrivateUsage]
    return error


def hint_of(error: ApiError) -> Hint:
    """Return what a transport knew of the attempt beyond its code."""
    return error._hint  # pyright: ignore[reportPrivateUsage]


def mark_page(error: ApiErrorT) -> ApiErrorT:
    """Return the error, marked as a page of a proxy or another server in between rather than the API's own word."""
    error._is_page = True  # pyright: ignore[reportPrivateUsage]
    return error


def is_page(error: ApiError) -> bool:
    """Return whether the response was not the API's own word, but a proxy's page, for example."""
    return error._is_page  # pyright: ignore[reportPrivateUsage]


def note_earlier(error: ApiError, *, may_have_succeeded: bool) -> None:
    """Note of the last error of a call whether an attempt before it may have succeeded."""
    error._earlier_may_have_succeeded = may_have_succeeded  # pyright: ignore[reportPrivateUsage]


class Cancelled(ApiError):
    """The server canceled the call. (A canceled task raises `asyncio.CancelledError` instead.)"""

    code = "canceled"


class Unknown(ApiError):
    """The server, or something in between, responded without a usable code."""

    code = "unknown"


class InvalidArgument(ApiError):
    """A value is wrong, whatever the state of the system; `details` may contain `BadRequest`."""

    code = "invalid_argument"


class DeadlineExceeded(ApiError, TimeoutError):
    """The call timed out before a response arrived."""

    code = "deadline_exceeded"


class NotFound(ApiError):
    """There is no such resource in the caller's organization."""

    code = "not_found"


class AlreadyExists(ApiError):
    """The id or the name is taken in the organization."""

    code = "already_exists"


class PermissionDenied(ApiError):
    """The token is valid, but its role does not allow this: reads need Inference Viewer, writes Inference Admin."""

    code = "permission_denied"


class ResourceExhausted(ApiError):
    """A quota or a rate limit is exhausted; `details` may contain `QuotaFailure` or `RetryInfo`."""

    code = "resource_exhausted"


class FailedPrecondition(ApiError):
    """The current state of the system does not allow it; `details` may contain `PreconditionFailure`."""

    code = "failed_precondition"


class Aborted(ApiError):
    """A concurrent change got in the way."""

    code = "aborted"


class OutOfRange(ApiError):
    """A value is past the end of a valid range."""

    code = "out_of_range"


class Unimplemented(ApiError):
    """The server does not know the method, or what responded is not the API."""

    code = "unimplemented"


class Internal(ApiError):
    """Something on the server is broken."""

    code = "internal"


class Unavailable(ApiError):
    """The server cannot be reached, or cannot respond right now."""

    code = "unavailable"


class DataLoss(ApiError):
    """The server lost data for good."""

    code = "data_loss"


class Unauthenticated(ApiError):
    """The token is missing, wrong or expired."""

    code = "unauthenticated"


BY_NUMBER: Mapping[int, type[ApiError]] = {
    1: Cancelled,
    2: Unknown,
    3: InvalidArgument,
    4: DeadlineExceeded,
    5: NotFound,
    6: AlreadyExists,
    7: PermissionDenied,
    8: ResourceExhausted,
    9: FailedPrecondition,
    10: Aborted,
    11: OutOfRange,
    12: Unimplemented,
    13: Internal,
    14: Unavailable,
    15: DataLoss,
    16: Unauthenticated,
}
"""The classes by gRPC's status numbers."""

CODES: Mapping[str, type[ApiError]] = {kind.code: kind for kind in BY_NUMBER.values()}
"""The classes by their codes."""


class ResourceFailed(InferenceError):
    """A wait ended because the resource will not become ready; the text lists its unmet conditions.

    Attributes:
        resource: the resource as it was last read.
    """

    def __init__(self, message: str, resource: Message) -> None:
        super().__init__(message)
        self.resource = resource


class WaitTimeout(InferenceError, TimeoutError):
    """A wait timed out; the text shows the last known state of the resource.

    Attributes:
        resource: the resource as it was last read, or None if it never was.
    """

    def __init__(self, message: str, resource: Message | None) -> None:
        super().__init__(message)
        self.resource = resource


class PlanOutdated(InferenceError):
    """Something has changed since a plan was made, so nothing of it was applied: make the plan again.

    Attributes:
        changed: what differs from what the plan saw, a line each.
    """

    def __init__(self, message: str, changed: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.changed = tuple(changed)


class Conflict(InferenceError):
    """Somebody else has changed a resource in the middle of an operation, which stopped without touching it again.

    Attributes:
        resource: the resource as it was found, or None if it is gone.
    """

    def __init__(self, message: str, resource: Message | None = None) -> None:
        super().__init__(message)
        self.resource = resource


class _StreamError(InferenceError):
    def __init__(self, message: str, partial_text: str = "") -> None:
        super().__init__(message)
        self.partial_text = partial_text


class StreamStalled(_StreamError, TimeoutError):
    """The stream of a completion stopped delivering content.

    Attributes:
        partial_text: the text received before.
    """


class StreamInterrupted(_StreamError):
    """The stream of a completion broke off, or ended without its end mark.

    Attributes:
        partial_text: the text received before.
    """


__all__ = [
    "BY_NUMBER",
    "CODES",
    "Aborted",
    "AlreadyExists",
    "ApiError",
    "Cancelled",
    "ConfigurationError",
    "Conflict",
    "DataLoss",
    "DeadlineExceeded",
    "FailedPrecondition",
    "InferenceError",
    "Internal",
    "InvalidArgument",
    "NotFound",
    "OutOfRange",
    "PermissionDenied",
    "PlanOutdated",
    "ProtocolError",
    "ResourceExhausted",
    "ResourceFailed",
    "StreamInterrupted",
    "StreamStalled",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Unknown",
    "WaitTimeout",
]

"""Everything this library raises. `InferenceError` is the root.

`ApiError` has one subclass per status code, the same whatever the transport; `CODES` is the table.
Server text is kept as it came in `message` and cleaned of control characters wherever it is printed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.message import Message

from ._text import printable


class InferenceError(Exception):
    """The root of all errors of this library."""

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
    """Refused before anything was sent: the text names the argument, what is wrong with it and what to do."""


class ProtocolError(InferenceError):
    """The answer could not be decoded, or was larger than allowed. Never retried."""

    def __init__(self, message: str, *, method: str = "", http_status: int | None = None, attempts: int = 1) -> None:
        super().__init__(message)
        self.method = method
        """Name of the method, for example `GetGateway`; empty outside the management API."""
        self.http_status = http_status
        """HTTP status of the answer, or None when it is not known."""
        self.attempts = attempts
        """How often the call was sent."""

    def __str__(self) -> str:
        return printable(f"{self.method}: {self.args[0]}" if self.method else str(self.args[0]))


class ApiError(InferenceError):
    """A call failed. Its class says how: see the subclasses, one per code.

    Attributes:
        code: status code in lower case, as the Connect protocol spells it: `"not_found"`.
        message: what the server or the library says happened.
        details: the decoded `google.rpc` messages of the answer; unknown ones as `google.protobuf.Any`.
        http_status: HTTP status of the answer; None when it had none, as gRPC's own, or it is not known.
        attempts: how often the call was sent.
        maybe_done: whether an attempt before the last may have been processed, so that this may answer our own repeat.
        method: name of the method, such as `GetGateway` or `chat.completions`.
        retry_after: seconds that the server asked to wait before a repeat; negative: it wants none. None when it did
            not say.
        unprocessed: whether the server surely did not process the request: it was refused unread, or never left this
            machine.
        permanent: whether it will not pass although the code suggests so: an untrusted certificate, a model that has
            run.
        invited: whether the server asked for a repeat although the code suggests none.
        turned_away: whether it reads as if a working server had refused the stream unread, closing a connection in
            good order: a repeat then adds nothing to its load.
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
        unprocessed: bool = False,
        permanent: bool = False,
        invited: bool = False,
        turned_away: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = tuple(details)
        self.http_status = http_status
        self.attempts = attempts
        self.maybe_done = False
        self.method = method
        self.retry_after = retry_after
        self.unprocessed = unprocessed
        self.permanent = permanent
        self.invited = invited
        self.turned_away = turned_away

    def __str__(self) -> str:
        where = f"{self.method}: " if self.method else ""
        tries = f" (after {self.attempts} attempts)" if self.attempts > 1 else ""
        return printable(f"{where}{self.message or 'no message'} [{self.code}]{tries}")


class Cancelled(ApiError):
    """The server gave the call up. (A cancelled task raises `asyncio.CancelledError` instead.)"""

    code = "canceled"


class Unknown(ApiError):
    """The server, or something in between, answered without a usable code."""

    code = "unknown"


class InvalidArgument(ApiError):
    """A value is wrong whatever the state of the system; `details` may hold `BadRequest`."""

    code = "invalid_argument"


class DeadlineExceeded(ApiError, TimeoutError):
    """The call's time was over before an answer came."""

    code = "deadline_exceeded"


class NotFound(ApiError):
    """There is no such resource in the caller's organization."""

    code = "not_found"


class AlreadyExists(ApiError):
    """The id or the name is taken in the organization."""

    code = "already_exists"


class PermissionDenied(ApiError):
    """The token is good, but its role is not: reads need Inference Viewer, writes Inference Admin."""

    code = "permission_denied"


class ResourceExhausted(ApiError):
    """A quota or a rate limit is used up; `details` may hold `QuotaFailure` or `RetryInfo`."""

    code = "resource_exhausted"


class FailedPrecondition(ApiError):
    """The state of the system forbids it for now; `details` may hold `PreconditionFailure`."""

    code = "failed_precondition"


class Aborted(ApiError):
    """Another change came in between."""

    code = "aborted"


class OutOfRange(ApiError):
    """Past the end of something."""

    code = "out_of_range"


class Unimplemented(ApiError):
    """The server does not know the method, or what answered is not the API."""

    code = "unimplemented"


class Internal(ApiError):
    """Something is broken on the server."""

    code = "internal"


class Unavailable(ApiError):
    """The server cannot be reached, or cannot answer right now."""

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
"""The classes by gRPC's numbers."""

CODES: Mapping[str, type[ApiError]] = {kind.code: kind for kind in BY_NUMBER.values()}
"""The classes by their codes."""


class ResourceFailed(InferenceError):
    """A wait ended because the resource will not become ready; the text shows its unmet conditions."""

    def __init__(self, message: str, resource: Message) -> None:
        super().__init__(message)
        self.resource = resource
        """The resource as it was last seen."""


class WaitTimeout(InferenceError, TimeoutError):
    """A wait ended before the resource reached the state; the text shows how it stood."""

    def __init__(self, message: str, resource: Message | None) -> None:
        super().__init__(message)
        self.resource = resource
        """The resource as it was last seen, or None when it never was."""


class _StreamError(InferenceError):
    def __init__(self, message: str, partial_text: str = "") -> None:
        super().__init__(message)
        self.partial_text = partial_text
        """The text received before the stream ended."""


class StreamStalled(_StreamError, TimeoutError):
    """A completion's stream stopped bringing content."""


class StreamInterrupted(_StreamError):
    """A completion's stream broke off, or ended without its end mark."""


__all__ = [
    "BY_NUMBER",
    "CODES",
    "Aborted",
    "AlreadyExists",
    "ApiError",
    "Cancelled",
    "ConfigurationError",
    "DataLoss",
    "DeadlineExceeded",
    "FailedPrecondition",
    "InferenceError",
    "Internal",
    "InvalidArgument",
    "NotFound",
    "OutOfRange",
    "PermissionDenied",
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

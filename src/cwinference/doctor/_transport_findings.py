"""What the calls of an examination say of the transports and of the token."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from .. import errors
from .._calls.session import ClientSession
from ..auth import Metadata
from ._report import Finding, Level

CALL_SECONDS = 10.0
"""Limit of one call, and of one step on the way to the server."""
MOST_CALLS = 20
_SLOW_SECONDS = 2.0
_LONGEST = 400
"""How many letters of a server's message are shown."""

_TITLES = {"grpc": "gRPC", "connect": "Connect", "rest": "REST"}
_DENIED = ("unauthenticated", "permission_denied")
_OF_ONE_METHOD = ("internal", "unknown", "data_loss", "resource_exhausted", "invalid_argument", "failed_precondition")
"""Codes of a first read after which a second one may succeed."""
_PREVIEWS = ("ListHotLoads",)
"""Methods of previews, which are not switched on for every organization."""
_NOT_ENABLED = ("unimplemented", "permission_denied", "failed_precondition", "not_found")
"""The codes of those that are not."""


class Calls:
    """Counts what is sent."""

    def __init__(self) -> None:
        self.count = 0

    @property
    def is_spent(self) -> bool:
        """Whether no more may be sent."""
        return self.count >= MOST_CALLS

    def through(self, session: ClientSession[Any]) -> "_Counted":
        """Return the session, with its attempts counted."""
        return _Counted(self, session)


@dataclass(frozen=True)
class _Counted:
    calls: Calls
    session: ClientSession[Any]

    def send(self, call: Any, metadata: Metadata, timeout: float | None) -> Any:
        """Send one attempt. Raises ResourceExhausted when there were too many."""
        if self.calls.is_spent:
            raise errors.ResourceExhausted("the examination has made all calls that it may make")
        self.calls.count += 1
        return self.session.send(call, metadata, timeout)


@dataclass(frozen=True)
class Outcome:
    """How a read went."""

    method: str
    seconds: float
    error: Exception | None = None

    @property
    def code(self) -> str:
        """The code of an error of the API; empty for others, and for none."""
        return self.error.code if isinstance(self.error, errors.ApiError) else ""


@dataclass
class TransportCheck:
    """One transport, and how the reads over it went."""

    name: str
    session: ClientSession[Any]
    outcomes: list[Outcome] = field(default_factory=list[Outcome])

    @property
    def works(self) -> bool:
        """Whether it is worth another read: something of the API responds, or that is not known yet."""
        if len(self.outcomes) <= 1 and all(each.code in _OF_ONE_METHOD for each in self.outcomes):
            return True
        return any(each.error is None or each.code in _DENIED for each in self.outcomes)


def summary(transport: TransportCheck, *, is_own: bool, others_work: bool) -> list[Finding]:
    """Return what is found of a transport. `is_own`: whether the client uses it; `others_work`: whether one does."""
    title, outcomes = _TITLES[transport.name], transport.outcomes
    good, matters = [each for each in outcomes if each.error is None], is_own or transport.name == "rest"
    if not outcomes:
        level: Level = "error" if matters else "warning"
        return [
            Finding(
                level,
                "transports",
                f"{title} was not tried before the timeout",
                "give it more time by timeout=, or --timeout",
            )
        ]
    if not good:
        return [_unusable(title, outcomes[0], matters=matters, others_work=others_work)]
    found = [_speed(title, good)]
    found += [_failed(title, each) for each in outcomes if each.error is not None]
    return found


def _speed(title: str, good: Sequence[Outcome]) -> Finding:
    first, later = good[0].seconds, [each.seconds for each in good[1:]]
    text = f"{title} responds: {_ms(first)} ms for the first call, which connects"
    details = {"transport": title, "first_ms": _ms(first)}
    if later:
        text += f", then {_ms(median(later))} ms"
        details["later_ms"] = _ms(median(later))
    is_slow = median(later or [first]) > _SLOW_SECONDS
    return Finding(
        "warning" if is_slow else "ok",
        "transports",
        f"{text}, which is slow" if is_slow else text,
        "look for what is slow: the network, a proxy, or the service" if is_slow else "",
        details,
    )


def _unusable(title: str, outcome: Outcome, *, matters: bool, others_work: bool) -> Finding:
    level: Level = "error" if matters else "warning"
    if outcome.code in _DENIED:
        return Finding(
            level, "transports", f"{title} responds, but {_reason(outcome)}", "see what is said of the token"
        )
    advice = _advice(outcome.error)
    if others_work:
        advice += "; a transport that responds can be used meanwhile"
    subject = title if matters else f"{title}, which this client does not use,"
    return Finding(level, "transports", f"{subject} does not work: {_reason(outcome)}", advice, {"transport": title})


def _failed(title: str, outcome: Outcome) -> Finding:
    details = {"transport": title, "method": outcome.method, "code": outcome.code or type(outcome.error).__name__}
    if outcome.method in _PREVIEWS and outcome.code in _NOT_ENABLED:
        text = f"{outcome.method} is not available to this token: {_reason(outcome)}"
        return Finding("note", "transports", text, "hot-loads are a preview, which CoreWeave enables", details)
    text = f"{outcome.method} fails over {title}: {_reason(outcome)}"
    return Finding("error", "transports", text, _advice(outcome.error), details)


def _reason(outcome: Outcome) -> str:
    error = outcome.error
    if isinstance(error, errors.ApiError):
        return f"{_shortened(error.message) or 'no message'} [{error.code}]"
    if isinstance(error, errors.ProtocolError):
        return _shortened(str(error.args[0]))
    return _shortened(reason_of_any(error))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def reason_of_any(error: Exception | None) -> str:
    """Return what an error says, if its text is the library's; of others, which may show secrets, their type."""
    return str(error) if isinstance(error, errors.InferenceError) else f"{type(error).__name__} was raised"


def _advice(error: Exception | None) -> str:
    if isinstance(error, errors.ConfigurationError):
        return "change the setting, or use a transport that works"
    if isinstance(error, errors.DeadlineExceeded):
        return "see whether a firewall or a proxy swallows it"
    if isinstance(error, errors.ProtocolError | errors.Unimplemented):
        return "check the endpoint, and proxies in between"
    if isinstance(error, errors.PermissionDenied):
        return "ask for the role Inference Viewer or Inference Admin"
    if isinstance(error, errors.Unavailable):
        return "see what is said of the network, and try again"
    return "try again, and if it stays so, send this report to the maintainers"


def token_findings(origin: str, outcomes: Sequence[Outcome]) -> list[Finding]:
    """Return what is found of the token; an error if no read was allowed because of it."""
    source = f"the token comes from {origin}"
    codes = {each.code for each in outcomes}
    if any(each.error is None for each in outcomes):
        role = "reads do not show whether its role is Inference Viewer or Inference Admin"
        return [
            Finding("ok", "token", f"{source}, and may read", details={"origin": origin, "may_read": True}),
            Finding("note", "token", role, "a write that is refused with PERMISSION_DENIED needs Inference Admin"),
        ]
    details = {"origin": origin, "may_read": False}
    if "unauthenticated" in codes:
        advice = "get a new one; an access token of CoreWeave begins with CW-SECRET-"
        return [Finding("error", "token", f"{source}, and the server refuses it (UNAUTHENTICATED)", advice, details)]
    if "permission_denied" in codes:
        advice = "ask an administrator for the role Inference Viewer, or Inference Admin"
        return [Finding("error", "token", f"{source}, and may not read (PERMISSION_DENIED)", advice, details)]
    text = f"{source}; whether it may read is not known, because no read got through"
    return [Finding("warning", "token", text, "see what is said of the transports", {"origin": origin})]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)

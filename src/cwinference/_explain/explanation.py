"""What comes out: events, causes, and the whole explanation, as text and as data."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from .._text import one_line
from ..status import condition_text

Verdict: TypeAlias = Literal["reported", "certain", "likely", "possible", "note"]
"""How sure it is that something is a cause: the service itself says so; it follows from what was read; it is likely; or
it is possible. A note is a fact that helps, and is no cause."""
VERDICTS: tuple[Verdict, ...] = ("reported", "certain", "likely", "possible", "note")

_TITLES: Mapping[Verdict, str] = {"certain": "because"}
"""What the text has in place of a verdict."""
_SECONDS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


@dataclass(frozen=True)
class Event:
    """A condition as it has been since a moment, in one or several zones."""

    at: datetime | None
    type: str
    met: bool | None
    """Whether the condition is met; None if that is not known."""
    reason: str
    message: str
    zones: tuple[str, ...]

    def __str__(self) -> str:
        status = {True: "yes", False: "no", None: "unknown"}[self.met]
        return condition_text(self.type, status, self.reason, self.message, self.zones)


@dataclass(frozen=True)
class Cause:
    """Something that was read and matters, how sure it is that this is the cause, and what mends it."""

    verdict: Verdict
    fact: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """Why a resource is as it is. `str(explanation)` is the text."""

    subject: str
    id: str
    state: str
    since: datetime | None
    """When anything about it last changed."""
    now: datetime
    is_well: bool
    is_terminal: bool
    history: Sequence[Event]
    unmet: Sequence[Event]
    causes: Sequence[Cause]
    unread: Sequence[str]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data, for JSON."""
        return {
            "subject": self.subject,
            "id": self.id,
            "state": self.state,
            "since": _time(self.since),
            "well": self.is_well,
            "history": [_plain(each) for each in self.history],
            "unmet": [_plain(each) for each in self.unmet],
            "causes": [
                {"verdict": each.verdict, "fact": each.fact, "commands": list(each.commands)} for each in self.causes
            ],
            "unread": list(self.unread),
        }

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        ago = "" if self.since is None else f" (last change {_duration((self.now - self.since).total_seconds())} ago)"
        yield f"{self.subject}: {self.state}{ago}"
        yield f"  id {one_line(self.id)}"
        if self.history:
            yield from ("", "history")
        for event in self.history:
            yield f"  {_time(event.at) or 'at a time not reported'}  {event}"
        yield from ("", "unmet")
        for event in self.unmet:
            yield f"  {event}"
        if not self.unmet:
            yield "  nothing" if self.history else "  no conditions were reported"
        yield from ("", "cause")
        if not any(each.verdict != "note" for each in self.causes):
            yield "  all is well" if self.is_well else "  none that the API shows"
        for cause in self.causes:
            yield f"  {_TITLES.get(cause.verdict, cause.verdict):<9} {one_line(cause.fact)}"
            for command in cause.commands:
                yield f"  {'':<9} $ {one_line(command)}"
        for each in self.unread:
            yield f"  {'not read':<9} {one_line(each)}"


def _plain(event: Event) -> dict[str, Any]:
    return {
        "at": _time(event.at),
        "type": event.type,
        "met": event.met,
        "reason": event.reason,
        "message": event.message,
        "zones": list(event.zones),
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(seconds: float) -> str:
    """Return seconds in the two largest units that they have."""
    left, parts = max(0, int(seconds)), list[str]()
    for unit, size in _SECONDS:
        if left >= size or (unit == "s" and not parts):
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2])

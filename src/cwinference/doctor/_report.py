"""What an examination found: `Report`, readable as text and as JSON, and safe to be sent to the maintainers."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from .._html import Displayed, Table
from .._version import __version__

Level: TypeAlias = Literal["ok", "note", "warning", "error"]
"""How bad a finding is. A field or a value that is merely new is a warning."""
LEVELS: tuple[Level, ...] = ("ok", "note", "warning", "error")

Area: TypeAlias = Literal["token", "network", "transports", "wire"]
"""What a finding is about."""
AREAS: tuple[Area, ...] = ("token", "network", "transports", "wire")

_FORMAT = 1
"""The version of the JSON form."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Args:
        level: "ok", "note", "warning" or "error".
        area: "token", "network", "transports" or "wire".
        text: what was found, a sentence.
        advice: what to do; empty where there is nothing to be done.
        details: the same for programs: numbers, wire types, names of messages and fields, times in milliseconds.
    """

    level: Level
    area: Area
    text: str
    advice: str = ""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Report(Displayed):
    """What `examine` found. `str(report)` is the text, `report.to_json()` the same for programs.

    It contains no secrets, and no names or ids of resources unless they were asked for.

    Args:
        endpoint: URL of the API.
        transport: the client's transport.
        findings: in the order of the examination.
        calls: how many calls were sent.
        seconds: how long it took.
        at: when it began, in RFC 3339.
        environment: versions of Python, of the libraries in use and of the system.
        refused: whether there was no token that the server accepts for reading.
    """

    endpoint: str
    transport: str
    findings: Sequence[Finding]
    calls: int
    seconds: float
    at: str
    environment: Mapping[str, str]
    refused: bool = False

    @property
    def level(self) -> Level:
        """The worst level of all findings."""
        levels = {each.level for each in self.findings}
        worst: Level = "ok"
        for each in LEVELS:
            worst = each if each in levels else worst
        return worst

    @property
    def exit_code(self) -> int:
        """0 if nothing is wrong, or there are only warnings; 1 if something is; 4 without a token that is accepted."""
        return 4 if self.refused else int(self.level == "error")

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "format": _FORMAT,
            "cwinference": __version__,
            "at": self.at,
            "endpoint": self.endpoint,
            "transport": self.transport,
            "level": self.level,
            "exit_code": self.exit_code,
            "calls": self.calls,
            "seconds": round(self.seconds, 3),
            "environment": dict(self.environment),
            "findings": [
                {
                    "level": each.level,
                    "area": each.area,
                    "text": each.text,
                    "advice": each.advice,
                    "details": dict(each.details),
                }
                for each in self.findings
            ],
        }

    def to_json(self) -> str:
        """Return the report as a JSON object, indented."""
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _as_tables(self) -> Iterable[Table]:
        rows = [(each.level, each.area, each.text, each.advice) for each in self.findings]
        yield Table(rows, ("LEVEL", "AREA", "FINDING", "ADVICE"), f"{self.endpoint}: {self._summary()}")

    def _lines(self) -> Iterator[str]:
        yield f"{self.endpoint} by cwinference {__version__}, transport={self.transport}, {self.at}"
        yield ", ".join(f"{name} {version}" for name, version in self.environment.items())
        for area in AREAS:
            found = [each for each in self.findings if each.area == area]
            if found:
                yield ""
                yield area
            for each, following in zip(found, [*found[1:], None], strict=False):
                yield f"  {each.level:<8} {each.text}"
                if each.advice and (following is None or following.advice != each.advice):
                    yield f"  {'':<8} -> {each.advice}"
        yield ""
        yield f"{self._summary()}; {self.calls} calls, {self.seconds:.1f} s"

    def _summary(self) -> str:
        counts = {level: sum(each.level == level for each in self.findings) for level in ("error", "warning")}
        parts = [f"{count} {level}{'s'[: count != 1]}" for level, count in counts.items() if count]
        return ", ".join(parts) or "nothing is wrong"

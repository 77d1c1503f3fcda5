"""Faults on purpose: what goes wrong, and at which calls. One set of words in Python, in TOML and on the command line.

emulator.faults.add("error", method="CreateGateway", nth=1, code="unavailable")

[[faults]]
kind = "error"
method = "CreateGateway"
nth = 1
code = "unavailable"

cwinference emulator --fault "error method=CreateGateway nth=1 code=unavailable"
"""

import json
import random
import shlex
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, TypeGuard, cast

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import ParseDict, ParseError

from ..._text import one_line
from ..._wire import error_details
from ...errors import ConfigurationError
from .options import OPTIONS, Kind, check

_SELECTION = ("method", "path", "nth", "probability", "seed", "times")


@dataclass(eq=False)
class Fault:
    """One fault, and how often it has happened. `Faults.add` makes it, and says what the fields mean."""

    kind: Kind
    method: str | None = None
    path: str | None = None
    nth: int | Collection[int] | None = None
    probability: float = 1.0
    seed: int = 0
    times: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    happened: int = 0
    """Calls that met it."""

    def __post_init__(self) -> None:
        check(self.kind, {name: getattr(self, name) for name in _SELECTION}, self.options)
        self.options = {**OPTIONS[self.kind], **self.options}
        self._seen = 0
        self._random = random.Random(self.seed)  # noqa: S311

    def meets(self, method: str | None, path: str) -> bool:
        """Whether it happens to this call, which counts as one more of its kind."""
        if self.method not in (None, method) or not fnmatchcase(path, self.path or "*"):
            return False
        self._seen += 1
        if self.times is not None and self.happened >= self.times:
            return False
        chosen = self._is_chosen() and self._random.random() < self.probability
        self.happened += chosen
        return chosen

    def _is_chosen(self) -> bool:
        if self.nth is None:
            return True
        return self._seen == self.nth if isinstance(self.nth, int) else self._seen in self.nth


class Faults:
    """The faults of an emulator; they may be changed while it runs, from any thread.

    What goes wrong:

    | kind | what the client meets | options, with their defaults |
    |---|---|---|
    | `error` | the code, in the form of its protocol; below a gateway, of OpenAI | `code="unavailable"`, `message`, `details` (messages of `google.rpc`; in TOML in protobuf's JSON form, with `@type`), `headers` (of the answer; gRPC's trailers), `after_work=False` (True: the work is done, and the answer is the error all the same) |
    | `page` | an HTML page, as a proxy gives it | `status=502` |
    | `delay` | nothing for a while, then everything | `seconds=1` |
    | `drip` | the answer, piece by piece | `size=1` (bytes of a piece), `seconds=0.1` (between two) |
    | `cut` | a connection that is reset | `when`: `"before"`: nothing is done; `"during"`: the work is done after the cut, `seconds=0.05` later; `"after"`: the work is done, nothing is answered; `"answer"` (default): the answer breaks off half-way |
    | `refuse` | its stream refused as surely not processed (HTTP/2), or its connection closed (HTTP/1.1) | |
    | `goaway` | an answer, and GOAWAY: no further streams on this connection (HTTP/1.1: `connection: close`) | |
    | `garbage` | bytes that are no message, in the right place | `size=64` |
    | `oversized` | an answer of so many bytes | `size=67108865`, one more than clients accept |
    | `content_type` | the answer under a wrong name | `content_type="text/html"` |
    | `half_open` | a connection that takes everything and never answers again | |
    | `skew` | times, and a Date, from a server whose clock goes wrong | `seconds=300` (negative: it is late) |
    | `duplicate` | its request delivered twice; it gets the answer to the second | |

    At which calls: all, or those of one `method` (`"CreateGateway"`, however it is called) or of a `path` (with `*`:
    `"/gateway/*"`); of those the `nth` (a number, from 1, or several), or each with a `probability` drawn from `seed=0`, and
    at most `times` of them. Faults that meet in one call all happen, the first added outermost.
    """  # noqa: E501

    def __init__(self) -> None:
        self._faults: tuple[Fault, ...] = ()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Faults({', '.join(each.kind for each in self._faults)})"

    def add(
        self,
        kind: Kind,
        *,
        method: str | None = None,
        path: str | None = None,
        nth: int | Collection[int] | None = None,
        probability: float = 1.0,
        seed: int = 0,
        times: int | None = None,
        **options: Any,
    ) -> Fault:
        """Let something go wrong from now on.

        Args:
            kind: what goes wrong. The table of all kinds and their `options` stands at the class.
            method: name of the method that it happens to, however it is called; None: any.
            path: path that it happens to, `*` standing for anything; None: any.
            nth: which of those calls, counted from 1 and from now on; None: all.
            probability: how likely each of them meets it, from 0 to 1.
            seed: of the draws, so that they can be repeated.
            times: how often it happens at most; None: without end.

        Returns:
            The fault: `fault.happened` tells how often it happened, and `faults.remove(fault)` ends it.

        Raises:
            ConfigurationError: there is no such kind, option or method, or a value is out of range.
        """
        fault = Fault(kind, method, path, nth, probability, seed, times, options)
        with self._lock:
            self._faults = (*self._faults, fault)
        return fault

    def remove(self, fault: Fault) -> None:
        """End a fault; one that is not there any more is no error."""
        with self._lock:
            self._faults = tuple(each for each in self._faults if each is not fault)

    def clear(self) -> None:
        """End all faults."""
        with self._lock:
            self._faults = ()

    def meeting(self, method: str | None, path: str) -> Sequence[Fault]:
        """Those that happen to one call."""
        with self._lock:
            return [fault for fault in self._faults if fault.meets(method, path)]

    def add_table(self, table: Mapping[str, Any], where: str) -> Fault:
        """Add a fault from TOML's `[[faults]]`. Raises ConfigurationError, which begins with `where`."""
        try:
            given = dict(table)
            if "details" in given:
                given["details"] = _messages(given["details"])
            return self.add(given.pop("kind", ""), **given)
        except (ConfigurationError, TypeError) as error:
            raise ConfigurationError(f"{where}: {error}") from None

    def add_text(self, text: str) -> Fault:
        """Add a fault from `--fault "KIND NAME=VALUE ..."`; values are JSON where they can be, otherwise text."""
        where = f"--fault {text!r}"
        try:
            table = _table(shlex.split(text))
        except ValueError as error:
            raise ConfigurationError(f"{where}: {error}") from None
        return self.add_table(table, where)


def _table(words: Sequence[str]) -> Mapping[str, Any]:
    kind, *pairs = words or [""]
    table: dict[str, Any] = {"kind": kind}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"{name}: expected NAME=VALUE")
        if name in table:
            raise ValueError(f"{name}: is given twice")
        table[name] = _value(value)
    return table


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _messages(value: object) -> object:
    """Messages out of protobuf's JSON form, with `@type`; what has another form stays as it is, to be refused."""
    if not _are_tables(value):
        return value
    try:
        return error_details.from_any(ParseDict(each, AnyMessage()) for each in value)
    except ParseError as error:
        raise ConfigurationError(f"details: {one_line(str(error))}") from None


def _are_tables(value: object) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(value, list) and all(each and isinstance(each, dict) for each in cast(list[object], value))

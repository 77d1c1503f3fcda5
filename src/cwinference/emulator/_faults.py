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
from math import isfinite
from typing import Any, Literal, TypeAlias, cast, get_args

from google.protobuf.message import Message

from .. import _details
from .._methods import METHODS
from ..errors import ConfigurationError
from ._wire import HTTP_STATUS

Kind: TypeAlias = Literal[
    "error",
    "page",
    "delay",
    "drip",
    "cut",
    "refuse",
    "goaway",
    "garbage",
    "oversized",
    "content_type",
    "half_open",
    "skew",
    "duplicate",
]
When: TypeAlias = Literal["before", "during", "after", "answer"]

_OPTIONS: Mapping[Kind, Mapping[str, Any]] = {
    "error": {"code": "unavailable", "message": "injected fault", "details": (), "headers": {}, "after_work": False},
    "page": {"status": 502},
    "delay": {"seconds": 1.0},
    "drip": {"size": 1, "seconds": 0.1},
    "cut": {"when": "answer", "seconds": 0.05},
    "refuse": {},
    "goaway": {},
    "garbage": {"size": 64},
    "oversized": {"size": 64 * 1024 * 1024 + 1},
    "content_type": {"content_type": "text/html"},
    "half_open": {},
    "skew": {"seconds": 300.0},
    "duplicate": {},
}
"""What each kind may be told, with its default."""

_SELECTION = ("method", "path", "nth", "probability", "seed", "times")
_METHODS = {method.name for method in METHODS.values()}


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
        _check(self)
        self.options = {**_OPTIONS[self.kind], **self.options}
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
    | `skew` | times from a server whose clock goes wrong | `seconds=300` (negative: it is late) |
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
                given["details"] = _details.from_json(given["details"])
            return self.add(given.pop("kind", ""), **given)
        except (ConfigurationError, TypeError) as error:
            raise ConfigurationError(f"{where}: {error}") from None

    def add_text(self, text: str) -> Fault:
        """Add a fault from `--fault "KIND NAME=VALUE ..."`; values are JSON where they can be, otherwise text."""
        try:
            kind, *pairs = shlex.split(text)
            table = {name: _value(value) for name, _, value in (pair.partition("=") for pair in pairs)}
        except ValueError as error:
            raise ConfigurationError(f"--fault {text!r}: {error}") from None
        return self.add_table({"kind": kind, **table}, f"--fault {text!r}")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _check(fault: Fault) -> None:
    if fault.kind not in get_args(Kind):
        raise ConfigurationError(f"kind: there is no {fault.kind!r}; give one of {', '.join(get_args(Kind))}")
    for name in fault.options:
        if name not in _OPTIONS[fault.kind]:
            known = ", ".join((*_OPTIONS[fault.kind], *_SELECTION))
            raise ConfigurationError(f"{name}: no option of {fault.kind!r}, which takes {known}")
    if fault.method is not None and fault.method not in _METHODS:
        raise ConfigurationError(f"method: there is no {fault.method!r}; give a name such as 'CreateGateway'")
    if fault.path is not None and not isinstance(cast(object, fault.path), str):
        raise ConfigurationError(f"path: {fault.path!r} is no text")
    for name in ("nth", "times", "seed"):
        value: Any = getattr(fault, name)
        if value is not None and not all(map(_is_whole, _several(value))):
            raise ConfigurationError(f"{name}: {value!r} is not a whole number")
    if not _is_number(fault.probability) or not 0 <= fault.probability <= 1:
        raise ConfigurationError(f"probability: {fault.probability!r} is not between 0 and 1")
    for name, value in fault.options.items():
        _check_option(fault.kind, name, value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_whole(value) or (isinstance(value, float) and isfinite(value))


def _are_headers(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    texts = [str(each) for pair in cast(Mapping[object, object], value).items() for each in pair]
    return all(each.isascii() and each.isprintable() for each in texts)


def _several(value: object) -> Collection[object]:
    return cast(Collection[object], value) if isinstance(value, Collection) and not isinstance(value, str) else [value]


def _check_option(kind: Kind, name: str, value: Any) -> None:
    match name:
        case "code" if value not in HTTP_STATUS:
            raise ConfigurationError(f"code: there is no {value!r}; give one of {', '.join(HTTP_STATUS)}")
        case "when" if value not in get_args(When):
            raise ConfigurationError(f"when: there is no {value!r}; give one of {', '.join(get_args(When))}")
        case "details" if not all(isinstance(each, Message) for each in value):
            raise ConfigurationError("details: give messages of google.rpc")
        case "seconds" | "size" | "status" if not _is_number(value):
            raise ConfigurationError(f"{name}: {value!r} is not a number")
        case "size" if not isinstance(value, int) or value < 1:
            raise ConfigurationError(f"size: {value} is not a whole number of bytes from 1")
        case "status" if not 200 <= value <= 599:
            raise ConfigurationError(f"status: {value} is no HTTP status from 200 to 599")
        case "seconds" if value < 0 and kind != "skew":
            raise ConfigurationError(f"seconds: {value} is negative")
        case "message" | "content_type" if not isinstance(value, str):
            raise ConfigurationError(f"{name}: {value!r} is no text")
        case "after_work" if not isinstance(value, bool):
            raise ConfigurationError(f"after_work: {value!r} is neither true nor false")
        case "headers" if not _are_headers(value):
            raise ConfigurationError("headers: give names and values, all of them printable ASCII")
        case _:
            return

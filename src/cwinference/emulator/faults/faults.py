"""Which faults an emulator injects, and into which calls: configured in Python, in TOML or on the command line.

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
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import count
from typing import Any, TypeGuard, cast

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from ..._text import one_line
from ..._wire import error_details
from ...errors import ConfigurationError
from ..protocols.codecs import pack
from .options import DEFAULTS, FaultKind, check_fault

_SELECTION = ("method", "path", "deployment", "nth", "probability", "seed", "times")
"""The arguments of every kind: they select the calls that a fault happens to."""


@dataclass(eq=False)
class Fault:
    """A fault that an emulator injects. `Faults.add` creates it, `Faults.remove` ends it.

    Attributes:
        kind: what goes wrong, such as "error"; `help(Faults)` lists all kinds.
        method: name of the method whose calls it happens to. None: any.
        path: pattern of the paths whose calls it happens to, with `*` for any text. None: any.
        deployment: name or id of the deployment whose completions it happens to. None: it happens to whole calls.
        nth: which of those calls it happens to, counted from 1. None: all of them.
        probability: how likely it happens to each of them, from 0 to 1.
        seed: start value of the random numbers that are compared with `probability`.
        times: how many calls it happens to at most. None: no limit.
        options: all options of its kind, including those with their default values.
        happened: how many calls it has happened to so far. A call does not count if another fault prevented this one,
            or if there was nothing in its response that the fault could have changed.
        id: a number of its own in its emulator, by which the admin routes name it.

    Raises:
        ConfigurationError: there is no such kind, option or method, or a value is out of range.
    """

    kind: FaultKind
    method: str | None = None
    path: str | None = None
    deployment: str | None = None
    nth: int | Collection[int] | None = None
    probability: float = 1.0
    seed: int = 0
    times: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    happened: int = 0
    id: int = 0

    def __post_init__(self) -> None:
        check_fault(self.kind, {name: getattr(self, name) for name in _SELECTION}, self.options)
        self.options = {**DEFAULTS[self.kind], **self.options}
        self._matching_calls = 0
        self._triggered_calls = 0
        self.draw_as(0)

    def draw_as(self, number: int) -> None:
        """Draw from a random source of its own, which depends on the seed and on this number."""
        self._random = random.Random(f"{self.seed} {number}")  # noqa: S311

    def once(self) -> Callable[[], None]:
        """Return a function that counts one call in `happened`, however often it is called."""
        counted = False

        def count() -> None:
            nonlocal counted
            self.happened += not counted
            counted = True

        return count

    def triggered_by(self, method: str | None, path: str, deployment: Collection[str] = ()) -> bool:
        """Count a call if `method`, `path` and `deployment` match, and return whether the fault shall happen to it."""
        if self.method not in (None, method) or not fnmatchcase(path, self.path or "*"):
            return False
        if self.deployment not in deployment if deployment else self.deployment is not None:
            return False
        self._matching_calls += 1
        if self.times is not None and self._triggered_calls >= self.times:
            return False
        triggered = self._is_selected() and self._random.random() < self.probability
        self._triggered_calls += triggered
        return triggered

    def _is_selected(self) -> bool:
        if self.nth is None:
            return True
        return self._matching_calls == self.nth if isinstance(self.nth, int) else self._matching_calls in self.nth


class Faults:
    """The faults that an emulator injects. They may be added and removed while it runs, from any thread.

        fault = emulator.faults.add("error", method="CreateGateway", nth=1, code="unavailable")

    The arguments of `add` select the calls that a fault happens to. Several faults can happen to one call; the one
    added first is the outermost, and those of a deployment are inside of all others. They work over gRPC, gRPC-Web,
    Connect and REST, and below the gateways' endpoints.

    With `deployment`, a fault happens to the completions that a gateway routes to one deployment, so that those of
    another one with the same model go well:

        emulator.faults.add("error", deployment="llama-v2", probability=0.3, code="internal")

    Its responses have the header `x-emulator-deployment` all the same, with the id of the deployment.

    The same names work in the emulator's TOML file, as keys of a table `[[faults]]`, and on its command line:
    `--fault "error method=CreateGateway nth=1 code=unavailable"`.

    The kinds of faults and their options, with the defaults in parentheses:

    "error": the call fails with a status code, in the form of its protocol; below a gateway's endpoint in OpenAI's.
        code: the status code in lower case, as in Connect ("unavailable").
        message: the error's message ("injected fault").
        details: a list of error details, messages of `google.rpc`; in TOML and on the command line tables in protobuf's
            JSON form, with `@type`. Not sent below a gateway's endpoint (none).
        headers: a mapping of headers that the response has in addition; over gRPC they are trailers (none).
        after_work: True: the method is run first, and the error replaces its response. False: it is not run (False).

    "page": the response is an HTML page, as from a proxy; the method is not run.
        status: the HTTP status, from 200 to 599 (502).

    "delay": the call is handled later.
        seconds: how much later, at least 0 (1.0).

    "latency": the call's connection has a longer round trip from then on, like one to a distant server. All bytes on
        it, also of other calls, arrive later by half of that, in either direction, in order; the rate is not limited.
        It ends with the connection, not with the fault. Several selected calls on a connection do not add up.
        seconds: how much longer, at least 0 (0.1).

    "drip": the response's body is sent in small pieces.
        size: bytes of each piece, at least 1 (1).
        seconds: pause after each piece, at least 0 (0.1).

    "cut": the connection is reset. Other calls on it fail as well.
        when: "before": the method is not run. "during": the method is run after the reset. "after": the method is run,
            and the reset comes in place of the response. "response": half of the response is sent ("response").
        seconds: how long after the reset the method is run, at least 0; for "during" only (0.05).

    "refuse": the call is refused as not processed. Over HTTP/2 its stream is reset with REFUSED_STREAM, and the
        connection stays; over HTTP/1.1, which has no equivalent, the connection is closed. No options.

    "goaway": the call is handled, and its connection accepts no more calls. Over HTTP/2 GOAWAY says so, and streams
        that are opened after it are refused; over HTTP/1.1 the response has `connection: close`. No options.

    "garbage": the message in the response is replaced by random bytes that cannot be decoded.
        size: how many bytes, at least 1 (64).

    "oversized": the response's message is replaced by one that is too large.
        size: how many bytes, at least 1 (67108865: one more than clients accept by default).

    "content_type": the response has a wrong content type.
        content_type: the one that it has ("text/html").

    "half_open": the connection stays open, but the server neither reads from it nor sends on it any more. All calls
        on it get no response. No options.

    "skew": the server's clock seems to be wrong: all times in the response and its Date header are shifted.
        seconds: by how much, from -1000000000 to 1000000000; negative: into the past (300.0).

    "duplicate": the method is run twice, as if the network had delivered the request twice. The client gets the
        response to the second one. No options.
    """

    def __init__(self) -> None:
        self._faults: tuple[Fault, ...] = ()
        self._added = 0
        """How many faults were added since the last `clear`."""
        self._ids = count(1)
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Faults({', '.join(each.kind for each in self._faults)})"

    def add(
        self,
        kind: FaultKind,
        *,
        method: str | None = None,
        path: str | None = None,
        deployment: str | None = None,
        nth: int | Collection[int] | None = None,
        probability: float = 1.0,
        seed: int = 0,
        times: int | None = None,
        **options: Any,
    ) -> Fault:
        """Inject a fault from now on, into the calls that all of the following arguments select.

        Args:
            kind: what goes wrong, such as "error"; `help(Faults)` lists all kinds and their options.
            method: the name of a method, such as "CreateGateway", by whatever protocol it is called. None: any method,
                and also requests that call none (None).
            path: pattern of the request's URL path, as in `fnmatch`; `*` matches any text, slashes included, as in
                "/gateway/*/completions". None: any path (None).
            deployment: the name or the id of a deployment: completions that a gateway routes to it, and nothing else.
                None: calls of any kind, before they are routed (None).
            nth: which of the calls that the arguments above select, counted from 1 and from now on: a number, or a
                collection of numbers. None: all of them (None).
            probability: how likely the fault happens to each of those, from 0 to 1 (1.0).
            seed: start value of the random numbers for `probability`, so that a run can be repeated. Each fault draws
                numbers of its own, also if several have the same seed; "garbage" makes its bytes from it too (0).
            times: how many calls the fault happens to at most, at least 1. None: no limit (None).
            **options: the options of this kind.

        Returns:
            The fault. `fault.happened` is the number of calls that it has happened to, and `faults.remove(fault)` ends
            it.

        Raises:
            ConfigurationError: there is no such kind, option or method, or a value is out of range.
        """
        fault = Fault(kind, method, path, deployment, nth, probability, seed, times, options)
        with self._lock:
            # With the same source all faults of one probability would happen to the same calls.
            fault.draw_as(self._added)
            fault.id = next(self._ids)
            self._added += 1
            self._faults = (*self._faults, fault)
        return fault

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._faults)

    def remove(self, fault: Fault) -> None:
        """End a fault; calls that it already affects are not restored. Does nothing if it has ended before."""
        with self._lock:
            self._faults = tuple(each for each in self._faults if each is not fault)

    def clear(self) -> None:
        """End all faults; calls that they already affect are not restored."""
        with self._lock:
            self._faults = ()
            self._added = 0

    def replace(self, tables: Sequence[Mapping[str, Any]], location: str) -> None:
        """End all faults and inject others, from tables as `add_table` takes them.

        Raises:
            ConfigurationError: as `add_table`; nothing was changed.
        """
        others = Faults()
        for index, table in enumerate(tables):
            others.add_table(table, f"{location}[{index}]")
        with self._lock:
            self._faults, self._added = others._faults, others._added
            for fault in self._faults:
                fault.id = next(self._ids)

    def triggered_by(self, method: str | None, path: str, deployment: Collection[str] = ()) -> Sequence[Fault]:
        """Count a call, and return the faults that shall happen to it, in the order in which they were added.

        Args:
            method: the name of the method that is called. None: the request calls none.
            path: the request's URL path.
            deployment: id and name of the deployment that the request was routed to. Empty: it was not routed yet.
        """
        with self._lock:
            return [fault for fault in self._faults if fault.triggered_by(method, path, deployment)]

    def add_table(self, table: Mapping[str, Any], location: str) -> Fault:
        """Add a fault from a table `[[faults]]` of a TOML file.

        Args:
            table: `kind`, and any arguments of `add`.
            location: where the table is, for error messages.

        Raises:
            ConfigurationError: as `add`; the text begins with `location`.
        """
        try:
            arguments = dict(table)
            if "details" in arguments:
                arguments["details"] = _parse_details(arguments["details"])
            return self.add(arguments.pop("kind", ""), **arguments)
        except (ConfigurationError, TypeError) as error:
            raise ConfigurationError(f"{location}: {error}") from None

    def add_text(self, text: str) -> Fault:
        """Add a fault from the value of the command-line option `--fault`.

        Args:
            text: "KIND NAME=VALUE NAME=VALUE ...", quoted as in a shell, with any arguments of `add`. A value that is
                valid JSON is read as such, any other as a string.

        Raises:
            ConfigurationError: the text does not have this form, or as `add`.
        """
        location = f"--fault {text!r}"
        try:
            table = _parse_words(shlex.split(text))
        except ValueError as error:
            raise ConfigurationError(f"{location}: {error}") from None
        return self.add_table(table, location)


def table_of(fault: Fault) -> dict[str, Any]:
    """Return the table from which `add_table` makes the same fault, without the arguments that select nothing."""
    table: dict[str, Any] = {"kind": fault.kind, **{name: getattr(fault, name) for name in _SELECTION}, **fault.options}
    if isinstance(fault.nth, Collection):
        table["nth"] = sorted(fault.nth)
    if "details" in table:
        table["details"] = [MessageToDict(each) for each in pack(table["details"])]
    if "headers" in table:
        table["headers"] = dict(table["headers"])
    return {name: value for name, value in table.items() if value is not None}


def _parse_words(words: Sequence[str]) -> Mapping[str, Any]:
    kind, *pairs = words or [""]
    table: dict[str, Any] = {"kind": kind}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"{name}: expected NAME=VALUE")
        if name in table:
            raise ValueError(f"{name}: given more than once")
        table[name] = _parse_value(value)
    return table


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _parse_details(value: object) -> object:
    """Return messages from their JSON form with `@type`; leave a value of any other form to the checks in `add`."""
    if not _are_tables(value):
        return value
    try:
        return error_details.from_any(ParseDict(each, AnyMessage()) for each in value)
    except ParseError as error:
        raise ConfigurationError(f"details: {one_line(str(error))}") from None


def _are_tables(value: object) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(value, list) and all(each and isinstance(each, dict) for each in cast(list[object], value))

"""How faults are configured, alike in Python, in a file and on the command line, and which calls they happen to."""

import http.client
import json
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc.error_details_pb2 import ErrorInfo

from cwinference.emulator import Emulator
from cwinference.emulator.faults.faults import Fault, Faults
from cwinference.emulator.faults.options import DEFAULTS
from cwinference.errors import ConfigurationError

GATEWAYS = "/v1alpha1/inference/gateways"
GATEWAY = {"id": "00000000-0000-0000-0000-000000000001", "name": "front", "coreWeaveAuth": {}, "pathBasedRouting": {}}


@dataclass
class Outcome:
    """The result of a call, and how many seconds it took."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    problem: Exception | None = None
    seconds: float = 0.0


def create(emulator: Emulator, timeout: float) -> Outcome:
    """Create a gateway over REST."""
    connection = http.client.HTTPConnection(str(urlsplit(emulator.endpoint).netloc), timeout=timeout)
    began = time.perf_counter()
    try:
        connection.request("POST", GATEWAYS, json.dumps(GATEWAY), {"authorization": f"Bearer {emulator.token}"})
        response = connection.getresponse()
        outcome = Outcome(
            response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        )
    except (OSError, http.client.HTTPException) as error:
        outcome = Outcome(problem=error)
    finally:
        connection.close()
    outcome.seconds = time.perf_counter() - began
    return outcome


def hours_off(date: str) -> int:
    return round((parsedate_to_datetime(date).timestamp() - time.time()) / 3600)


DETAIL = ErrorInfo(reason="TRIED", domain="tests")
CASES: list[tuple[str, dict[str, Any], Callable[[Outcome], bool]]] = [
    (
        "error",
        {"code": "aborted", "message": "not now"},
        lambda got: got.status == 409 and b"not now" in got.body,
    ),
    ("error", {"details": [DETAIL]}, lambda got: json.loads(got.body)["details"][0]["reason"] == "TRIED"),
    ("error", {"headers": {"retry-after": "7"}}, lambda got: got.headers["retry-after"] == "7"),
    ("page", {"status": 504}, lambda got: got.status == 504 and got.headers["content-type"] == "text/html"),
    ("delay", {"seconds": 0.05}, lambda got: got.status == 200 and got.seconds >= 0.05),
    ("latency", {"seconds": 0.05}, lambda got: got.status == 200 and got.seconds >= 0.05),
    ("drip", {"size": 200, "seconds": 0.01}, lambda got: got.status == 200 and got.seconds >= 0.01),
    ("cut", {"when": "before"}, lambda got: isinstance(got.problem, ConnectionResetError)),
    (
        "cut",
        {"when": "response"},
        lambda got: isinstance(got.problem, http.client.IncompleteRead | ConnectionResetError),
    ),
    # A reset if the rest of the request was still on its way when the connection was closed; http.client's own else.
    ("refuse", {}, lambda got: isinstance(got.problem, ConnectionResetError)),
    ("goaway", {}, lambda got: got.status == 200 and got.headers["connection"] == "close"),
    ("garbage", {"size": 20}, lambda got: len(got.body) == 20 and got.body.startswith(b"\xff" * 16)),
    ("oversized", {"size": 1000}, lambda got: got.body == b" " * 1000),
    ("content_type", {"content_type": "text/csv"}, lambda got: got.headers["content-type"] == "text/csv"),
    ("half_open", {}, lambda got: isinstance(got.problem, TimeoutError)),
    ("skew", {"seconds": -7200}, lambda got: hours_off(got.headers["date"]) == -2),
    ("duplicate", {}, lambda got: got.status == 409),
]
"""Each kind, with options, and a check of what its caller gets."""


def in_python(kind: Any, options: Mapping[str, Any], _: Path) -> Emulator:
    emulator = Emulator()
    emulator.faults.add(kind, method="CreateGateway", nth=1, **options)
    return emulator


def on_command_line(kind: str, options: Mapping[str, Any], _: Path) -> Emulator:
    emulator = Emulator()
    pairs = [f"{name}={json.dumps(plain(value))}" for name, value in options.items()]
    emulator.faults.add_text(shlex.join([kind, "method=CreateGateway", "nth=1", *pairs]))
    return emulator


def in_file(kind: str, options: Mapping[str, Any], directory: Path) -> Emulator:
    table = {"kind": kind, "method": "CreateGateway", "nth": 1, **options}
    file = directory / "emulator.toml"
    file.write_text("[[faults]]\n" + "".join(f"{name} = {toml(plain(value))}\n" for name, value in table.items()))
    return Emulator(config=file)


def plain(value: Any) -> Any:
    """Return an option's value in its JSON form."""
    if not isinstance(value, list):
        return value
    return [{"@type": f"type.googleapis.com/{each.DESCRIPTOR.full_name}", **MessageToDict(each)} for each in value]


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {toml(each)}" for name, each in value.items()) + "}"
    return f"[{', '.join(map(toml, value))}]" if isinstance(value, list) else json.dumps(value)


@pytest.mark.parametrize("emulator_with", [in_python, on_command_line, in_file])
@pytest.mark.parametrize(("kind", "options", "holds"), CASES, ids=[f"{kind}-{'-'.join(o)}" for kind, o, _ in CASES])
def test_every_kind_of_fault_happens_however_it_is_configured(
    tmp_path: Path, emulator_with: Any, kind: str, options: dict[str, Any], holds: Callable[[Outcome], bool]
) -> None:
    with emulator_with(kind, options, tmp_path) as emulator:
        outcome = create(emulator, 0.2 if kind == "half_open" else 10)
        assert holds(outcome), outcome


def test_every_kind_is_among_the_cases() -> None:
    assert {kind for kind, _, _ in CASES} == set(DEFAULTS)


def triggering_calls(fault: Fault, calls: int) -> list[int]:
    return [call for call in range(1, calls + 1) if fault.triggered_by("GetGateway", "/x")]


def test_the_nth_call() -> None:
    assert triggering_calls(Faults().add("error", nth=3), 10) == [3]
    assert triggering_calls(Faults().add("error", nth=[2, 5]), 10) == [2, 5]
    assert triggering_calls(Faults().add("error", times=2), 10) == [1, 2]


def test_a_probability_depends_on_its_seed() -> None:
    first, second, other = (
        triggering_calls(Faults().add("error", probability=0.3, seed=seed), 1000) for seed in (1, 1, 2)
    )
    assert first == second != other
    assert 250 < len(first) < 350


def test_only_calls_of_the_method_or_path_count() -> None:
    fault = Faults().add("error", method="GetGateway", path="/v1alpha1/*", nth=2)
    triggered = [
        fault.triggered_by(*call)
        for call in [("GetGateway", "/v1alpha1/a"), ("GetGateway", "/b"), (None, "/v1alpha1/c")]
    ]
    assert [*triggered, fault.triggered_by("GetGateway", "/v1alpha1/d")] == [False, False, False, True]


def test_toml_and_the_command_line_configure_the_same() -> None:
    table = {
        "kind": "error",
        "method": "CreateGateway",
        "nth": 1,
        "code": "aborted",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "TRIED"}],
    }
    from_table = Faults().add_table(table, "config")
    from_text = Faults().add_text(
        "error method=CreateGateway nth=1 code=aborted "
        """'details=[{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "TRIED"}]'"""
    )
    for fault in (from_table, from_text):
        assert (fault.kind, fault.method, fault.nth, fault.options["code"]) == ("error", "CreateGateway", 1, "aborted")
        assert list(fault.options["details"]) == [ErrorInfo(reason="TRIED")]


INVALID = [
    ("", "kind: expected one of error, page, delay"),
    ("explode", "kind: expected one of error, page, delay"),
    ("error method", "method: expected NAME=VALUE"),
    ("error kind=page", "kind: given more than once"),
    ("error nth=1 nth=2", "nth: given more than once"),
    ("error code=teapot", "code: expected one of canceled, unknown"),
    ("error code=[1]", "code: expected one of canceled, unknown"),
    ("delay size=3", "size: unknown option of 'delay'; known options are seconds, method, path, deployment, nth"),
    ("latency size=3", "size: unknown option of 'latency'; known options are seconds, method, path, deployment, nth"),
    ("latency seconds=-0.1", "seconds: expected a number of seconds, at least 0, got -0.1"),
    ("delay seconds=soon", "seconds: expected a number of seconds, at least 0, got 'soon'"),
    ("delay seconds=-1", "seconds: expected a number of seconds, at least 0, got -1"),
    ("delay seconds=NaN", "seconds: expected a number of seconds, at least 0, got nan"),
    ("skew seconds=1e12", "seconds: expected a number of seconds from -1000000000 to 1000000000"),
    ("drip size=0", "size: expected a whole number of bytes, at least 1, got 0"),
    ("page status=42", "status: expected an HTTP status from 200 to 599, got 42"),
    ("page status=500.5", "status: expected an HTTP status from 200 to 599, got 500.5"),
    ("error nth=soon", "nth: expected a whole number, at least 1, or several, got 'soon'"),
    ("error nth=0", "nth: expected a whole number, at least 1, or several, got 0"),
    ("error nth=[]", "nth: expected a whole number, at least 1, or several, got []"),
    ("error nth=[1,0]", "nth: expected a whole number, at least 1, or several, got [1, 0]"),
    ("error nth=true", "nth: expected a whole number, at least 1, or several, got True"),
    ("error times=1.5", "times: expected a whole number, at least 1, got 1.5"),
    ("error times=-1", "times: expected a whole number, at least 1, got -1"),
    ("error seed=[1,2]", "seed: expected a whole number, got [1, 2]"),
    ("error method=Explode", "method: expected the name of a method, such as 'CreateGateway', got 'Explode'"),
    ("error method=[]", "method: expected the name of a method, such as 'CreateGateway', got []"),
    ("error path=1", "path: expected a string, got 1"),
    ("error probability=7", "probability: expected a number from 0 to 1, got 7"),
    ("error probability=often", "probability: expected a number from 0 to 1, got 'often'"),
    ("error message=5", "message: expected a string, got 5"),
    ("error headers=slow", "headers: expected names and values of headers, in printable ASCII, got 'slow'"),
    ("""error 'headers={"a b": "c"}'""", "headers: expected names and values of headers, in printable ASCII"),
    ("error after_work=yes", "after_work: expected true or false, got 'yes'"),
    ("error details=3", "details: expected a list of google.rpc messages, got 3"),
    ("error details=[3]", "details: expected a list of google.rpc messages, got [3]"),
    ("""error 'details=[{"reason": "R"}]'""", "details: @type is missing"),
    ("""error 'details=[{"@type": "x/google.rpc.ErrorInfo", "reson": "R"}]'""", 'no field named "reson"'),
    ("cut when=never", "when: expected one of before, during, after, response, got 'never'"),
    ("content_type content_type=1", "content_type: expected printable ASCII, got 1"),
    ("error 'code=unavailable", "No closing quotation"),
]


@pytest.mark.parametrize(("text", "problem"), INVALID)
def test_invalid_text_is_rejected_by_name(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Faults().add_text(text)
    assert str(caught.value).startswith(f"--fault {text!r}: ")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_error_for_an_invalid_fault_in_a_file_says_where_it_is(tmp_path: Path) -> None:
    file = tmp_path / "emulator.toml"
    file.write_text('[[faults]]\nkind = "delay"\n[[faults]]\nkind = "delay"\nnever = 1\n')
    with pytest.raises(ConfigurationError, match=r"config: faults\[2\]: never: unknown option of 'delay'"):
        Emulator(config=file)


@pytest.mark.parametrize("given", [{"nth": 0}, {"times": 0}, {"probability": None}, {"details": 3}, {"details": [3]}])
def test_invalid_arguments_are_rejected_too(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(given))}: expected"):
        Faults().add("error", **given)

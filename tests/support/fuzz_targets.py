"""Targets for fuzzing: each parses any bytes, and fails on an exception that is not our own, or if it takes too long.

hypothesis runs them in `make test`, and atheris for longer in `make fuzz`.
"""

import json
import pickle
import re
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from cwinference import errors, types
from cwinference._wire import error_details as _details
from cwinference._wire import json_reader as _json
from cwinference._wire.methods import METHODS
from cwinference.inference._sse import EventParser
from cwinference.status import describe
from cwinference.transports._content_coding import decompress
from cwinference.transports._http_rule import target
from cwinference.transports.http_errors import error_of, seconds_of

SLOW = 0.5
"""The CPU time in seconds that an input must stay below."""
_ATTEMPTS = 5
_LIMIT = 1_000_000
_METHODS = list(METHODS.values())
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

Target = Callable[[bytes], None]


def http_error(data: bytes) -> None:
    """Parse a response that is not a success: a status, a few headers and a body."""
    head, _, body = data.partition(b"\n")
    fields = head.decode("latin-1").split("|")
    names = ("content-type", "grpc-status", "grpc-message", "retry-after", "date")
    headers: Any = dict(zip(names, fields, strict=False))
    error = error_of(data[0] * 3 if data else 0, headers, body, "GetGateway")
    assert error.retry_after is None or error.retry_after >= 0
    _assert_presentable(error)


def details(data: bytes) -> None:
    """Parse error details in the forms of gRPC and Connect."""
    found = _details.from_status(data)
    found += _details.from_json([{"type": "google.rpc.BadRequest", "value": b64encode(data).decode()}])
    _details.retry_delay(found)
    _details.has_precondition_failure(found)


def details_of_json(data: bytes) -> None:
    """Parse error details in the form of REST."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": data.decode("latin-1")}]
    found = _details.from_json(value)
    _details.retry_delay(found)
    _details.has_precondition_failure(found)


def retry_after(data: bytes) -> None:
    """Parse the header Retry-After, together with a Date."""
    text, _, date = data.decode("latin-1").partition("|")
    seconds = seconds_of(text, date)
    assert seconds is None or seconds >= 0


def json_reply(data: bytes) -> None:
    """Parse a JSON body, as the response of any method."""
    kind = _METHODS[data[0] % len(_METHODS)].response if data else types.GetGatewayResponse
    lost: list[str] = []
    response = _json.parse(data[1:], kind, lost)
    assert kind.FromString(response.SerializeToString()) == response
    if isinstance(response, types.GetDeploymentResponse):
        assert not _UNPRINTABLE.search(describe(response.deployment))


def path(data: bytes) -> None:
    """Put an id into a REST path: it stays one segment, and is decoded to what it was."""
    chosen = data.decode("utf-8", "replace")
    built, _ = target(METHODS[types.GetGatewayRequest], types.GetGatewayRequest(id=chosen))
    parts = urlsplit(built)
    assert built.isascii()
    assert not _UNPRINTABLE.search(built)
    assert (parts.query, parts.fragment) == ("", "")
    *fixed, last = parts.path.split("/")
    assert fixed == ["", "v1alpha1", "inference", "gateways"]
    assert unquote(last) == chosen


def events(data: bytes) -> None:
    """Parse server-sent events, in two pieces and in one."""
    at = data[0] % len(data) if data else 0
    whole, pieces = EventParser(_LIMIT), EventParser(_LIMIT)
    assert whole.feed(data) == pieces.feed(data[:at]) + pieces.feed(data[at:])
    assert whole.end() == pieces.end()


def gzip(data: bytes) -> None:
    """Decompress a body."""
    assert len(decompress(data, "gzip", 1000)) <= 1000


TARGETS: Mapping[str, Target] = {
    each.__name__: each for each in (http_error, details, details_of_json, retry_after, json_reply, path, events, gzip)
}


def feed(name: str, data: bytes) -> None:
    """Try one input. Raises what a target must not raise, or AssertionError."""
    # The fastest of several: a collection of all garbage can happen in any of them, and a busy machine is slow.
    assert any(_seconds(name, data) < SLOW for _ in range(_ATTEMPTS)), f"{name} took too long"


def _seconds(name: str, data: bytes) -> float:
    began = time.thread_time()
    try:
        TARGETS[name](data)
    except errors.InferenceError as error:
        _assert_presentable(error)
    return time.thread_time() - began


def _assert_presentable(error: errors.InferenceError) -> None:
    """Assert that its texts contain no control characters, and that it can be pickled."""
    for text in (str(error), repr(error)):
        assert not _UNPRINTABLE.search(text), text
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301

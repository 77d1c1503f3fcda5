"""Errors: a class for each code, texts for people, attributes for programs; they can be pickled and copied."""

import copy
import json
import pickle
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2

from cwinference import errors, types
from cwinference._retry_rules import Hint
from cwinference._text import printable
from cwinference.transports.http_errors import error_of

CODES = {
    "canceled": (1, errors.Cancelled),
    "unknown": (2, errors.Unknown),
    "invalid_argument": (3, errors.InvalidArgument),
    "deadline_exceeded": (4, errors.DeadlineExceeded),
    "not_found": (5, errors.NotFound),
    "already_exists": (6, errors.AlreadyExists),
    "permission_denied": (7, errors.PermissionDenied),
    "resource_exhausted": (8, errors.ResourceExhausted),
    "failed_precondition": (9, errors.FailedPrecondition),
    "aborted": (10, errors.Aborted),
    "out_of_range": (11, errors.OutOfRange),
    "unimplemented": (12, errors.Unimplemented),
    "internal": (13, errors.Internal),
    "unavailable": (14, errors.Unavailable),
    "data_loss": (15, errors.DataLoss),
    "unauthenticated": (16, errors.Unauthenticated),
}
DETAILS = (error_details_pb2.ErrorInfo(reason="QUOTA"), AnyMessage(type_url="x/y", value=b"z"))
GATEWAY = types.Gateway(spec=types.GatewaySpec(id="some-id"))

EXAMPLES: list[errors.InferenceError] = [
    *(
        errors.with_hint(
            kind("what", details=DETAILS, http_status=418, attempts=3, method="GetGateway", retry_after=1.5),
            Hint.REFUSED,
        )
        for kind in errors.CODES.values()
    ),
    errors.InferenceError("what"),
    errors.ConfigurationError("argument: what"),
    errors.ProtocolError("garbage", method="GetGateway", http_status=200, attempts=2),
    errors.ResourceFailed("failed", GATEWAY),
    errors.WaitTimeout("late", GATEWAY),
    errors.WaitTimeout("late", None),
    errors.PlanOutdated("changed since", ["gateway front: it was deleted"]),
    errors.Conflict("changed by somebody else", GATEWAY),
    errors.Conflict("gone"),
    errors.StreamStalled("stalled", "text so far"),
    errors.StreamInterrupted("interrupted", "text so far"),
]  # fmt: skip
IDS = [type(each).__name__ for each in EXAMPLES]


@pytest.mark.parametrize("code", CODES)
def test_each_code_has_a_class_by_name_and_by_number(code: str) -> None:
    number, kind = CODES[code]
    assert errors.CODES[code] is errors.BY_NUMBER[number] is kind
    assert kind.code == code
    assert len(errors.CODES) == len(errors.BY_NUMBER) == 16


@pytest.mark.parametrize("error", EXAMPLES, ids=IDS)
def test_all_errors_have_one_root(error: Exception) -> None:
    assert isinstance(error, errors.InferenceError)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.ConfigurationError, ValueError),
        (errors.DeadlineExceeded, TimeoutError),
        (errors.WaitTimeout, TimeoutError),
        (errors.StreamStalled, TimeoutError),
    ],
)
def test_some_errors_are_also_subclasses_of_builtin_ones(kind: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(kind, builtin)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("error", EXAMPLES, ids=IDS)
def test_every_error_can_be_pickled(error: errors.InferenceError, protocol: int) -> None:
    assert_same(pickle.loads(pickle.dumps(error, protocol)), error)  # noqa: S301 - our own bytes


@pytest.mark.parametrize("error", EXAMPLES, ids=IDS)
def test_every_error_can_be_copied(error: errors.InferenceError) -> None:
    assert_same(copy.copy(error), error)
    assert_same(copy.deepcopy(error), error)


def assert_same(found: Any, error: Exception) -> None:
    assert type(found) is type(error)
    if isinstance(found, errors.ApiError):
        assert (errors.hint_of(found), found.retryable, found.may_have_succeeded) == (Hint.REFUSED, True, False)
    assert (str(found), repr(found), vars(found)) == (str(error), repr(error), vars(error))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.NotFound("no such gateway", method="GetGateway"), "GetGateway: no such gateway [not_found]"),
        (errors.Unavailable("down", attempts=5), "down [unavailable] (after 5 attempts)"),
        (errors.Internal(), "no message [internal]"),
        (errors.ProtocolError("garbage", method="GetGateway"), "GetGateway: garbage"),
        (errors.ProtocolError("garbage"), "garbage"),
    ],
)
def test_the_text_contains_method_code_and_attempts(error: Exception, text: str) -> None:
    assert str(error) == text
    assert repr(error) == f"{type(error).__name__}({text!r})"


def test_attributes_that_were_not_given_have_defaults() -> None:
    error = errors.Unknown("what")
    assert (error.details, error.http_status, error.attempts, error.method) == ((), None, 1, "")
    assert (error.retry_after, error.retryable, error.may_have_succeeded) == (None, False, True)


@pytest.mark.parametrize(
    "error",
    [
        errors.Unknown("\x1b[2J"),
        errors.ProtocolError("\x1b[2J"),
        errors.ResourceFailed("\x1b[2J", GATEWAY),
        errors.WaitTimeout("\x1b[2J", None),
        errors.StreamInterrupted("\x1b[2J"),
    ],
)
def test_control_characters_are_escaped(error: Exception) -> None:
    assert "\\x1b[2J" in str(error)


def test_printable_text_is_unchanged() -> None:
    text = "Zone US-EAST-04A: ü 模型 \N{ROCKET}\n\tnext"
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("bad token CW-SECRET-abc.DEF_123 here", "bad token CW-SECRET-*** here"),
        ('{"token":"CW-SECRET-abc","x":1}', '{"token":"CW-SECRET-***","x":1}'),
        ("'CW-SECRET-a', 'CW-SECRET-b'", "'CW-SECRET-***', 'CW-SECRET-***'"),
    ],
)
def test_a_token_that_a_server_echoes_is_redacted(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert "CW-SECRET-a" not in repr(errors.Unauthenticated(text)) + str(errors.Unauthenticated(text))


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (400, "invalid_argument"),
        (401, "unauthenticated"),
        (403, "permission_denied"),
        (404, "not_found"),
        (409, "already_exists"),
        (412, "failed_precondition"),
        (416, "out_of_range"),
        (429, "resource_exhausted"),
        (499, "canceled"),
        (500, "internal"),
        (501, "unimplemented"),
        (502, "unavailable"),
        (503, "unavailable"),
        (504, "deadline_exceeded"),
        (418, "unknown"),
    ],
)
def test_an_http_status_in_an_error_body_of_the_api_determines_the_code(number: int, code: str) -> None:
    body = json.dumps({"code": number, "message": "no"}).encode()
    headers: Any = {}
    assert error_of(418, headers, body, "GetGateway").code == code

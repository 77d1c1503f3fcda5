"""The rules for retries: whether a failure is retryable, may have had an effect, and may be followed by a retry."""

import contextlib
import time
from collections.abc import Callable
from itertools import product
from typing import Any, cast

import pytest

from cwinference import Retry, errors, types
from cwinference._arguments import UNSET
from cwinference._calls.attempts import attempts
from cwinference._calls.flow import Call
from cwinference._calls.rpc import whole
from cwinference._retry_rules import Hint, hint_of_completion
from cwinference.inference._health import Health
from cwinference.inference._limiter import Limiter
from cwinference.inference._model_server import ModelServer, unchanged
from cwinference.inference._request import CHAT, CompletionCall, CompletionRequest
from cwinference.inference._routing import route_to
from cwinference.inference._stats import Counters
from cwinference.retry import Budget
from cwinference.transports.completion_errors import failed_completion
from tests.support.flow_runner import FlowRunner, context

TRANSIENT = {"unavailable", "deadline_exceeded"}
AMBIGUOUS = {"canceled", "unknown", "deadline_exceeded", "internal", "unavailable", "data_loss"}
DELAYED = {"resource_exhausted"}
ALL, NONE = set(errors.CODES), set[str]()

RULES = {
    Hint.NONE: (TRANSIENT, AMBIGUOUS, NONE),
    Hint.NOT_SENT: (ALL, NONE, ALL),
    Hint.NO_SUCH_NAME: (ALL, NONE, ALL),
    Hint.REFUSED: (ALL, NONE, ALL),
    Hint.LOST: (TRANSIENT, AMBIGUOUS, NONE),
    Hint.GOING_AWAY: (TRANSIENT, AMBIGUOUS, NONE),
    Hint.UNTRUSTED: (NONE, NONE, NONE),
    Hint.UNPROXIED: (NONE, NONE, NONE),
    Hint.NO_RETRY: (NONE, AMBIGUOUS, NONE),
    Hint.RETRY: (ALL, AMBIGUOUS, NONE),
}
"""For each hint the codes that are retryable, that may have succeeded, and after which even an update is retried."""

CASES = list(product(errors.CODES, Hint))


def error_of(code: str, hint: Hint, retry_after: float | None = None) -> errors.ApiError:
    return errors.with_hint(errors.CODES[code]("no", retry_after=retry_after), hint)


def rpc(*, idempotent: bool) -> Call[Any]:
    return whole(types.GetGatewayRequest(id="x"), types.GetGatewayResponse, UNSET, UNSET, idempotent=idempotent)


def completion() -> CompletionCall[Any]:
    request = CompletionRequest(CHAT, {"model": "m", "messages": []}, model="m")
    route = route_to("https://models.example", None)
    server = ModelServer(cast(Any, None), Limiter(1), Counters(), Health(time.monotonic), route)
    return CompletionCall(request, server, unchanged)


def is_retried(call: Call[Any], error: errors.ApiError, **settings: Any) -> bool:
    """Return whether a call is sent again after this error."""
    runner = FlowRunner([error, types.GetGatewayResponse()])
    with contextlib.suppress(type(error)):
        runner.run(attempts(call, context(runner, **settings)))
    return len(runner.sent) == 2


def test_the_rules_cover_every_hint() -> None:
    assert RULES.keys() == set(Hint)


@pytest.mark.parametrize(("code", "hint"), CASES)
def test_an_error_is_retryable_by_its_hint_and_code(code: str, hint: Hint) -> None:
    retryable, _, _ = RULES[hint]
    assert error_of(code, hint).retryable is (code in retryable)


@pytest.mark.parametrize(("code", "hint"), CASES)
def test_an_error_may_have_succeeded_by_its_hint_and_code(code: str, hint: Hint) -> None:
    _, ambiguous, _ = RULES[hint]
    assert error_of(code, hint).may_have_succeeded is (code in ambiguous)


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize(("code", "hint"), CASES)
def test_a_call_may_be_retried_if_that_can_help_and_does_no_harm(code: str, hint: Hint, idempotent: bool) -> None:
    retryable, _, harmless = RULES[hint]
    allowed = retryable if idempotent else harmless
    call, error = rpc(idempotent=idempotent), error_of(code, hint)
    assert call.may_retry(error) is (code in allowed)
    assert is_retried(call, error) is (code in allowed)


@pytest.mark.parametrize(("code", "hint"), CASES)
def test_a_completion_may_be_retried_whenever_that_can_help(code: str, hint: Hint) -> None:
    retryable, _, _ = RULES[hint]
    assert completion().may_retry(error_of(code, hint)) is (code in retryable)


@pytest.mark.parametrize(("code", "hint"), CASES)
def test_a_delay_that_the_server_requests_makes_an_exhausted_resource_retryable(code: str, hint: Hint) -> None:
    retryable, ambiguous, harmless = RULES[hint]
    delayed = retryable | (NONE if hint in (Hint.UNTRUSTED, Hint.UNPROXIED, Hint.NO_RETRY) else DELAYED)
    error = error_of(code, hint, retry_after=0.5)
    assert (error.retryable, error.may_have_succeeded) == (code in delayed, code in ambiguous)
    assert rpc(idempotent=True).may_retry(error) is (code in delayed)
    assert rpc(idempotent=False).may_retry(error) is (code in harmless)


@pytest.mark.parametrize(("code", "hint"), CASES)
def test_a_negative_delay_forbids_every_retry(code: str, hint: Hint) -> None:
    error = error_of(code, hint, retry_after=-0.001)
    assert not error.retryable
    assert not is_retried(rpc(idempotent=True), error)
    assert error.may_have_succeeded is (code in RULES[hint][1])


@pytest.mark.parametrize("hint", Hint)
def test_only_a_retry_that_adds_no_load_needs_no_budget(hint: Hint) -> None:
    retryable, _, _ = RULES[hint]
    free = hint in (Hint.NOT_SENT, Hint.NO_SUCH_NAME, Hint.REFUSED, Hint.GOING_AWAY)
    assert is_retried(rpc(idempotent=True), error_of("unavailable", hint), budget=Budget(capacity=0)) is free
    assert is_retried(rpc(idempotent=True), error_of("unavailable", hint)) is ("unavailable" in retryable)


@pytest.mark.parametrize(("code", "hint"), CASES)
def test_nothing_is_retried_without_retry_settings(code: str, hint: Hint) -> None:
    error = error_of(code, hint)
    assert not is_retried(rpc(idempotent=True), error, retry=None)
    assert not is_retried(rpc(idempotent=True), error, retry=Retry(max_attempts=1))


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (error_of("unavailable", Hint.NONE), True),
        (error_of("deadline_exceeded", Hint.NONE), True),
        (error_of("unavailable", Hint.GOING_AWAY), True),
        (error_of("unavailable", Hint.REFUSED), False),
        (error_of("unavailable", Hint.NOT_SENT), False),
        (error_of("resource_exhausted", Hint.NONE, retry_after=0.1), False),
    ],
    ids=repr,
)
def test_the_last_error_says_whether_an_earlier_attempt_may_have_succeeded(
    first: errors.ApiError, expected: bool
) -> None:
    runner = FlowRunner([first, error_of("not_found", Hint.NONE)])
    with pytest.raises(errors.NotFound) as caught:
        runner.run(attempts(rpc(idempotent=True), context(runner)))
    assert (caught.value.attempts, caught.value.may_have_succeeded) == (2, expected)
    assert not caught.value.retryable


STATUSES = {
    400: (False, errors.InvalidArgument),
    401: (False, errors.Unauthenticated),
    403: (False, errors.PermissionDenied),
    404: (False, errors.NotFound),
    408: (True, errors.Unknown),
    409: (True, errors.AlreadyExists),
    413: (False, errors.Unknown),
    422: (False, errors.Unknown),
    425: (True, errors.Unknown),
    429: (True, errors.ResourceExhausted),
    499: (False, errors.Cancelled),
    500: (True, errors.Internal),
    501: (False, errors.Unimplemented),
    502: (True, errors.Unavailable),
    503: (True, errors.Unavailable),
    504: (True, errors.DeadlineExceeded),
    529: (True, errors.Unknown),
    599: (True, errors.Unknown),
}
"""For each status of a failed response to a completion whether it is retried, and the class of its error."""

Failed = Callable[..., errors.ApiError]


def own_error(status: int, **headers: str) -> errors.ApiError:
    """Return the error of a response with an error body of the model server."""
    return failed(status, b'{"error": {"message": "no"}}', "application/json", headers)


def page(status: int, **headers: str) -> errors.ApiError:
    """Return the error of a response that is a page of a proxy."""
    return failed(status, b"<html></html>", "text/html", headers)


def failed(status: int, body: bytes, content_type: str, headers: dict[str, str]) -> errors.ApiError:
    named: Any = {name.replace("_", "-"): value for name, value in headers.items()} | {"content-type": content_type}
    return failed_completion(status, named, body, "chat.completions")


@pytest.mark.parametrize("response", [own_error, page])
@pytest.mark.parametrize("status", STATUSES)
def test_a_completion_is_retried_by_its_status(status: int, response: Failed) -> None:
    retried, kind = STATUSES[status]
    error = response(status)
    assert hint_of_completion(status, "") is (Hint.RETRY if retried else Hint.NO_RETRY)
    assert (error.http_status, error.retryable) == (status, retried)
    assert is_retried(completion(), error) is retried
    assert type(error) is kind or response is page


@pytest.mark.parametrize("response", [own_error, page])
@pytest.mark.parametrize("status", STATUSES)
def test_x_should_retry_decides_whatever_the_status(status: int, response: Failed) -> None:
    for wish, retried in (("true", True), ("false", False), (" TRUE ", True), ("False", False)):
        error = response(status, x_should_retry=wish)
        assert error.retryable is retried
        assert is_retried(completion(), error) is retried


@pytest.mark.parametrize("status", STATUSES)
def test_any_other_value_of_x_should_retry_is_ignored(status: int) -> None:
    for wish in ("", "yes", "1", "maybe"):
        assert own_error(status, x_should_retry=wish).retryable is STATUSES[status][0]


@pytest.mark.parametrize("status", STATUSES)
def test_a_retry_after_does_not_make_a_status_retryable(status: int) -> None:
    error = own_error(status, retry_after="2")
    assert error.retry_after == 2
    assert error.retryable is STATUSES[status][0]


@pytest.mark.parametrize("status", STATUSES)
def test_a_failed_completion_may_have_succeeded_by_the_code_of_its_error(status: int) -> None:
    error = own_error(status)
    assert error.may_have_succeeded is (error.code in AMBIGUOUS)

"""What gRPC's own errors mean for a retry, depending on whether there is a connection when they are read."""

from typing import Any

import grpc
import pytest

from cwinference import errors, types
from cwinference._calls.attempts import attempts
from cwinference._calls.rpc import whole
from cwinference._retry_rules import Hint, is_safe_to_repeat
from cwinference._wire.methods import METHODS
from cwinference.retry import Budget
from cwinference.transports._grpc_errors import translate
from tests.support.flow_runner import FlowRunner, context

UNREACHED = "failed to connect to all addresses; last error: UNKNOWN: ipv4:10.0.0.1:443: Connection refused"
METHOD = METHODS[types.GetGatewayRequest]


class Failure:
    """An error of grpcio without metadata."""

    def __init__(self, details: str) -> None:
        self._details = details

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return self._details

    def initial_metadata(self) -> Any:
        return None

    def trailing_metadata(self) -> Any:
        return None


def translated(details: str, *, is_ready: bool) -> errors.ApiError:
    found = translate(Failure(details), METHOD, None, 0.1, lambda: is_ready)
    assert isinstance(found, errors.ApiError)
    return found


@pytest.mark.parametrize("details", [UNREACHED, "DNS resolution failed for h: timeout", "errors resolving h: timeout"])
def test_without_a_connection_the_request_was_not_sent(details: str) -> None:
    hint = errors.hint_of(translated(details, is_ready=False))
    assert hint is Hint.NOT_SENT
    assert is_safe_to_repeat(hint, idempotent=False)


def test_with_a_connection_the_same_words_are_no_proof() -> None:
    error = translated(UNREACHED, is_ready=True)
    assert error.may_have_succeeded
    assert not is_safe_to_repeat(errors.hint_of(error), idempotent=False)


def test_errors_of_an_outage_that_are_read_when_it_is_over_take_one_retry_together() -> None:
    """Otherwise 500 calls that fail together would use up the budget, although the server is back."""
    budget = Budget(capacity=2.0, refund=0.0)
    budget.succeed()
    for _ in range(10):
        call = whole(types.GetGatewayRequest(id="x"), types.GetGatewayResponse)
        runner = FlowRunner([1.0, translated(UNREACHED, is_ready=True), types.GetGatewayResponse()])
        runner.run(attempts(call, context(runner, budget=budget)))
    assert budget.take()


@pytest.mark.parametrize(
    ("details", "hint"),
    [
        ("Received RST_STREAM with error code 7", Hint.REFUSED),
        ("Received RST_STREAM with error code 71", Hint.NONE),
        ("GOAWAY received", Hint.GOING_AWAY),
        ("Stream removed (GOAWAY received; max_age)", Hint.GOING_AWAY),
        ("upstream says: GOAWAY received", Hint.NONE),
        ("Socket closed", Hint.LOST),
        ("Stream removed (Broken pipe)", Hint.LOST),
        ("errors resolving h: lookup h: no such host", Hint.NO_SUCH_NAME),
        (f"{UNREACHED}: HTTP proxy returned response code 407", Hint.UNPROXIED),
        (f"{UNREACHED}: HTTP proxy returned response code 502", Hint.NOT_SENT),
        ("Ssl handshake failed: CERTIFICATE_VERIFY_FAILED", Hint.UNTRUSTED),
    ],
)
def test_what_an_error_means_is_read_from_its_text(details: str, hint: Hint) -> None:
    assert errors.hint_of(translated(details, is_ready=False)) is hint

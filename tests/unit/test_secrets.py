"""Secrets: no operation on one shows it, and errors take no local variables of the library along."""

import copy
import json
import logging
import pickle
import pprint
from collections.abc import Callable
from types import FunctionType
from typing import Any, cast

import pytest

from cwinference._secrets import Secret, forget_locals, forgets_locals

VALUE = "canary-3f9c-of-a-secret"

OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "repr": repr,
    "str": str,
    "format": lambda secret: f"{secret} {secret!s} {secret!r} {secret:>60}",
    "str.format": "{0} {0!r:.30}".format,
    "percent": lambda secret: "%s %r" % (secret, secret),  # noqa: UP031
    "ascii": ascii,
    "a slice": lambda secret: secret[:80],
    "an index": lambda secret: secret[0],
    "addition": lambda secret: secret + "x",
    "addition from the left": lambda secret: "x" + secret,
    "repetition": lambda secret: secret * 2,
    "join": lambda secret: ", ".join([secret]),
    "join over its parts": lambda secret: "".join(secret),
    "iteration": list,
    "unpacking": lambda secret: [*secret],
    "length": len,
    "upper": lambda secret: secret.upper(),
    "strip": lambda secret: secret.strip(),
    "encode": lambda secret: secret.encode(),
    "a string's method": lambda secret: str.upper(secret),
    "bytes": bytes,
    "json": json.dumps,
    "json by repr": lambda secret: json.dumps(secret, default=repr),
    "pickle": pickle.dumps,
    "copy": copy.copy,
    "deepcopy": lambda secret: copy.deepcopy([secret]),
    "vars": vars,
    "pprint": pprint.pformat,
    "containers": lambda secret: repr([{secret: secret}, (secret,), {secret}]),
    "a log record": lambda secret: logging.makeLogRecord({"msg": "%s", "args": (secret,)}).getMessage(),
    "a comparison": lambda secret: secret < "x",
    "a match": lambda secret: "canary" in secret,
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("value", [VALUE, VALUE.encode(), (("authorization", VALUE),)], ids=["str", "bytes", "headers"])
def test_an_operation_on_a_secret_gives_a_secret_or_a_mask_or_is_refused(name: str, value: Any) -> None:
    try:
        outcome = OPERATIONS[name](Secret(value))
    except (TypeError, AttributeError) as error:
        outcome = error
    assert VALUE not in f"{outcome!r} {outcome}"
    assert not isinstance(outcome, bytes) or VALUE.encode() not in outcome


def test_only_reveal_gives_the_value_and_equal_secrets_are_equal() -> None:
    assert Secret(VALUE).reveal() == VALUE
    assert (Secret(VALUE), hash(Secret(VALUE))) == (Secret(VALUE), hash(Secret(VALUE)))
    assert Secret(VALUE) != Secret("another")
    assert Secret(VALUE) != VALUE
    assert f"{Secret(VALUE)}" == "***"


def frames_of(error: BaseException) -> dict[str, dict[str, Any]]:
    trace, found = error.__traceback__, dict[str, dict[str, Any]]()
    while trace is not None:
        found[trace.tb_frame.f_code.co_name] = trace.tb_frame.f_locals
        trace = trace.tb_next
    return found


def of_library(function: FunctionType) -> Callable[..., Any]:
    """Return the same function, as if it were defined in a module of the library."""
    return FunctionType(function.__code__, {**function.__globals__, "__name__": "cwinference.example"})


def callback() -> None:
    clue = "the vault is sealed"
    raise LookupError(clue)


def inner(secret: str, call: Callable[[], None]) -> None:
    try:
        call()
    except LookupError as error:
        raise KeyError(1) from error


def test_an_error_forgets_the_variables_of_the_library_and_of_its_causes_and_keeps_the_callers() -> None:
    with pytest.raises(KeyError) as caught:
        forgets_locals(of_library(cast(FunctionType, inner)))(VALUE, callback)
    assert frames_of(caught.value)["inner"] == {}
    cause = caught.value.__cause__
    assert cause is not None
    assert frames_of(cause)["inner"] == {}
    assert frames_of(cause)["callback"] == {"clue": "the vault is sealed"}


def test_an_error_that_is_its_own_cause_is_no_problem() -> None:
    first, second = KeyError(1), KeyError(2)
    first.__context__, second.__context__ = second, first
    forget_locals(first)

"""Settings that never change are compared by their values, and survive copies and pickles."""

import copy
import pickle
from dataclasses import replace
from typing import Any

import pytest

from cwinference import TLS, Clock, Retry

SETTINGS: list[tuple[Any, Any, Any]] = [
    (Retry(max_attempts=2), Retry(2), Retry(3)),
    (TLS(ca=b"a"), TLS(b"a"), TLS(ca="a.pem")),
]


@pytest.mark.parametrize(("one", "same", "other"), SETTINGS)
def test_they_are_compared_by_their_values(one: Any, same: Any, other: Any) -> None:
    assert one == same != other
    assert len({one, same, other}) == 2
    assert one != vars(one)
    assert len({each for each, *_ in SETTINGS}) == len(SETTINGS)


@pytest.mark.parametrize(("one", "same", "other"), SETTINGS)
def test_they_cannot_be_changed(one: Any, same: Any, other: Any) -> None:
    for name in vars(one):
        with pytest.raises(AttributeError, match="cannot assign to field"):
            setattr(one, name, None)
        with pytest.raises(AttributeError, match="cannot delete field"):
            delattr(one, name)
    assert one == same


@pytest.mark.parametrize(("one", "same", "other"), SETTINGS)
def test_copies_and_pickles_are_the_same(one: Any, same: Any, other: Any) -> None:
    assert copy.copy(one) == copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == same  # noqa: S301 - our own


def test_a_changed_copy_is_made_as_of_any_dataclass() -> None:
    assert replace(Retry(2), multiplier=3) == Retry(2, multiplier=3.0)
    assert replace(TLS(ca=b"a"), ca="a.pem") == TLS(ca="a.pem")
    assert replace(Clock(), sleep=print).sleep is print


def test_a_retry_shows_its_values() -> None:
    assert repr(Retry(2, attempt_timeout=3)) == (
        "Retry(max_attempts=2, initial_backoff=0.1, multiplier=2.0, max_backoff=2.0, max_server_delay=30.0, "
        "attempt_timeout=3.0)"
    )

"""States and the texts that describe them, including those for unknown numbers."""

from typing import Any, cast

import pytest

from cwinference import HotLoadState, State, describe, types
from cwinference.status import state_of, unmet

TRUE, FALSE = types.Condition.STATUS_TRUE, types.Condition.STATUS_FALSE


def gateway(status: Any, *conditions: types.Condition) -> types.Gateway:
    return types.Gateway(
        spec=types.GatewaySpec(id="some-id", name="front"),
        status=types.GatewayStatus(status=status, conditions=conditions),
    )


READY = types.Condition(type="Ready", status=FALSE, zone="US-EAST-04A", reason="NoPods", message="0 of 2 are up")
APPLIED = types.Condition(type="ResourcesApplied", status=TRUE)


@pytest.mark.parametrize("state", [state for state in State if state is not State.UNKNOWN])
@pytest.mark.parametrize("kind", [types.Gateway, types.Deployment, types.CapacityClaim])
def test_every_status_has_its_state(state: State, kind: Any) -> None:
    resource = kind(status={"status": f"STATUS_{state.name}"})
    assert State.of(resource) is state_of(resource) is state


@pytest.mark.parametrize("state", [state for state in HotLoadState if state is not HotLoadState.UNKNOWN])
def test_every_hot_load_state_has_its_state(state: HotLoadState) -> None:
    status: Any = {"state": f"HOT_LOAD_STATE_{state.name}"}
    hot_load = types.HotLoad(status=status)
    assert HotLoadState.of(hot_load) is state_of(hot_load) is state


@pytest.mark.parametrize("number", [0, 7, 60001, -1])
def test_a_number_that_this_release_does_not_know_is_unknown_and_not_terminal(number: Any) -> None:
    assert State.of(gateway(number)) is State.UNKNOWN
    assert HotLoadState.of(types.HotLoad(status=types.HotLoadStatus(state=number))) is HotLoadState.UNKNOWN
    assert not State.UNKNOWN.is_terminal
    assert not HotLoadState.UNKNOWN.is_terminal


def test_a_resource_without_a_status_is_unknown() -> None:
    assert State.of(types.Deployment()) is State.UNKNOWN


def test_these_states_are_terminal() -> None:
    assert [state.name for state in State if state.is_terminal] == ["DELETING", "FAILED"]
    assert [state.name for state in HotLoadState if state.is_terminal] == ["FAILED", "CANCELED"]


def test_a_description_has_a_line_for_the_state_and_one_for_each_condition() -> None:
    assert describe(gateway(types.Status.STATUS_CREATING, APPLIED, READY)) == (
        "Gateway front: CREATING\n"
        "  ResourcesApplied yes\n"
        "  Ready in US-EAST-04A no (NoPods): 0 of 2 are up"
    )  # fmt: skip


def test_a_description_shows_unknown_numbers() -> None:
    odd: Any = 9
    assert describe(gateway(odd, types.Condition(type="New", status=odd))) == (
        "Gateway front: UNKNOWN (9)\n"
        "  New unknown"
    )  # fmt: skip


def test_a_hot_load_is_described_by_its_identity() -> None:
    hot_load = types.HotLoad(
        spec=types.HotLoadSpec(identity="step-1"),
        status=types.HotLoadStatus(state=types.HotLoadState.HOT_LOAD_STATE_IN_PROGRESS),
    )
    assert describe(hot_load) == "HotLoad step-1: IN_PROGRESS"


def test_a_resource_without_a_name_is_described_by_its_id() -> None:
    assert describe(types.CapacityClaim(spec=types.CapacityClaimSpec(id="some-id"))) == "CapacityClaim some-id: UNKNOWN"


def test_texts_of_a_server_cannot_control_the_terminal_or_break_lines() -> None:
    hostile = "\x1b]0;title\x07\x9b31m\u202e\r\nforged: READY\u2028"
    resource = gateway(
        types.Status.STATUS_FAILED, types.Condition(type=hostile, reason=hostile, message=hostile, zone=hostile)
    )
    resource.spec.name = hostile
    text = describe(resource)
    assert not set("\x1b\x07\x9b\u202e\r\u2028") & set(text)
    assert len(text.split("\n")) == 2


def test_unmet_conditions_are_those_that_are_not_true() -> None:
    assert (
        unmet(gateway(types.Status.STATUS_FAILED, APPLIED, READY)) == "Ready in US-EAST-04A no (NoPods): 0 of 2 are up"
    )


def test_unmet_conditions_that_say_the_same_of_several_zones_are_one() -> None:
    there = types.Condition()
    there.CopyFrom(READY)
    there.zone = "US-WEST-04A"
    found = unmet(gateway(types.Status.STATUS_FAILED, READY, there))
    assert found == "Ready in US-EAST-04A, US-WEST-04A no (NoPods): 0 of 2 are up"


def test_all_conditions_are_listed_if_every_one_is_true() -> None:
    assert unmet(gateway(types.Status.STATUS_FAILED, APPLIED)) == "ResourcesApplied yes"


def test_a_lack_of_conditions_is_reported() -> None:
    assert unmet(gateway(types.Status.STATUS_FAILED)) == "no conditions were reported"


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: cast(Any, State).of(types.HotLoad()), "^State.of: .*got HotLoad; a hot-load has HotLoadState"),
        (lambda: cast(Any, State).of(None), "^State.of: expected a Gateway, .*got NoneType"),
        (lambda: cast(Any, HotLoadState).of(types.Gateway()), "^HotLoadState.of: expected a HotLoad, got Gateway"),
        (lambda: cast(Any, describe)("x"), "^describe: expected a Gateway, .*got str"),
    ],
)
def test_a_value_without_a_state_is_refused(call: Any, problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        call()

"""Random stacks on random live states: apply reaches the stack, and touches nothing else.

`CWINFERENCE_STACKS` is the number of examples of each test; `make soak` runs 2,000.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any, cast

import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings

from cwinference import Plan, Stack, errors, types
from tests.support.memory_client import WRITES, MemoryApi
from tests.support.random_stacks import Case, build, cases, is_reached, state_of

EXAMPLES = int(os.environ.get("CWINFERENCE_STACKS", "60"))
often = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def converge(api: MemoryApi, case: Case) -> None:
    """Plan and apply."""
    plan = api.client.plan(Stack.parse(case.stack), prune=case.prune)
    api.client.apply(Plan.from_json(plan.to_json()), wait=case.wait, allow_replace=True)


def outside(case: Case, state: dict[str, dict[str, Any]]) -> dict[tuple[str, str], Message]:
    """What exists and is none of the stack's business."""
    return {
        (section, name): each
        for section, found in state.items()
        for name, each in found.items()
        if name not in case.stack[section]
        and (section, name) not in case.leaving
        and not (case.prune and name.startswith(case.prune))
    }


def check(api: MemoryApi, case: Case, untouched: dict[tuple[str, str], Message]) -> None:
    """Check that the stack is reached, that there is nothing left to do, and that nothing else was touched."""
    stack = Stack.parse(case.stack)
    state = state_of(api)
    assert is_reached(case, state)
    again = api.client.plan(stack, prune=case.prune)
    assert not again, again
    assert outside(case, state) == untouched
    api.pass_time(3600)
    left = state_of(api)
    pruned = [
        name
        for section, found in left.items()
        for name in found
        if case.prune and name.startswith(case.prune) and name not in case.stack[section]
    ]
    assert pruned == []


def refused(api: MemoryApi, case: Case) -> bool:
    """Whether the plan is refused, which then changes nothing."""
    plan = api.client.plan(Stack.parse(case.stack), prune=case.prune)
    if not plan.refused:
        return False
    before = state_of(api)
    with pytest.raises(errors.ConfigurationError, match="is refused"):
        api.client.apply(plan, allow_replace=True)
    assert state_of(api) == before
    return True


@often
@given(case=cases())
def test_apply_reaches_the_stack_and_touches_nothing_else(case: Case) -> None:
    api = build(case)
    if refused(api, case):
        return
    untouched = outside(case, state_of(api))
    converge(api, case)
    check(api, case, untouched)


@often
@given(case=cases())
def test_any_failure_of_a_write_followed_by_a_rerun_reaches_the_stack_too(case: Case) -> None:
    api = build(case)
    if refused(api, case):
        return
    untouched = outside(case, state_of(api))
    writes = 0

    def fail(name: str, request: Message) -> None:
        nonlocal writes
        if name.startswith(WRITES):
            writes += 1
            if writes == case.fail_at + 1:
                raise errors.Unavailable("connection lost", method=name)

    if case.is_lost:
        api.after_call = fail
    else:
        api.before_call = fail
    plan = api.client.plan(Stack.parse(case.stack), prune=case.prune)
    error = failure_of(lambda: api.client.apply(plan, wait=case.wait, allow_replace=True))
    if error is not None:
        assert isinstance(error, errors.Unavailable)
        assert titles((*error.steps_done, *error.steps_left)) == titles(plan.steps)
        assert "To go on, plan again and apply." in error.__notes__[-1]
        converge(api, case)
    check(api, case, untouched)


def failure_of(call: Callable[[], object]) -> Any:
    """What a call raises, or None."""
    try:
        call()
    except BaseException as error:
        return error
    return None


def titles(steps: Iterable[Any]) -> list[str]:
    return [each.title for each in steps]


@often
@given(case=cases())
def test_an_interrupted_apply_says_what_was_done(case: Case) -> None:
    """A callback of the caller may fail at any step."""
    api = build(case)
    if refused(api, case):
        return
    plan = api.client.plan(Stack.parse(case.stack), prune=case.prune)
    seen = list[str]()

    def stop(step: Any) -> None:
        seen.append(step.title)
        if len(seen) == case.fail_at + 1:
            raise KeyboardInterrupt

    error = failure_of(lambda: api.client.apply(plan, wait=case.wait, on_step=stop, allow_replace=True))
    if error is None:
        assert seen == titles(plan.steps)
    else:
        assert isinstance(error, KeyboardInterrupt)
        assert titles(cast(Any, error).steps_done) == seen == titles(plan.steps)[: len(seen)]


@often
@given(case=cases())
def test_an_exported_stack_is_what_exists(case: Case) -> None:
    api = build(case)
    stack = api.client.export()
    assert not api.client.plan(stack)
    assert Stack.parse(stack.to_dict()) == stack
    leaving = {name for section, name in case.leaving if section == "gateways"}
    assert {*stack.gateways} == {*case.live["gateways"]} - leaving
    for name, fields in stack.gateways.items():
        assert not {"id", "name", "organization_id"} & {*fields}, name


@often
@given(case=cases())
def test_no_step_leaves_a_model_without_traffic_that_has_some_before_and_after(case: Case) -> None:
    api = build(case)
    if refused(api, case):
        return
    plan = api.client.plan(Stack.parse(case.stack), prune=case.prune)
    if any(each.action == "replace" for each in plan.steps):
        return
    weights: list[dict[str, int]] = []

    def note(step: object) -> None:
        weights.append(traffic(api))

    before = traffic(api)
    api.client.apply(plan, wait=case.wait, on_step=note)
    after = traffic(api)
    for model in before.keys() & after.keys():
        assert all(each.get(model) for each in weights), model
    for model in before.keys() - after.keys():
        assert any(f"all weights of {model} are 0" in each.reason for each in plan.steps)


def traffic(api: MemoryApi) -> dict[str, int]:
    """The sum of the weights by model, where it is not 0."""
    found: dict[str, int] = {}
    for each in api(types.ListDeploymentsRequest()).items:
        if each.status.status != types.Status.STATUS_DELETING and not each.spec.disabled and each.spec.traffic.weight:
            found[each.spec.model.name] = found.get(each.spec.model.name, 0) + each.spec.traffic.weight
    return found

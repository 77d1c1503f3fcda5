"""What a rollout does, as flows: begin, climb step by step, restore.

Whatever happens, also a kill at any moment, the journal says what may have been written. Each write goes from one known
state to the next and is based on a read that showed nothing else. So what is found later is one of the two, and the
rollout goes on from there, or it is somebody else's change, and the rollout stops.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import uuid4

from .. import errors, types
from .._calls.deadline import Deadline
from .._calls.flow import Flow, RunFunction, Sleep
from .._text import one_line
from ..resources._waits import LAG_SECONDS, POLLING
from ..status import State, name_of
from ._checks import check_fit, check_unchanged, check_weights, has_traffic, shown_weights, uncovered
from ._gate import ask, ask_async
from ._journal import RolloutJournal, on_disk
from ._pair import Deck, Pair, Trouble, is_serving, label, state_shown
from ._record import Former, Phase, RolloutRecord
from ._step import Gate, Outcome, Step, Verdict
from ._weights import Side, TrafficWeights, order, weights_for

log = logging.getLogger("cwinference")

OnStep = Callable[[Step], object]
Check = Callable[[Pair], None]

_SHORTEST_PAUSE = 1.0
"""Seconds between two questions to a gate that says "wait", if the soak is shorter."""


@dataclass(frozen=True)
class Intent:
    """What a rollout is to do. The deployments are given by their names or ids."""

    new: str
    replaces: str
    steps: Sequence[float]
    soak: float
    patience: float


class Engine:
    """Performs a rollout. Its flows are run while the journal is in use."""

    def __init__(self, deck: Deck[Any], file: RolloutJournal, gate: Gate) -> None:
        self._deck = deck
        self._file = file
        self._gate = gate
        self._unsettled: dict[Side, types.Deployment] = {}
        """Responses to writes after which the deployment was not seen READY yet."""

    def begin(self, intent: Intent) -> Flow[RolloutRecord]:
        """Check that the two deployments fit each other, and create the journal."""
        survey = yield from self._deck.survey(intent.new, intent.replaces)
        check_fit(survey)
        new = yield from self._deck.read(survey.pair.new.spec.id)
        pair = Pair(new, (yield from self._deck.read(survey.pair.old.spec.id)))
        check_weights(pair)
        for each in (pair.new, pair.old):
            if not is_serving(each):
                raise errors.FailedPrecondition(
                    f"{name_of(each)} is {state_shown(each)}; a rollout begins when both deployments are READY"
                )
            yield from self._deck.check_no_hot_load(each)
        spec = pair.old.spec
        record = RolloutRecord(
            rollout=str(uuid4()),
            organization=spec.organization_id,
            model=spec.model.name,
            new=Former.of(pair.new),
            old=Former.of(pair.old),
            steps=tuple(intent.steps),
            soak=intent.soak,
            patience=intent.patience,
            phase="running",
            step=0,
            previous=pair.weights,
        )
        yield from on_disk(partial(self._file.create, record))
        if record.new.weight:
            log.warning("rollout: %s", has_traffic(record))
        return record

    def climb(self, record: RolloutRecord, on_step: OnStep | None) -> Flow[Outcome]:
        """Do the steps that are left, until the rollout is promoted, reverted or paused."""
        report = on_step or _ignore
        while True:
            if record.target is None:
                record = yield from self._next(record, report)
            verdict, reason = yield from self._done(record, report)
            if verdict == "fail":
                return (yield from self.restore(record, is_forced=False))
            if verdict == "wait":
                return (yield from self._paused(record, reason))
            if record.step == len(record.steps) - 1:
                yield from self._read_back(record)
                yield from self._save(record.in_phase("promoted"))
                return "promoted"
            record = replace(record, step=record.step + 1, previous=record.target or record.previous, target=None)

    def _next(self, record: RolloutRecord, report: OnStep) -> Flow[RolloutRecord]:
        """Return the record with the weights of the next step that can be shown, saved before they are written."""
        while True:
            survey = yield from self._deck.survey(record.new.id, record.old.id)
            if survey.uncovered:
                raise errors.FailedPrecondition(uncovered(survey))
            percent = record.steps[record.step]
            target = weights_for(percent, record.former.total, keep_total=bool(survey.others))
            if target is not None:
                record = replace(record, phase="running", note="", target=target)
                yield from self._save(record)
                return record
            report(_step(record, survey.pair, record.former, is_passed_over=True))
            record = replace(record, step=record.step + 1)

    def _done(self, record: RolloutRecord, report: OnStep) -> Flow[tuple[Verdict, str]]:
        """Set the weights of a step, wait until the API shows them, let the soak pass, and ask the gate.

        Return the verdict and the reason for it.
        """
        target = record.target or record.previous
        try:
            pair = yield from self._set(record, target, partial(check_unchanged, record, {record.previous, target}))
        except errors.ResourceFailed as failed:
            found: Any = failed.resource
            if State.of(found) is State.DELETING:
                raise errors.Conflict(f"{name_of(found)} is being deleted by somebody else", found) from None
            if found.spec.id != record.new.id:
                raise
            log.warning("rollout: %s", failed)
            return "fail", "the new deployment has failed"
        except errors.WaitTimeout as late:
            log.warning("rollout: %s", late)
            return "wait", "a deployment does not become READY"
        report(_step(record, pair, target))
        verdict = yield from self._judged(record, target)
        return verdict, f"the gate says {verdict}"

    def _judged(self, record: RolloutRecord, target: TrafficWeights) -> Flow[Verdict]:
        waited, pause = 0.0, record.soak
        while True:
            if pause > 0:
                yield Sleep(pause)
            pair = yield from self._read_back(record)
            verdict = yield from self._asked(record, _step(record, pair, target))
            if verdict != "wait" or waited >= record.patience:
                return verdict
            pause = min(max(record.soak, _SHORTEST_PAUSE), record.patience - waited)
            waited += pause

    def _asked(self, record: RolloutRecord, step: Step) -> Flow[Verdict]:
        """Return the verdict of the gate; one that raises pauses the rollout."""
        try:
            verdict = yield RunFunction(partial(ask, self._gate, step), partial(ask_async, self._gate, step))
            if verdict not in ("pass", "fail", "wait"):
                raise errors.ConfigurationError(
                    f"gate: expected 'pass', 'fail' or 'wait', got {one_line(repr(verdict))}"
                )
        except Exception as error:
            yield from self._paused(record, f"the gate raised {type(error).__name__}")
            raise
        log.info("rollout: %s: %s", step, verdict)
        return verdict  # type: ignore[no-any-return]

    def restore(self, record: RolloutRecord, *, is_forced: bool) -> Flow[Outcome]:
        """Restore the former weights, autoscaling and `disabled`; if that is forced, over changes of others too."""
        record = replace(record, phase="reverting", is_forced=is_forced, note="")
        yield from self._save(record)
        try:
            pair = yield from self._deck.read_both(record)
        except errors.Conflict as gone:
            if is_forced:
                yield from self._restore_old_alone(record, gone)
            raise
        allowed = {record.previous, record.target or record.previous, record.former}
        check: Check = (lambda pair: None) if is_forced else partial(check_unchanged, record, allowed)
        check(pair)
        for side in ("old", "new"):
            former = record.of(side)
            if not former.is_as_before(pair.of(side)):
                yield from self._write(record, side, partial(_restore_settings, former), former.is_as_before, check)
        pair = yield from self._set(record, record.former, check, is_way_back=True)
        yield from self._save(record.in_phase("reverted"))
        return "reverted"

    def _restore_old_alone(self, record: RolloutRecord, gone: errors.Conflict) -> Flow[None]:
        """Give the old one back what it had, although the new one is gone. Raises Conflict if the old one is."""
        old = yield from self._deck.read_present(record, "old")
        former = record.old

        def edit(request: Any) -> None:
            _restore_settings(former, request)
            request.traffic.weight = former.weight

        trouble = Trouble(self._deck.clock)
        while not (former.is_as_before(old) and old.spec.traffic.weight == former.weight):
            try:
                yield from self._deck.write(old, edit)
            except (errors.ApiError, errors.ProtocolError) as error:
                yield from trouble.pause(error)
            old = yield from self._deck.read_present(record, "old")
        raise errors.Conflict(f"{gone}; {label(former)} is as it was before", old)

    def _set(
        self, record: RolloutRecord, target: TrafficWeights, check: Check, *, is_way_back: bool = False
    ) -> Flow[Pair]:
        """Write the weights that differ, and return both deployments with all of it shown."""
        pair = yield from self._deck.read_both(record)
        check(pair)
        for side in order(pair.weights, target):
            weight = target.of(side)
            yield from self._write(record, side, partial(_set_weight, weight), partial(_has_weight, weight), check)
        if not is_way_back:  # there the new one may have failed
            for side in ("new", "old"):
                yield from self._settle(record, side)
        pair = yield from self._deck.read_both(record)
        check(pair)
        if pair.weights != target:
            raise errors.Conflict(f"somebody else has changed the weights: {shown_weights(record, pair)}", pair.new)
        return pair

    def _write(
        self,
        record: RolloutRecord,
        side: Side,
        edit: Callable[[Any], None],
        is_done: Callable[[types.Deployment], bool],
        check: Check,
    ) -> Flow[None]:
        """Change one of the two until the API shows it. Each write is preceded by a read that shows what is expected.

        A write whose response was lost may have been done: the next read shows it.
        """
        pair = yield from self._deck.read_both(record)
        yield from self._deck.check_no_hot_load(pair.of(side))
        trouble, accepted, polls = Trouble(self._deck.clock), None, 0
        while True:
            pair = yield from self._deck.read_both(record)
            check(pair)
            current = pair.of(side)
            if is_done(current):
                return
            if accepted is not None:
                if accepted.has_passed():
                    raise errors.Conflict(f"{name_of(current)}: somebody else has undone a change", current)
                polls += 1
                yield Sleep(POLLING.pause(polls, self._deck.clock.random()))
                continue
            gaining = _gaining(pair.weights, current, side, edit)
            if gaining is not None and (gaining in self._unsettled or not is_serving(pair.of(gaining))):
                yield from self._settle(record, gaining, pair.of(gaining))
                continue
            try:
                self._unsettled[side] = yield from self._deck.write(current, edit)
                accepted = Deadline(LAG_SECONDS, self._deck.clock.monotonic)
            except (errors.ApiError, errors.ProtocolError) as error:
                yield from trouble.pause(error)

    def _settle(self, record: RolloutRecord, side: Side, found: types.Deployment | None = None) -> Flow[None]:
        """Wait until a deployment that was written, or was `found` not to be READY, is READY."""
        after = self._unsettled.get(side)
        if after is None and found is None:
            return
        if found is not None and found.spec.disabled:
            raise errors.FailedPrecondition(f"{name_of(found)} is disabled, so that no traffic may go to it")
        yield from self._deck.until_ready(record.of(side).id, after, record.patience)
        self._unsettled.pop(side, None)

    def _read_back(self, record: RolloutRecord) -> Flow[Pair]:
        """Return both as they are, with the weights of the step."""
        pair = yield from self._deck.read_both(record)
        check_unchanged(record, {record.target or record.previous}, pair)
        return pair

    def _paused(self, record: RolloutRecord, note: str) -> Flow[Outcome]:
        yield from self._save(record.in_phase("paused", note))
        return "paused"

    def _save(self, record: RolloutRecord) -> Flow[None]:
        return on_disk(partial(self._file.save, record))


def _ignore(step: Step) -> None:
    """Do what is done with a step when nobody wants to know."""


def _set_weight(weight: int, request: Any) -> None:
    request.traffic.weight = weight


def _has_weight(weight: int, deployment: types.Deployment) -> bool:
    return deployment.spec.traffic.weight == weight


def _restore_settings(former: Former, request: Any) -> None:
    request.autoscaling.CopyFrom(former.autoscaling_message())
    request.disabled = former.disabled


def _gaining(
    weights: TrafficWeights, current: types.Deployment, side: Side, edit: Callable[[Any], None]
) -> Side | None:
    """Return which of the two gets a larger share of the traffic by a write; None if neither does."""
    request = types.UpdateDeploymentRequest(traffic=current.spec.traffic)
    edit(request)
    after = weights.with_side(side, request.traffic.weight)
    if not after.total or not weights.total:
        return side if request.traffic.weight else None
    return None if after.share == weights.share else "new" if after.share > weights.share else "old"


def _step(record: RolloutRecord, pair: Pair, weights: TrafficWeights, *, is_passed_over: bool = False) -> Step:
    return Step(
        number=record.step + 1,
        of=len(record.steps),
        percent=record.steps[record.step],
        new_weight=weights.new,
        old_weight=weights.old,
        is_passed_over=is_passed_over,
        new=pair.new,
        old=pair.old,
        rollout=record.rollout,
    )


__all__ = ["Engine", "Intent", "Phase"]

"""What has to be true of the two deployments, and who says that it is not."""

from .. import errors
from .._text import one_line
from ..status import name_of
from ._pair import Pair, Survey, label
from ._record import RolloutRecord
from ._weights import LARGEST, TrafficWeights

HOW_TO_REVERT = "; revert() restores what was there before"
"""The end of what a Conflict says; a command says it in its own words."""


def check_fit(survey: Survey) -> None:
    """Raise ConfigurationError unless one can take over from the other."""
    new, old = survey.pair.new, survey.pair.old
    if new.spec.id == old.spec.id:
        raise errors.ConfigurationError(f"replaces: {name_of(old)} cannot replace itself; name another deployment")
    if new.spec.model.name != old.spec.model.name:
        models = one_line(f"{new.spec.model.name!r} and {old.spec.model.name!r}")
        raise errors.ConfigurationError(f"replaces: the two serve different models, {models}; weights split one model")
    if not {*new.spec.gateway_ids} & {*old.spec.gateway_ids}:
        raise errors.ConfigurationError(
            f"replaces: {name_of(new)} and {name_of(old)} share no gateway; put both on one"
        )
    if survey.uncovered:
        raise errors.ConfigurationError(f"replaces: {uncovered(survey)}")


def check_weights(pair: Pair) -> None:
    """Raise ConfigurationError for weights that have no shares, or that one deployment cannot take over."""
    total = pair.weights.total
    if not total:
        raise errors.ConfigurationError(
            f"replaces: {name_of(pair.old)} and {name_of(pair.new)} both have weight 0, of which there are no shares; "
            'give the old one a weight first: client.deployments.modify(id, traffic={"weight": 100})'
        )
    if total > LARGEST:
        raise errors.ConfigurationError(
            f"replaces: the two have weight {total} together, and the new one can take {LARGEST}; lower them first"
        )


def check_unchanged(record: RolloutRecord, allowed: set[TrafficWeights], pair: Pair) -> None:
    """Raise Conflict if something is different that the rollout has not written."""
    for side in ("new", "old"):
        former, deployment = record.of(side), pair.of(side)
        changed = former.changed_in(deployment)
        if not changed and deployment.spec.traffic.weight not in {each.of(side) for each in allowed}:
            changed = "its weight"
        if changed:
            raise errors.Conflict(
                f"{label(former)}: somebody else has changed {changed}; the rollout stops, and "
                f"{shown_weights(record, pair)}{HOW_TO_REVERT}",
                deployment,
            )


def has_traffic(record: RolloutRecord) -> str:
    """Return the warning for a new deployment that has traffic already, as an unfinished rollout would leave it."""
    return (
        f"{label(record.new)} has a part of the traffic already; if that is from another rollout, go on with its "
        f"journal: a revert of this one restores {one_line(record.new.name)} to weight {record.new.weight} and "
        f"{one_line(record.old.name)} to {record.old.weight}"
    )


def uncovered(survey: Survey) -> str:
    """Return what is wrong when a gateway would be left without the model."""
    gateways = one_line(", ".join(survey.uncovered))
    return f"without {name_of(survey.pair.old)} nothing would serve the model on {gateways}; add it to the new one"


def shown_weights(record: RolloutRecord, pair: Pair) -> str:
    """Return the weights as they are, for messages."""
    return one_line(f"{record.new.name} has weight {pair.weights.new}, {record.old.name} has {pair.weights.old}")

"""Why a resource is as it is: a pure function from what was read of it, and of what it depends on, to an explanation.

Whatever is said was read: a condition, an offer, a state. Only what follows from it is a judgment, and is called likely
or possible.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..status import is_ready, name_of, state_of, state_text
from .claims import claim_causes
from .deployments import deployment_causes
from .explanation import VERDICTS, Cause, Event, Explanation, Verdict
from .facts import Facts
from .gateways import gateway_causes
from .history import history_of, since
from .hot_loads import hot_load_causes
from .states import state_causes

_CAUSES: Mapping[str, Callable[[Any, Facts], Iterator[Cause]]] = {
    "Gateway": gateway_causes,
    "Deployment": deployment_causes,
    "CapacityClaim": claim_causes,
    "HotLoad": hot_load_causes,
}


def explain(facts: Facts) -> Explanation:
    """Return the history of a resource, what is unmet, the likely causes, and the commands that mend them."""
    resource = facts.resource
    history = history_of(resource)
    is_settled = is_ready(resource)
    unmet = [each for each in history if each.met is False or (each.met is None and not is_settled)]
    causes = [
        *(_reported(each) for each in unmet if each.met is False and not is_settled),
        *_CAUSES[resource.DESCRIPTOR.name](resource, facts),
        *state_causes(resource, facts),
    ]
    return Explanation(
        subject=name_of(resource),
        id=resource.spec.id,
        state=state_text(resource),
        since=since(resource),
        now=facts.now,
        is_well=is_settled and all(each.verdict == "note" for each in causes),
        is_terminal=state_of(resource).is_terminal,
        history=history,
        unmet=unmet,
        causes=sorted(causes, key=lambda each: VERDICTS.index(each.verdict)),
        unread=[f"{what}: {why}" for what, why in facts.unread.items()],
    )


def _reported(event: Event) -> Cause:
    """Return what the service says of a condition that is not met."""
    return Cause("reported", ": ".join(each for each in (event.type, event.reason, event.message) if each))


__all__ = ["VERDICTS", "Cause", "Event", "Explanation", "Facts", "Verdict", "explain"]

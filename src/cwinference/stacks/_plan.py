"""`Plan`: what would have to be done so that what exists is as a stack says, for people and as JSON."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from .._html import Displayed, Table
from .._text import one_line
from ..errors import ConfigurationError
from ..following._kinds import Kind
from ..resources._parts import is_mapping
from ._stack import Stack

FORMAT = 1
"""The version of a plan's JSON."""

Action: TypeAlias = Literal["create", "update", "replace", "delete"]
"""What a step does; "replace": delete it, wait until it is gone, and create it anew."""

ACTIONS: Sequence[Action] = get_args(Action)
_SIGNS: Mapping[str, str] = {"create": "+", "update": "~", "replace": "!", "delete": "-"}
HIDDEN = "***"
"""What is shown in place of a value that may be a credential."""


class FieldChange(NamedTuple):
    """A field that would change.

    Attributes:
        path: where it is in the spec: `autoscaling.max`, `runtime.engine_config['max-model-len']`.
        old: its value now, as plain data; None if there is none. `"***"` where it may be a credential.
        new: what it would be; None if it would be gone.
    """

    path: str
    old: Any
    new: Any

    def __str__(self) -> str:
        if HIDDEN in (self.old, self.new):
            return one_line(f"{self.path} (not shown)")
        return one_line(f"{self.path}: {_shown(self.old)} -> {_shown(self.new)}")


@dataclass(frozen=True, slots=True)
class PlanStep(Displayed):
    """One step of a plan.

    Attributes:
        action: "create", "update", "replace" or "delete".
        kind: "gateway", "deployment" or "capacity_claim".
        name: name of the resource.
        id: its id; None if it does not exist yet.
        changes: what would change in its spec; for "create" all of it, for "delete" nothing.
        reason: why.
        refusal: why `apply` refuses the whole plan because of this step; None if it does not.
    """

    action: Action
    kind: Kind
    name: str
    id: str | None
    changes: tuple[FieldChange, ...]
    reason: str
    refusal: str | None = None

    @property
    def effect(self) -> tuple[object, ...]:
        """What it does: all but the texts, and what others have to do with it."""
        changes = [(each.path, each.new) for each in self.changes]
        return self.action, self.kind, self.name, self.id, changes, self.refusal is None

    @property
    def title(self) -> str:
        """What is done to what: `update deployment llama`."""
        return one_line(f"{self.action} {self.kind.replace('_', ' ')} {self.name}")

    def __str__(self) -> str:
        return one_line(f"{self.title} ({self.reason})")

    def _as_tables(self) -> Iterable[Table]:
        yield Table([_cells(self)], _TITLES)


@dataclass(frozen=True, slots=True)
class Seen:
    """A resource that a plan depends on, as it was: its id, and a digest of its spec. Its status does not count."""

    kind: Kind
    name: str
    id: str
    spec: str


class Plan(Displayed):
    """What would have to be done so that what exists is as a stack says. `client.plan` makes it.

    It is true if there is something to do. Printed, it says what, why, and the old and new values.

    Attributes:
        steps: what would be done, in this order.
        stack: the stack.
        prune: the prefix of the names of what is deleted if the stack does not have it; None for no deletions.
        secrets: whether write-only secrets are written, although nothing shows whether they have changed.
    """

    def __init__(
        self,
        stack: Stack,
        steps: Sequence[PlanStep],
        seen: Sequence[Seen],
        *,
        prune: str | None = None,
        secrets: bool = False,
    ) -> None:
        """Use `client.plan` or `Plan.from_json`."""
        self.stack = stack
        self.steps = tuple(steps)
        self.prune = prune
        self.secrets = secrets
        self._seen = tuple(seen)

    @property
    def refused(self) -> Sequence[PlanStep]:
        """The steps because of which `apply` refuses the plan."""
        return [each for each in self.steps if each.refusal is not None]

    @property
    def seen(self) -> Sequence[Seen]:
        """What the plan depends on: if any of it changes, `apply` raises PlanOutdated."""
        return self._seen

    def __bool__(self) -> bool:
        return bool(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self._content == other._content

    __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        return f"<Plan: {self.summary}>"

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _as_tables(self) -> Iterable[Table]:
        yield Table([_cells(each) for each in self.steps], _TITLES if self.steps else (), self._conclusion)

    @property
    def summary(self) -> str:
        """How many steps of each kind there are: `1 to create, 2 to update`."""
        counts = Counter(each.action for each in self.steps)
        return ", ".join(f"{counts[each]} to {each}" for each in ACTIONS if counts[each]) or "nothing to do"

    def _lines(self) -> Iterator[str]:
        for step in self.steps:
            yield f"{_SIGNS[step.action]} {step.title}: {one_line(step.reason)}"
            for each in _changes(step):
                yield f"    {each}"
            if step.refusal is not None:
                yield f"    refused: {one_line(step.refusal)}"
        if self.steps:
            yield ""
        yield self._conclusion

    @property
    def _conclusion(self) -> str:
        if not self.steps:
            return "Everything is as the stack says."
        return f"Plan: {self.summary}{', but it is refused' if self.refused else ''}."

    @cached_property
    def _content(self) -> dict[str, Any]:
        return {
            "stack": self.stack.to_dict(),
            "prune": self.prune,
            "secrets": self.secrets,
            "seen": [_as_dict(each) for each in self._seen],
            "steps": [
                _as_dict(each) | {"changes": [change._asdict() for change in each.changes]} for each in self.steps
            ],
        }

    def to_json(self) -> str:
        """Return the plan as JSON, to be reviewed and applied later.

        Secrets are references in it. The values of an `engine_env` are in it, as in the stack.
        """
        document = {"cwinference_plan": FORMAT, "digest": _digest(self._content), **self._content}
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "Plan":
        """Return the plan that `to_json` has written.

        Raises:
            ConfigurationError: it is no plan, is of another format, or has been edited.
        """
        try:
            document: Any = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            raise ConfigurationError("plan is not JSON, as Plan.to_json and `plan --out` write it") from None
        if not is_mapping(document) or "cwinference_plan" not in document:
            raise ConfigurationError("plan: this is no plan, as Plan.to_json and `plan --out` write it")
        content: dict[str, Any] = {**document}
        if content.pop("cwinference_plan") != FORMAT:
            raise ConfigurationError("plan: another release of cwinference has written it; plan again")
        if content.pop("digest", None) != _digest(content):
            raise ConfigurationError("plan was edited after it was made; change the stack, and plan again")
        try:
            return cls._of(content)
        except (LookupError, TypeError, ValueError):
            raise ConfigurationError("plan: parts of it are missing, or have another form; plan again") from None

    @classmethod
    def _of(cls, content: Mapping[str, Any]) -> "Plan":
        given: list[dict[str, Any]] = content["steps"]
        steps = [PlanStep(**each) for each in given]
        steps = [replace(each, changes=tuple(FieldChange(**change) for change in _mappings(each))) for each in steps]
        if any(each.action not in ACTIONS for each in steps):
            raise ValueError
        seen = [Seen(**each) for each in content["seen"]]
        stack = Stack.parse(content["stack"])
        prune, secrets = content["prune"], content["secrets"]
        if not isinstance(prune, str | None) or not isinstance(secrets, bool):
            raise TypeError
        return cls(stack, steps, seen, prune=prune, secrets=secrets)


def _mappings(step: PlanStep) -> Sequence[Any]:
    """Return the changes of a step as JSON has them."""
    return step.changes


def with_id(step: PlanStep, id: str) -> PlanStep:
    """Return the step of a resource that has been created."""
    return replace(step, id=id)


def _as_dict(record: Any) -> dict[str, Any]:
    """Return the attributes of a dataclass in their order; `dataclasses.asdict` would copy all values."""
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


_TITLES = ("ACTION", "KIND", "NAME", "CHANGES", "REASON")


def _cells(step: PlanStep) -> Sequence[str]:
    """Return what a table shows of a step."""
    reason = step.reason if step.refusal is None else f"{step.reason}\nrefused: {step.refusal}"
    return step.action, step.kind.replace("_", " "), step.name, "\n".join(_changes(step)), reason


def _changes(step: PlanStep) -> Sequence[str]:
    """Return the changes of a step, a line each."""
    return [_set(each) if step.action == "create" else str(each) for each in step.changes]


def _set(change: FieldChange) -> str:
    """Return what a field of a new resource is set to."""
    return one_line(f"{change.path} (not shown)" if change.new == HIDDEN else f"{change.path}: {_shown(change.new)}")


def _shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)

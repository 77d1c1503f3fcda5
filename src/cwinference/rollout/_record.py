"""What the journal of a rollout contains: enough to go on, and to restore what was there before. No secrets."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias, cast, get_args

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from .. import types
from ..errors import ConfigurationError
from ._weights import Side, TrafficWeights

FORMAT = "cwinference rollout"
VERSION = 1

Phase: TypeAlias = Literal["running", "paused", "reverting", "reverted", "promoted"]


@dataclass(frozen=True)
class Former:
    """A deployment as it was before the rollout.

    Attributes:
        id, name: which one it is.
        weight, autoscaling, disabled: what a revert restores; `autoscaling` in JSON form.
        digest: a hash of the rest of its spec, by which it is seen that somebody else has changed it. The spec itself
            is not kept: variables of an engine's environment are where people put credentials.
    """

    id: str
    name: str
    weight: int
    autoscaling: Mapping[str, Any]
    disabled: bool
    digest: str

    @classmethod
    def of(cls, deployment: types.Deployment) -> "Former":
        """Return what is kept of a deployment."""
        spec = deployment.spec
        return cls(spec.id, spec.name, spec.traffic.weight, _as_json(spec.autoscaling), spec.disabled, _digest(spec))

    def autoscaling_message(self) -> types.DeploymentAutoscaling:
        """Return the former autoscaling."""
        return ParseDict(dict(self.autoscaling), types.DeploymentAutoscaling())

    def is_as_before(self, deployment: types.Deployment) -> bool:
        """Return whether its autoscaling and its `disabled` are as they were."""
        now = Former.of(deployment)
        return (now.autoscaling, now.disabled) == (self.autoscaling, self.disabled)

    def changed_in(self, deployment: types.Deployment) -> str:
        """Return what else than the weight is different now; empty if nothing is."""
        now = Former.of(deployment)
        changed = [each for each in ("name", "autoscaling", "disabled") if getattr(now, each) != getattr(self, each)]
        if now.digest != self.digest and "name" not in changed:
            changed.append("its spec")
        return " and ".join(changed)


@dataclass(frozen=True)
class RolloutRecord:
    """A rollout: what it is, and how far it has come.

    Attributes:
        rollout: a random id.
        organization, model: to whom the two deployments belong, and which model they serve.
        new, old: the two deployments as they were before.
        steps: the shares of the new one in percent, ascending; the last one is 100.
        soak, patience: seconds to let pass after each step; and how long a gate may say "wait".
        phase: what is being done, or has been done.
        step: index of the step that is being done.
        previous, target: the weights before this step, and in it; no target if nothing of it was written yet. A crash
            between the two writes leaves one of each.
        is_forced: whether it is reverted at any rate, over changes of others too.
        note: why it is paused, in a few words.
    """

    rollout: str
    organization: str
    model: str
    new: Former
    old: Former
    steps: Sequence[float]
    soak: float
    patience: float
    phase: Phase
    step: int
    previous: TrafficWeights
    target: TrafficWeights | None = None
    is_forced: bool = False
    note: str = ""

    @property
    def former(self) -> TrafficWeights:
        """The weights before the rollout."""
        return TrafficWeights(self.new.weight, self.old.weight)

    def of(self, side: Side) -> Former:
        """Return one of the two deployments as it was before."""
        return self.new if side == "new" else self.old

    def in_phase(self, phase: Phase, note: str = "") -> "RolloutRecord":
        """Return a copy in another phase."""
        return replace(self, phase=phase, note=note)

    def to_json(self) -> str:
        """Return the content of a journal."""
        fields = {"format": FORMAT, "version": VERSION, **asdict(self)}
        fields["previous"] = self.previous._asdict()
        fields["target"] = None if self.target is None else self.target._asdict()
        body = json.dumps(fields, indent=2)
        # A checksum of its own, since a disk that was full may have left a part that is JSON by chance.
        return f"{body}\n{_checksum(body)}\n"

    def __str__(self) -> str:
        return f"rollout of {self.new.name} in place of {self.old.name}"


def record_from(text: str, location: str) -> RolloutRecord:
    """Return the record in a journal. Raises ConfigurationError, beginning with `location`, if there is none."""
    body, _, checksum = text.removesuffix("\n").rpartition("\n")
    if not text.strip():
        raise ConfigurationError(f"{location} is empty, so that nothing can be resumed or restored from it")
    if not checksum.startswith(_CHECKSUM) or not text.endswith("\n"):
        if FORMAT in text:
            raise ConfigurationError(f"{location} is torn: its end is missing; restore it from a copy")
        raise ConfigurationError(f"{location} is no journal of a rollout; use the file that it was given")
    if checksum != _checksum(body):
        raise ConfigurationError(f"{location} is torn or was edited: its checksum is wrong; restore it from a copy")
    try:
        fields = cast(dict[str, Any], json.loads(body))
        kind, version = fields.pop("format"), fields.pop("version")
        if kind == FORMAT and isinstance(version, int) and version > VERSION:
            raise ConfigurationError(f"{location} was written by a newer release (version {version}); upgrade")
        return _record(kind, fields)
    except (AttributeError, KeyError, TypeError, ValueError, ParseError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"{location} is no journal of a rollout: {type(error).__name__}") from None


def _record(kind: str, fields: dict[str, Any]) -> RolloutRecord:
    if kind != FORMAT or fields["phase"] not in get_args(Phase):
        raise ValueError(kind)
    for side in ("new", "old"):
        fields[side] = Former(**fields[side])
        fields[side].autoscaling_message()
    for name in ("previous", "target"):
        fields[name] = None if fields[name] is None else TrafficWeights(**fields[name])
    record = RolloutRecord(**fields)
    if not 0 <= record.step < len(record.steps):
        raise ValueError(record.step)
    return replace(record, steps=tuple(record.steps))


_CHECKSUM = "sha256:"


def _checksum(body: str) -> str:
    return _CHECKSUM + hashlib.sha256(body.encode()).hexdigest()


def _as_json(message: Any) -> Mapping[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)


def _digest(spec: types.DeploymentSpec) -> str:
    """Return a hash of a spec without what a rollout keeps in full. By JSON, in which field numbers mean nothing."""
    rest = types.DeploymentSpec()
    rest.CopyFrom(spec)
    rest.traffic.ClearField("weight")
    if not rest.traffic.ByteSize():
        rest.ClearField("traffic")
    rest.ClearField("autoscaling")
    rest.ClearField("disabled")
    rest.gateway_ids.sort()
    return hashlib.sha256(json.dumps(_as_json(rest), sort_keys=True).encode()).hexdigest()

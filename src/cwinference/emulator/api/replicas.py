"""How the replicas of a deployment come along with a hot-load: worked out from a few moments when somebody asks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ... import types
from ..clock import moment_of, timestamp

_Replica = types.HotLoadReplica


@dataclass(frozen=True, slots=True)
class Rollout:
    """What a hot-load remembers of the deployment as it was, and of its own progress. Moments are nanoseconds."""

    name: str
    zone: str
    replicas: int
    base: str
    """Identity of the snapshot that the replicas served before."""
    started: int = 0
    halfway: int = 0
    """When the first half of the replicas was done."""

    @property
    def first_half(self) -> int:
        """How many replicas are done halfway."""
        return self.replicas // 2

    def state_of(self, index: int, hot_load: types.HotLoad) -> types.HotLoadReplica:
        """One replica; their order by index is that by name."""
        width = len(str(self.replicas - 1))
        replica = _Replica(name=f"{self.name}-{index:0{width}}", zone=self.zone)
        _tell(replica, list(self._history(index, hot_load)))
        replica.current_snapshot_identity = hot_load.spec.identity if replica.HasField("finished_at") else self.base
        if replica.state == _Replica.ERROR:
            replica.error_reason = hot_load.status.conditions[0].message
        return replica

    def _history(self, index: int, hot_load: types.HotLoad) -> "Iterator[tuple[_Replica.State.ValueType, int]]":
        status = hot_load.status
        yield _Replica.PENDING_UPDATE, moment_of(status.created_at)
        if self.started:
            yield _Replica.UPDATING, self.started
        if self.halfway and index < self.first_half:
            yield _Replica.READY, self.halfway
        elif status.state == types.HotLoadState.HOT_LOAD_STATE_COMPLETED:
            yield _Replica.READY, moment_of(status.finished_at)
        elif status.state == types.HotLoadState.HOT_LOAD_STATE_FAILED:
            yield _Replica.ERROR, moment_of(status.finished_at)


def rollout_of(notes: Mapping[str, Any]) -> Rollout:
    """The rollout that a record's notes hold."""
    return Rollout(**notes)


def _tell(replica: types.HotLoadReplica, history: "list[tuple[_Replica.State.ValueType, int]]") -> None:
    for state, moment in history:
        if state == _Replica.UPDATING:
            replica.started_at.CopyFrom(timestamp(moment))
        if state == _Replica.READY:
            replica.finished_at.CopyFrom(timestamp(moment))
    replica.state, last = history[-1]
    replica.transitioned_at.CopyFrom(timestamp(last))
    replica.updated_at.CopyFrom(timestamp(last))

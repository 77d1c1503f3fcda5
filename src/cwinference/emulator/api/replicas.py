"""The progress of a deployment's replicas during a hot-load, computed on request from a few recorded times."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ... import types
from ..clock import from_timestamp, to_timestamp

_Replica = types.HotLoadReplica


@dataclass(frozen=True, slots=True)
class ReplicaRollout:
    """What a hot-load records about its deployment when it is created, and about its own progress.

    All times are in nanoseconds; 0 means that it has not happened yet.
    """

    name: str
    zone: str
    replicas: int
    base: str
    """Identity of the snapshot that the replicas served before."""
    started: int = 0
    halfway: int = 0
    """When the first half of the replicas was updated."""

    @property
    def first_half(self) -> int:
        """How many replicas are updated in the first half, rounded down."""
        return self.replicas // 2

    def replica(self, index: int, hot_load: types.HotLoad) -> types.HotLoadReplica:
        """Return the current state of one replica. Their order by index is also the order of their names."""
        width = len(str(self.replicas - 1))
        replica = _Replica(name=f"{self.name}-{index:0{width}}", zone=self.zone)
        _set_state_and_times(replica, list(self._history(index, hot_load)))
        replica.current_snapshot_identity = hot_load.spec.identity if replica.HasField("finished_at") else self.base
        if replica.state == _Replica.ERROR:
            replica.error_reason = hot_load.status.conditions[0].message
        return replica

    def _history(self, index: int, hot_load: types.HotLoad) -> "Iterator[tuple[_Replica.State.ValueType, int]]":
        """Yield the states that the replica has gone through so far, with the times at which it entered them."""
        status = hot_load.status
        yield _Replica.PENDING_UPDATE, from_timestamp(status.created_at)
        if self.started:
            yield _Replica.UPDATING, self.started
        if self.halfway and index < self.first_half:
            yield _Replica.READY, self.halfway
        elif status.state == types.HotLoadState.HOT_LOAD_STATE_COMPLETED:
            yield _Replica.READY, from_timestamp(status.finished_at)
        elif status.state == types.HotLoadState.HOT_LOAD_STATE_FAILED:
            yield _Replica.ERROR, from_timestamp(status.finished_at)


def rollout_from(notes: Mapping[str, Any]) -> ReplicaRollout:
    """Return the rollout recorded in the notes of a hot-load's record."""
    return ReplicaRollout(**notes)


def _set_state_and_times(replica: types.HotLoadReplica, history: "list[tuple[_Replica.State.ValueType, int]]") -> None:
    for state, entered_at in history:
        if state == _Replica.UPDATING:
            replica.started_at.CopyFrom(to_timestamp(entered_at))
        if state == _Replica.READY:
            replica.finished_at.CopyFrom(to_timestamp(entered_at))
    replica.state, last = history[-1]
    replica.transitioned_at.CopyFrom(to_timestamp(last))
    replica.updated_at.CopyFrom(to_timestamp(last))

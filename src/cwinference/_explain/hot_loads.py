"""Why a hot-load does not complete."""

from collections.abc import Iterator

from .. import types
from ..status import HotLoadState, State, state_text
from .commands import command, listed
from .explanation import Cause
from .facts import Facts

_FULL, _INCREMENTAL = types.SnapshotType.SNAPSHOT_TYPE_FULL, types.SnapshotType.SNAPSHOT_TYPE_INCREMENTAL
_READY, _ERROR = types.HotLoadReplica.READY, types.HotLoadReplica.ERROR


def hot_load_causes(hot_load: types.HotLoad, facts: Facts) -> Iterator[Cause]:
    """Yield what may keep a hot-load from completing."""
    if HotLoadState.of(hot_load) is HotLoadState.CANCELED:
        yield Cause("certain", "it was canceled; replicas that had loaded the snapshot keep it")
    if HotLoadState.of(hot_load) in (HotLoadState.COMPLETED, HotLoadState.CANCELED):
        return
    yield from _deployment(hot_load, facts)
    yield from _replicas(facts)
    yield from _predecessor(hot_load, facts)


def _deployment(hot_load: types.HotLoad, facts: Facts) -> Iterator[Cause]:
    if facts.deployments is None:
        return
    deployment = next((each for each in facts.deployments if each.spec.id == hot_load.spec.deployment_id), None)
    if deployment is None:
        yield Cause("likely", f"its deployment {hot_load.spec.deployment_id} does not exist any more")
        return
    name = deployment.spec.name
    if State.of(deployment) is not State.READY:
        text = f"its deployment {name} is {state_text(deployment)}, not READY"
        yield Cause("likely", text, (command("explain", "deployments", name),))
    if facts.is_complete and not deployment.spec.HasField("hot_load"):
        yield Cause("likely", f"its deployment {name} was created without hot_load, which cannot be added later")


def _replicas(facts: Facts) -> Iterator[Cause]:
    replicas = facts.replicas or ()
    failed = [each for each in replicas if each.state == _ERROR]
    if failed:
        reasons = listed({each.error_reason or "no reason given" for each in failed})
        names = listed(each.name for each in failed)
        yield Cause("likely", f"{len(failed)} of {len(replicas)} replicas are in ERROR ({names}): {reasons}")
    waiting = [each for each in replicas if each.state not in (_ERROR, _READY)]
    if waiting:
        yield Cause("note", f"{len(waiting)} of {len(replicas)} replicas have not loaded it yet")


def _predecessor(hot_load: types.HotLoad, facts: Facts) -> Iterator[Cause]:
    if hot_load.spec.type != _INCREMENTAL or facts.hot_loads is None:
        return
    wanted = hot_load.spec.incremental_snapshot_metadata.previous_snapshot_identity
    completed = [
        each.spec.identity
        for each in facts.hot_loads
        if HotLoadState.of(each) is HotLoadState.COMPLETED and each.spec.id != hot_load.spec.id
    ]
    latest = completed[0] if completed else "initial"
    if wanted != latest:
        yield Cause("likely", f"it builds on the snapshot {wanted}; the latest that was loaded is {latest}")

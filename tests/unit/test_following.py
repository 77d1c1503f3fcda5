"""The parts of watches and caches: what is believed, when to poll, and what views show."""

import logging
from collections.abc import Sequence
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cwinference import Change, errors, types
from cwinference._calls.flow import Flow, Sleep
from cwinference.following._cache_core import CacheCore
from cwinference.following._following import Follower, Following, ResourceSource
from cwinference.following._schedule import PollIntervals, Schedule
from cwinference.following._table import KnownTable
from cwinference.following._view import DeploymentView, empty_view, view_after
from tests.support.fake_clock import FakeClock
from tests.support.flow_runner import FlowRunner


def deployment(name: str, updated: int = 100, state: str = "READY", **spec: Any) -> types.Deployment:
    status = types.DeploymentStatus(status=types.Status.Value(f"STATUS_{state}"), updated_at=Timestamp(seconds=updated))
    return types.Deployment(spec=types.DeploymentSpec(id=name, name=name, **spec), status=status)


def table_of(*deployments: types.Deployment) -> KnownTable[types.Deployment]:
    """Return a table whose content was told."""
    table = KnownTable("deployment", types.Deployment)
    table.replace(deployments)
    taken(table)
    return table


def taken(table: KnownTable[types.Deployment]) -> list[tuple[str, types.Deployment | None]]:
    found = list[tuple[str, types.Deployment | None]]()
    while (change := table.take()) is not None:
        found.append((change.type, change.resource))
    return found


def test_an_older_response_that_comes_late_is_no_change() -> None:
    table = table_of(deployment("a", 200))
    table.merge([deployment("a", 100, "CREATING")])
    assert taken(table) == []
    table.merge([deployment("a", 201, "ERROR")])
    assert taken(table) == [("changed", deployment("a", 201, "ERROR"))]


def test_what_differs_at_the_same_time_is_doubted_until_a_look() -> None:
    table = table_of(deployment("a"))
    table.merge([deployment("a", disabled=True)])
    assert taken(table) == []
    assert not table.merge_one("a", deployment("a"))
    assert taken(table) == []
    table.merge([deployment("a", disabled=True)])
    assert table.merge_one("a", deployment("a", disabled=True))
    assert taken(table) == [("changed", deployment("a", disabled=True))]


def test_a_removed_resource_does_not_come_back_by_a_late_response() -> None:
    table = table_of(deployment("a"))
    table.merge_one("a", None)
    table.merge([deployment("a")])
    assert taken(table) == [("removed", deployment("a"))]
    table.merge([deployment("a", 101)])
    assert not table.merge_one("a", None)
    assert taken(table) == []
    table.merge([deployment("a", 101)])
    assert table.merge_one("a", deployment("a", 101))
    assert taken(table) == [("added", deployment("a", 101))]


def test_what_changes_back_before_it_is_reported_is_not_reported() -> None:
    table = table_of(deployment("a", 100))
    table.merge([deployment("a", 101, "UPDATING"), deployment("b", 101)])
    table.merge_one("b", None)
    table.replace([deployment("a", 100)])
    table.merge_one("a", deployment("a", 100))
    assert taken(table) == []


class Server:
    """Responds to lists of everything with some deployments, and to reads with others."""

    def __init__(self, listed: Sequence[types.Deployment], existing: Sequence[types.Deployment]) -> None:
        self.listed = listed
        self.existing = {each.spec.id: each for each in existing}
        self.reads = 0

    def list(self, after: Timestamp | None) -> Flow[Sequence[types.Deployment]]:
        yield Sleep(0)
        return self.listed if after is None else []

    def get(self, id: str) -> Flow[types.Deployment]:
        yield Sleep(0)
        self.reads += 1
        if id not in self.existing:
            raise errors.NotFound("gone")
        return self.existing[id]

    def source(self) -> ResourceSource[types.Deployment]:
        return ResourceSource("deployment", types.Deployment, self.list, self.get)


def no_look(id: str) -> Flow[types.Gateway]:
    yield Sleep(0)
    raise errors.NotFound("gone")


@pytest.mark.parametrize("count", [3, 500])
def test_a_list_that_misses_many_is_believed_after_a_few_looks(count: int) -> None:
    every = [deployment(f"d{number}") for number in range(count)]
    server = Server(every, every)
    follower = Follower(server.source())
    FlowRunner([]).run(follower.poll(full=True))
    taken(follower.table)
    server.listed = []
    assert not FlowRunner([]).run(follower.poll(full=True))
    assert taken(follower.table) == []
    server.existing = {}
    server.reads = 0
    assert FlowRunner([]).run(follower.poll(full=True))
    assert [what for what, _ in taken(follower.table)] == ["removed"] * count
    assert server.reads <= 10


def test_a_server_that_was_set_back_is_believed_as_a_whole_after_a_few_looks() -> None:
    server = Server(*2 * [[deployment(f"d{number}", 200) for number in range(500)]])
    follower = Follower(server.source())
    FlowRunner([]).run(follower.poll(full=True))
    taken(follower.table)
    restored = [deployment(f"d{number}", 100, disabled=True) for number in range(500)]
    server.listed, server.existing = restored, {each.spec.id: each for each in restored}
    assert FlowRunner([]).run(follower.poll(full=True))
    assert sorted(what for what, _ in taken(follower.table)) == ["changed"] * 500
    assert all(follower.table.read(each.spec.id) == each for each in restored)
    assert server.reads <= 10


def test_a_doubt_that_a_failed_poll_left_does_not_undo_a_later_change() -> None:
    table = table_of(deployment("a", 100), deployment("b", 100))
    table.replace([deployment("a", 90), deployment("b", 90)])
    table.merge([deployment("a", 101, disabled=True)])
    assert table.merge_one("b", deployment("b", 90))
    table.settle(believe=True)
    assert table.read("a") == deployment("a", 101, disabled=True)


def test_failures_back_off_up_to_the_longest_interval_and_obey_the_server() -> None:
    clock = FakeClock(chance=0.0)
    schedule = Schedule(PollIntervals(1, 30, 300), clock.clock)
    assert (schedule.pause, schedule.age) == (0, None)
    pauses = list[float]()
    for _ in range(7):
        schedule.failed(0)
        pauses.append(schedule.pause)
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    schedule.failed(55)
    assert schedule.pause == 55
    schedule.polled(moving=True, full=True)
    clock.now += 1
    assert (schedule.pause, schedule.age) == (0, 1)


@pytest.mark.parametrize(("chance", "after"), [(0.0, 270), (0.5, 300), (1.0, 330)])
def test_everything_is_listed_again_with_jitter(chance: float, after: float) -> None:
    clock = FakeClock(chance)
    schedule = Schedule(PollIntervals(1, 30, 300), clock.clock)
    assert schedule.relist_is_due
    schedule.polled(moving=False, full=True)
    clock.now += after - 1
    assert not schedule.relist_is_due
    clock.now += 1
    assert schedule.relist_is_due


def test_each_kind_has_a_pace_of_its_own_and_one_that_fails_does_not_hold_up_the_others() -> None:
    clock = FakeClock(chance=0.0)
    seen: list[Exception] = []

    def down(after: Timestamp | None) -> Flow[Any]:
        yield Sleep(0)
        raise errors.Unavailable("down")

    good = Server([deployment("a")], [])
    bad = ResourceSource("gateway", types.Gateway, down, lambda _: down(None))
    sources: list[Any] = [bad, good.source()]
    following: Following[Any] = Following(sources, PollIntervals(1, 30, 300), seen.append, clock.clock)
    runner = FlowRunner([])
    first = runner.run(following.next())
    assert first is not None
    assert (first.type, len(seen), [*following.failures]) == ("added", 1, ["gateway"])


def test_failures_that_another_thread_reads_do_not_change_under_it() -> None:
    runner, state = FlowRunner([]), {"down": True}

    def sometimes(after: Timestamp | None) -> Flow[Sequence[types.Gateway]]:
        yield Sleep(0)
        if state["down"]:
            raise errors.Unavailable("down")
        return []

    source = ResourceSource("gateway", types.Gateway, sometimes, no_look)
    following: Following[Any] = Following([source], PollIntervals(1, 30, 300), None, runner.clock.clock)
    at_first = iter(following.failures.values())
    runner.run(following.poll())
    assert [*at_first] == []
    while_down = iter(following.failures.values())
    state["down"] = False
    runner.clock.now += 5
    runner.run(following.poll())
    assert [str(each) for each in while_down] == ["down [unavailable]"]
    assert following.failures == {}


def test_a_kind_that_never_rests_hides_no_other_from_a_slow_receiver() -> None:
    runner = FlowRunner([])

    def restless(after: Timestamp | None) -> Flow[Sequence[types.Gateway]]:
        yield Sleep(0)
        status = types.GatewayStatus(updated_at=Timestamp(seconds=int(runner.clock.now)))
        return [types.Gateway(spec=types.GatewaySpec(id=id_), status=status) for id_ in "gh"]

    sources: list[Any] = [
        ResourceSource("gateway", types.Gateway, restless, no_look),
        Server([deployment("a")], []).source(),
    ]
    following: Following[Any] = Following(sources, PollIntervals(1, 30, 300), None, runner.clock.clock)
    told = list[str]()
    for _ in range(7):
        change = runner.run(following.next())
        assert change is not None
        told.append(f"{change.kind} {change.type}")
        runner.clock.now += 5
    first = ["gateway added", "gateway added", "gateway synced"]
    assert told == [*first, "deployment added", "deployment synced", "gateway changed", "gateway changed"]


def test_a_cache_counts_as_synced_only_when_its_views_show_what_there_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "cwinference")
    every = [deployment("a"), deployment("b")]
    runner = FlowRunner([])
    core = CacheCore(Following([Server(every, every).source()], PollIntervals(1, 30, 300), None, runner.clock.clock))
    seen = list[tuple[bool, int]]()

    class Reader(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append((core.is_synced, len(core.views["deployment"])))

    logger, reader = logging.getLogger("cwinference"), Reader()
    logger.addHandler(reader)
    try:
        runner.run(core.turn())
    finally:
        logger.removeHandler(reader)
    assert seen == [(False, 0)]  # while "2 found" is logged, which is before the views are there
    assert (core.is_synced, len(core.views["deployment"])) == (True, 2)


def view_of(*deployments: types.Deployment) -> tuple[Any, KnownTable[types.Deployment]]:
    table = KnownTable("deployment", types.Deployment)
    table.replace(deployments)
    return updated(empty_view(DeploymentView, table), table), table


def updated(view: Any, table: KnownTable[types.Deployment]) -> Any:
    changes = list[Change[types.Deployment]]()
    while (change := table.take()) is not None:
        changes.append(change)
    return view_after(view, {**table.reported}, changes)


def test_a_view_finds_the_newest_of_a_name_and_follows_what_moves() -> None:
    old = deployment("old", state="DELETING", gateway_ids=["G1"], model={"name": "m1"})
    old.spec.name = "same"
    view, table = view_of(old)
    new = deployment("new", 101, gateway_ids=["g1", "g2"], model={"name": "m1"})
    new.spec.name = "same"
    table.merge([new])
    later = updated(view, table)
    assert (view.named("same"), later.named("same")) == (old, new)
    assert later.of_gateway("g1") == later.of_model("m1") == [old, new]
    moved = deployment("new", 102, gateway_ids=["g2"], model={"name": "m2"})
    table.merge([moved])
    table.merge_one("old", None)
    last = updated(later, table)
    assert (last.named("same"), last.named("new")) == (None, moved)
    assert (last.of_gateway("G1"), last.of_gateway("g2"), last.of_model("m2")) == ([], [moved], [moved])
    assert later.of_gateway("g1") == [old, new]

"""A watch over seeded histories of a server: in the end it shows what the server has, and tells nothing twice.

`CWINFERENCE_HISTORIES` is the number of histories; `make soak` runs 10,000.
"""

import asyncio
import os
from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.message import Message

from cwinference import Change, types
from cwinference._calls.flow import Flow, Sleep
from cwinference.following._following import Following, ResourceSource
from cwinference.following._schedule import PollIntervals
from tests.support.changing_server import ChangingServer

HISTORIES = int(os.environ.get("CWINFERENCE_HISTORIES", "1000"))
BATCHES = 20
INTERVALS = PollIntervals(shortest=1.0, longest=10.0, relist=60.0)
AT_REST = 2.5 * INTERVALS.relist
"""A state that lasts this long is seen, whatever is lost."""


class Observer:
    """Follows a server and writes down what is reported to it."""

    def __init__(self, seed: int) -> None:
        self.server = ChangingServer(seed)
        source = ResourceSource("deployment", types.Deployment, self.server.list, self.server.get)
        intervals = replace(INTERVALS, relist=10_000.0) if self.server.is_orderly else INTERVALS
        self.following = Following([source], intervals, None, self.server.clock)
        self.reported: dict[str, list[bytes]] = defaultdict(list)
        self.view: dict[str, bytes] = {}
        self.synced = 0

    def run(self) -> None:
        """Watch until it has long been quiet; the receiver is slow at times, and interrupts the watch."""
        chance = self.server.random
        end = self.server.busy_until + AT_REST + 60
        while self.server.now < end:
            change = self._step(end)
            if change is not None:
                self._note(change)
                if chance.random() < 0.1:
                    self.server.pass_time(chance.choice([0.1, 5.0, 30.0]))

    def _step(self, end: float) -> Change[Any] | None:
        flow = self.following.next()
        try:
            step: Any = next(flow)
            while self.server.now < end:
                assert isinstance(step, Sleep)
                self.server.pass_time(step.seconds)
                if self.server.random.random() < 0.01:
                    interrupt(flow)
                    return None
                step = flow.send(None)
        except StopIteration as done:
            change: Change[Any] = done.value
            return change
        flow.close()
        return None

    def _note(self, change: Change[Any]) -> None:
        if change.type == "synced":
            self.synced += 1
            return
        assert change.resource is not None
        key, data = change.resource.spec.id, serialized(change.resource)
        before = None if change.before is None else serialized(change.before)
        assert self.view.pop(key, None) == before
        if change.type == "removed":
            self.reported[key].append(b"")
            return
        assert (change.type == "added") is (before is None)
        assert data != before
        self.view[key] = data
        self.reported[key].append(data)


def interrupt(flow: Flow[Any]) -> None:
    with pytest.raises(asyncio.CancelledError):
        flow.throw(asyncio.CancelledError())


def observe(seed: int) -> Observer:
    observer = Observer(seed)
    try:
        observer.run()
        check(observer)
    except AssertionError as error:
        raise AssertionError(f"history {seed}: {error}") from error
    return observer


def serialized(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


def check(observer: Observer) -> None:
    server = observer.server
    assert observer.view == {key: serialized(each) for key, each in server.live.items()}
    assert observer.synced == 1
    for key, versions in server.versions.items():
        reported = observer.reported[key]
        ends = [began for began, _ in versions[1:]] + [server.now]
        at_rest = [data for (began, data), ended in zip(versions, ends, strict=True) if ended - began > AT_REST]
        assert all(data in reported for data in at_rest if data or reported), f"{key}: a state at rest was not reported"
        # What was before is not reported after what came later, unless it came again.
        position = -1
        contents = [data for _, data in versions]
        for data in reported:
            assert data in contents[position + 1 :], f"{key}: reported again, or never so"
            position = contents.index(data, position + 1)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_watch_ends_with_what_the_server_has_and_reports_nothing_twice(batch: int) -> None:
    for seed in range(batch, HISTORIES, BATCHES):
        observe(seed)

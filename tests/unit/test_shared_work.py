"""Work that several callers need at the same time: one does it, the others wait, but not for long."""

import asyncio
import os
import threading
from typing import Any

import pytest

from cwinference._calls import shared_work
from cwinference._calls.drivers import AsyncDriver, SyncDriver
from cwinference._calls.flow import Flow, RunFunction
from cwinference._calls.shared_work import SharedWork

NO_CONTEXT: Any = None
"""Nothing here makes a call."""


class Work:
    """Counts how often it was done; it can be held."""

    def __init__(self) -> None:
        self.shared = SharedWork()
        self.begun = 0
        self.is_done = False
        self.release = asyncio.Event()

    def do(self, seconds: float | None = None, *, held: bool = False) -> Flow[None]:
        def work(has_waited: bool) -> Flow[None]:
            self.begun += 1
            if held:
                yield RunFunction(lambda: None, self.release.wait)
            self.is_done = True

        return self.shared.do(lambda: self.is_done, work, seconds)

    async def run(self, *arguments: Any, **options: Any) -> None:
        await AsyncDriver(NO_CONTEXT)._drive(self.do(*arguments, **options))

    def run_sync(self, *arguments: Any, **options: Any) -> None:
        SyncDriver(NO_CONTEXT)._drive(self.do(*arguments, **options))


async def test_whoever_has_waited_long_enough_does_the_work_too_and_later_ones_wait_for_that() -> None:
    work = Work()
    first = asyncio.create_task(work.run(held=True))
    await asyncio.sleep(0)
    await work.run(0.04)  # a quarter of it is waited
    assert (work.begun, work.is_done) == (2, True)
    await work.run()
    assert work.begun == 2
    work.release.set()
    await first


async def test_what_nobody_ended_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work()
    flow = work.do(held=True)
    next(flow)  # and never goes on, as on a loop that was stopped
    monkeypatch.setattr(shared_work, "_PATIENCE", 0.01)
    await work.run()
    assert work.begun == 2
    assert work.shared._current is None
    flow.close()


def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work()
    flow = work.do(held=True)
    next(flow)
    child = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: child)
    thread = threading.Thread(target=work.run_sync)
    thread.start()
    thread.join(1)
    assert work.begun == 2
    flow.close()


def test_a_callback_of_the_work_does_it_itself() -> None:
    work = Work()
    flow = work.do(held=True)
    next(flow)
    work.run_sync()
    assert work.begun == 2
    flow.close()

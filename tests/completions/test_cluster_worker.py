"""A worker of a cluster without the cluster: what it sends, and what it makes of the limit that all workers share."""

import asyncio
import threading
import time
from concurrent.futures import Future
from itertools import chain
from typing import Any

from cwinference import Retry, errors
from cwinference.inference._auto_limit import START
from cwinference.inference._auto_limiter import Limit
from cwinference.inference._model_server import CheckedBody
from cwinference.inference._request import CompletionRequest
from cwinference.inference.batch.requests import completion_of, completion_request
from cwinference.ray._limit import SharedLimit
from cwinference.ray._sharing import Demand, Done, Grant, Sharing
from cwinference.ray._target import Target
from cwinference.ray._worker import Worker
from tests.support.batch_files import batch_request, echo
from tests.support.ray_cluster import wait_until
from tests.support.scripted_model_server import HttpRequest, ScriptedModelServer, ScriptedResponse, json_response


def requests(count: int) -> list[CompletionRequest]:
    return [completion_request(*completion_of(batch_request(number)["body"])) for number in range(count)]


class FakeKeeper:
    """The limit's actor as workers see it, but in this process."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.sharing = Sharing(limit, time.monotonic())
        self.errors: list[Exception] = []
        self.paused = set[str]()
        """The workers that have reported since they knew of a pause, so that they keep it."""
        self._informed = set[str]()
        self._version = 0
        self._changed = threading.Condition()

    def report(self, demand: Demand, version: int) -> tuple[Grant, int]:
        """Return what a worker gets, as soon as there is news, or after a moment, as the actor does."""
        with self._changed:
            if version == self._version:
                self._changed.wait(0.01)
            self.paused |= self._informed & {demand.worker}
            grant = self.sharing.report(demand, time.monotonic())
            if grant.pause:
                self._informed.add(demand.worker)
            return grant, self._version

    def refuse(self, pause: float, age: float) -> None:
        with self._changed:
            if self.sharing.refuse(pause, time.monotonic(), age):
                self._notify()

    def stop(self, error: Exception) -> None:
        with self._changed:
            self.errors.append(error)
            self.sharing.stop = "stopped"
            self._notify()

    def _notify(self) -> None:
        self._version += 1
        self._changed.notify_all()


class _Reference:
    """What a call of an actor returns."""

    def __init__(self, call: Any) -> None:
        self._future: Future[Any] = Future()

        def run() -> None:
            self._future.set_result(call())

        threading.Thread(target=run).start()

    def future(self) -> "Future[Any]":
        return self._future


class _Method:
    def __init__(self, method: Any) -> None:
        self._method = method

    def remote(self, *arguments: Any) -> _Reference:
        return _Reference(lambda: self._method(*arguments))


class _Handle:
    def __init__(self, keeper: FakeKeeper) -> None:
        self._keeper = keeper

    def __getattr__(self, name: str) -> _Method:
        return _Method(getattr(self._keeper, name))


def shared(keeper: FakeKeeper) -> SharedLimit:
    limit = object.__new__(SharedLimit)
    limit.limit, limit.keeper = keeper.limit, _Handle(keeper)
    return limit


class Busy:
    """Echoes once it has had as many requests at the same time as expected, and notes how many it had at most.

    With `seconds`, each then really takes so long, for who measures how long they take.
    """

    def __init__(self, expected: int, seconds: float = 0.0) -> None:
        self.now = self.most = 0
        self._expected = expected
        self._seconds = seconds
        self._had_them = threading.Event()
        self._lock = threading.Lock()

    def __call__(self, request: HttpRequest) -> ScriptedResponse:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
            if self.now == self._expected:
                self._had_them.set()
        self._had_them.wait(60)
        time.sleep(self._seconds)
        with self._lock:
            self.now -= 1
        return echo(request)


async def test_a_worker_has_as_many_requests_in_flight_as_it_may_and_an_outcome_for_each() -> None:
    busy = Busy(3)
    with ScriptedModelServer(busy) as server:
        outcomes = await Worker(Target(base_url=server.url), 3).ask(requests(12))

    assert [isinstance(each, CheckedBody) and b"text" in each.content for each in outcomes] == [True] * 12
    assert busy.most == 3


async def test_workers_share_one_limit() -> None:
    busy, keeper = Busy(4), FakeKeeper(4)
    with ScriptedModelServer(busy) as server:
        workers = [Worker(Target(base_url=server.url), shared(keeper), may_end_run=True) for _ in range(3)]
        outcomes = await asyncio.gather(*(each.ask(requests(15)) for each in workers))
        workers[0].note(Done(failed=2, tokens=(1, 2, 3)))
        await asyncio.to_thread(wait_until, lambda: keeper.sharing.done == Done(45, 2, (1, 2, 3)))

    assert all(isinstance(each, CheckedBody) for each in chain(*outcomes))
    assert busy.most == 4


async def test_workers_find_out_together_how_many_requests_the_server_takes() -> None:
    busy, keeper = Busy(START, seconds=0.02), FakeKeeper("auto")
    with ScriptedModelServer(busy) as server:
        workers = [Worker(Target(base_url=server.url), shared(keeper), may_end_run=True) for _ in range(2)]
        outcomes = await asyncio.gather(*(each.ask(requests(300)) for each in workers))

    assert all(isinstance(each, CheckedBody) for each in chain(*outcomes))
    assert START < busy.most <= keeper.sharing._number.most


async def test_a_refusal_that_one_worker_gets_pauses_the_others() -> None:
    """All keep a real pause, of the one second that is the shortest that a server can ask for."""
    times, lock, keeper = list[float](), threading.Lock(), FakeKeeper(6)

    def respond(request: HttpRequest) -> ScriptedResponse:
        with lock:
            times.append(time.monotonic())
            number = len(times)
        if number == 10:
            return json_response({"error": {"message": "slow down"}}, 429, retry_after="1")
        if number > 10:  # so that all still have requests to send when they pause
            wait_until(lambda: len(keeper.paused) == 3)
        return echo(request)

    with ScriptedModelServer(respond) as server:
        workers = [Worker(Target(base_url=server.url), shared(keeper), may_end_run=True) for _ in range(3)]
        outcomes = await asyncio.gather(*(each.ask(requests(20)) for each in workers))

    assert all(isinstance(each, CheckedBody) for each in chain(*outcomes))
    refused = times[9]
    sent_before = 10 + 5  # the others were in flight
    assert [each - refused for each in times[sent_before:] if each < refused + 0.95] == []
    assert len(times) == 61


async def test_a_refused_token_ends_the_run_and_a_refused_request_does_not() -> None:
    def respond(request: HttpRequest) -> ScriptedResponse:
        text = request.body["messages"][-1]["content"]
        return json_response({"error": {"message": "no"}}, 401 if text == "text 3" else 400)

    keeper = FakeKeeper(1)
    with ScriptedModelServer(respond) as server:
        worker = Worker(Target(base_url=server.url, retry=Retry()), shared(keeper), may_end_run=True)
        outcomes = await worker.ask(requests(8))

        assert [type(each) for each in outcomes[:3]] == [errors.InvalidArgument] * 3
        assert outcomes[5:] == [None] * 3  # the one after the refusal was on its way
        assert len(server.requests) <= 5
        assert await worker.ask(requests(2)) == [None, None]
    assert [type(each) for each in keeper.errors] == [errors.Unauthenticated]

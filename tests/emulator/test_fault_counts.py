"""Faults with a probability hit different calls, and each counts the calls that it really happened to."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from cwinference.emulator.faults.faults import Faults
from cwinference.emulator.faults.responses import garbage, oversized
from tests.support.client_kinds import TOKEN
from tests.support.emulated_protocols import ROOT, ApiServer, HttpResponse, ScriptedApi
from tests.support.faulty_emulator import FaultyEmulator, faulty_emulator

KINDS: list[Any] = ["error", "garbage", "page"]


@pytest.fixture(scope="module")
def _running() -> Iterator[FaultyEmulator]:
    with faulty_emulator() as running:
        yield running


@pytest.fixture
def server(_running: FaultyEmulator) -> FaultyEmulator:
    _running.faults.clear()
    return _running


def call(server: FaultyEmulator, path: str = "/gateways", token: str | None = TOKEN) -> HttpResponse:
    return ApiServer(ScriptedApi(), server.port).http("GET", ROOT + path, token=token)


@pytest.mark.parametrize("seed", [0, 7])
def test_faults_with_the_same_seed_hit_different_calls(seed: int) -> None:
    faults = Faults()
    added = [faults.add(kind, probability=0.05, seed=seed) for kind in KINDS]
    hits = [faults.triggered_by("ListGateways", "/") for _ in range(4000)]
    for fault in added:
        assert 120 < sum(fault in each for each in hits) < 280
    assert sum(len(each) > 1 for each in hits) < 80


def test_a_run_can_be_repeated() -> None:
    def hits(faults: Faults) -> list[list[str]]:
        faults.clear()
        for kind in KINDS:
            faults.add(kind, probability=0.3)
        return [[each.kind for each in faults.triggered_by(None, "/")] for _ in range(100)]

    faults = Faults()
    assert hits(faults) == hits(faults) == hits(Faults())


def test_all_faults_of_the_same_probability_are_seen(server: FaultyEmulator) -> None:
    error, page = server.faults.add("error", probability=0.2), server.faults.add("page", probability=0.2, status=418)
    statuses = [call(server).status for _ in range(200)]
    assert (statuses.count(503), statuses.count(418)) == (error.happened, page.happened)
    assert error.happened > 10
    assert page.happened > 10


def test_a_fault_that_another_one_prevents_does_not_count(server: FaultyEmulator) -> None:
    kinds: list[Any] = ["page", "error", "delay", "duplicate", "content_type", "garbage"]
    added = [server.faults.add(kind) for kind in kinds]
    assert call(server).status == 502
    assert [each.happened for each in added] == [1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("kind", ["error", "duplicate", "skew"])
def test_a_fault_of_a_method_that_is_not_run_does_not_count(server: FaultyEmulator, kind: Any) -> None:
    fault = server.faults.add(kind)
    assert call(server, token=None).status == 401
    assert call(server, "/none").status == 404
    assert fault.happened == 0
    call(server)
    assert fault.happened == 1


@pytest.mark.parametrize("kind", ["content_type", "garbage", "drip"])
def test_a_fault_of_a_response_counts_once_when_there_is_one(server: FaultyEmulator, kind: Any) -> None:
    options: dict[str, Any] = {"seconds": 0} if kind == "drip" else {}
    fault, cut = server.faults.add(kind, **options), server.faults.add("cut", when="before", times=1)
    with pytest.raises(ConnectionError):
        call(server)
    assert (fault.happened, cut.happened) == (0, 1)
    call(server, token=None)
    assert (fault.happened, cut.happened) == (1, 1)


def test_times_limits_the_calls(server: FaultyEmulator) -> None:
    fault = server.faults.add("error", times=2)
    assert [call(server).status for _ in range(4)] == [503, 503, 200, 200]
    assert fault.happened == 2


@pytest.mark.parametrize("make", [garbage, oversized])
async def test_a_client_that_refuses_the_announced_length_finds_the_fault_counted(make: Any) -> None:
    fault = Faults().add(make.__name__, size=1000)
    counts: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})

    async def send(_: Any) -> None:
        counts.append(fault.happened)

    scope: Any = {"headers": [], "state": {"connection": SimpleNamespace(closed=False)}}
    await make(fault, app)(scope, None, send)

    assert {*counts} == {1}

"""Gates that judge a new deployment by the completions that users get."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from cwinference import AsyncClient, Client, errors, gates
from tests.support.ready_gateways import MODEL, ReadyGateway, deploy, ready_gateway

REQUESTS: list[dict[str, Any]] = [
    {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3},
    {"model": MODEL, "prompt": "Hi", "max_tokens": 3},
] * 5


@pytest.fixture
def kind() -> str:
    """Do not run once for each transport: completions have one of their own."""
    return ""


@pytest.fixture(scope="module")
def _ready() -> Generator[ReadyGateway]:
    with ready_gateway() as opened:
        deploy(opened.client, opened.gateway, "v2", wait=True)
        yield opened


@pytest.fixture
def ready(_ready: ReadyGateway) -> ReadyGateway:
    _ready.emulator.faults.clear()
    for each in _ready.client.deployments.list():
        weight = {"one": 100}.get(each.spec.name, 0)
        _ready.client.deployments.modify(each.spec.id, traffic={"weight": weight}, wait=True)
    return _ready


async def outcome(
    mode: str, ready: ReadyGateway, folder: Path, *, requests: Any = REQUESTS, patience: float = 9, **limits: Any
) -> str:
    """Run a rollout with a probe as its gate, and return how it ended."""
    how: dict[str, Any] = {
        "replaces": "one",
        "journal": folder / "j.json",
        "steps": (50, 100),
        "soak": 0,
        "patience": patience,
    }
    token, endpoint = ready.emulator.token, ready.emulator.endpoint
    if mode == "sync":
        with Client(token, endpoint=endpoint) as client, client.inference(ready.gateway) as inference:
            return client.rollout("v2", **how, gate=gates.probe(inference, requests, **limits)).run()
    async with AsyncClient(token, endpoint=endpoint) as other, other.inference(ready.gateway) as front:
        return await other.rollout("v2", **how, gate=gates.probe(front, requests, **limits)).run()


MODES = pytest.mark.parametrize("mode", ["sync", "async"])


@MODES
async def test_a_good_one_is_promoted(mode: str, ready: ReadyGateway, tmp_path: Path) -> None:
    assert await outcome(mode, ready, tmp_path, min_samples=5, max_first_token=30) == "promoted"


@MODES
async def test_one_that_fails_is_reverted_though_the_old_one_does_well(
    mode: str, ready: ReadyGateway, tmp_path: Path
) -> None:
    ready.emulator.faults.add("error", deployment="v2", probability=0.5, code="internal")
    assert await outcome(mode, ready, tmp_path, min_samples=5, max_error_rate=0.1) == "reverted"


@MODES
@pytest.mark.parametrize("fault", ["cut", "garbage", "page"])
async def test_broken_responses_are_failures_too(fault: Any, mode: str, ready: ReadyGateway, tmp_path: Path) -> None:
    ready.emulator.faults.add(fault, deployment="v2")
    assert await outcome(mode, ready, tmp_path, min_samples=5) == "reverted"


@MODES
async def test_failures_of_the_old_one_do_not_count(mode: str, ready: ReadyGateway, tmp_path: Path) -> None:
    ready.emulator.faults.add("error", deployment="one", code="internal")
    assert await outcome(mode, ready, tmp_path, min_samples=5) == "promoted"


@MODES
async def test_one_that_is_slow_is_reverted(mode: str, ready: ReadyGateway, tmp_path: Path) -> None:
    ready.emulator.faults.add("delay", deployment="v2", seconds=0.3)
    assert await outcome(mode, ready, tmp_path, min_samples=2, max_first_token=0.2, requests=REQUESTS[:4]) == "reverted"


@MODES
async def test_without_enough_samples_nothing_passes(mode: str, ready: ReadyGateway, tmp_path: Path) -> None:
    assert await outcome(mode, ready, tmp_path, requests=REQUESTS[:2], min_samples=1000, patience=0) == "paused"


@MODES
async def test_a_token_that_is_refused_says_nothing_about_a_deployment(
    mode: str, ready: ReadyGateway, tmp_path: Path
) -> None:
    ready.emulator.faults.add("error", deployment="v2", code="unauthenticated")
    with pytest.raises(errors.Unauthenticated):
        await outcome(mode, ready, tmp_path, min_samples=5)
    assert [each.spec.traffic.weight for each in ready.client.deployments.list()] == [50, 50], "it is paused"

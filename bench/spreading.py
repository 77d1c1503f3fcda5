"""Several endpoints in one `Inference`, hedges, and limits that find themselves."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from cwinference.inference import AsyncInference

from ._case import Case, Effort
from ._measure import ratio_async
from ._peer import TOKEN, Peer
from ._slow_models import SlowModels, late_now_and_then, running_models

_MESSAGES: list[Any] = [{"role": "user", "content": "Say twelve words, please."}]
_DEAD = "http://127.0.0.1:9"
_HOLDS = 64
_SECONDS = 0.1


def _asking(client: AsyncInference) -> Callable[[], Coroutine[Any, Any, object]]:
    async def ask() -> object:
        return (await client.chat.completions.create(model="acme/model", messages=_MESSAGES)).text

    return ask


def _urls(peer: Peer) -> tuple[str, str]:
    """Return two URLs of the same server, so that both sides find it equally busy."""
    one = f"{peer.url}/burst"
    return one, one.replace("127.0.0.1", "localhost")


def _two(peer: Peer, effort: Effort) -> list[float]:
    async def measure() -> list[float]:
        one, two = _urls(peer)
        async with AsyncInference([one, two], token=TOKEN) as both, AsyncInference(one, token=TOKEN) as single:
            return await ratio_async(_asking(both), _asking(single), 32, effort.calls, effort.pairs)

    return asyncio.run(measure())


def _dead(peer: Peer, effort: Effort) -> list[float]:
    """Measure the median latency if one of two is dead, relative to both alive; a failed request would raise."""

    async def measure() -> list[float]:
        one, two = _urls(peer)
        async with AsyncInference([one, _DEAD], token=TOKEN) as half, AsyncInference([one, two], token=TOKEN) as both:
            ours, theirs = _asking(half), _asking(both)
            for _ in range(50):
                await ours()
                await theirs()
            return [await _p50_ratio(ours, theirs, effort.calls // 4) for _ in range(effort.pairs)]

    return asyncio.run(measure())


async def _p50_ratio(ours: Any, theirs: Any, calls: int) -> float:
    times: tuple[list[float], list[float]] = [], []
    for _ in range(calls):
        for ask, found in zip((ours, theirs), times, strict=True):
            before = time.perf_counter()
            await ask()
            found.append(time.perf_counter() - before)
    mine, its = (sorted(each)[len(each) // 2] for each in times)
    return mine / its


def _auto() -> tuple[float, float]:
    """Return the rate with limit="auto" relative to the best one, and the share of refused requests."""

    async def rate(models: SlowModels, limit: Any, settle: float) -> tuple[float, float]:
        async with AsyncInference(models.url, limit=limit) as client:
            done, ends = [0], time.perf_counter() + settle + 8

            async def work() -> None:
                ask = _asking(client)
                while time.perf_counter() < ends:
                    await ask()
                    done[0] += 1

            workers = [asyncio.ensure_future(work()) for _ in range(2 * _HOLDS)]
            await asyncio.sleep(settle)
            before, requests, refused = done[0], models.requests, models.refused
            await asyncio.sleep(8)
            result = (done[0] - before) / 8, (models.refused - refused) / (models.requests - requests)
            await asyncio.gather(*workers)
            return result

    models = SlowModels(lambda: _SECONDS, _HOLDS)
    with running_models(models):
        best, _ = asyncio.run(rate(models, _HOLDS, 1))
        found, refused = asyncio.run(rate(models, "auto", 8))
    return found / best, refused


def _auto_rate(_peer: Peer, _effort: Effort) -> list[float]:
    return [_auto()[0]]


def _auto_refused(_peer: Peer, _effort: Effort) -> list[float]:
    return [_auto()[1]]


def _p99_of(*, hedge_after: float | None) -> float:
    async def measure(urls: list[str]) -> float:
        async with AsyncInference(urls, hedge_after=hedge_after) as client:
            ask, times = _asking(client), list[float]()

            async def work() -> None:
                for _ in range(125):
                    before = time.perf_counter()
                    await ask()
                    times.append(time.perf_counter() - before)

            await asyncio.gather(*(work() for _ in range(16)))
            return sorted(times)[int(0.99 * len(times))]

    models = [SlowModels(late_now_and_then(0.02, 1.0, 0.02)) for _ in range(2)]
    with running_models(*models):
        return asyncio.run(measure([each.url for each in models]))


def _hedges(_peer: Peer, _effort: Effort) -> list[float]:
    return [_p99_of(hedge_after=0.1) / _p99_of(hedge_after=None)]


CASES = [
    Case("two_endpoints", "ratio", 1.03, _two, against="one endpoint"),
    Case("dead_endpoint_p50", "ratio", 1.01, _dead, against="both alive; here one of two is dead, no request may fail"),
    Case("limit_auto_rate", "of the best rate", 0.9, _auto_rate, at_least=True, against="limit=64"),
    Case("limit_auto_refused", "of the requests", 0.02, _auto_refused, against="a server that holds 64"),
    Case(
        "hedge_p99",
        "ratio",
        0.5,
        _hedges,
        against="no hedges; 2 % of the responses are late",
    ),
]

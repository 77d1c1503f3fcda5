"""Completions, compared with bare pyqwest, json and a plain event splitter, and with the openai package."""

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median
from typing import Any

import openai
import pyqwest

from cwinference.inference import AsyncInference

from ._case import Case, Effort
from ._measure import AsyncCall, cpu, in_flight, ratio_async
from ._peer import TOKEN, Peer

_MODEL = "acme/model"
_MESSAGES: list[Any] = [{"role": "user", "content": "Say twelve words, please."}]
_HEADERS = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
_EVENTS = 500
_BURST, _SINGLE = "/burst", "/single"


def _ours(peer: Peer, route: str = _BURST, **options: Any) -> AsyncInference:
    return AsyncInference(peer.url + route, token=TOKEN, limit=1000, **options)


def _bare_client() -> pyqwest.Client:
    return pyqwest.Client(
        pyqwest.HTTPTransport(http_version=pyqwest.HTTPVersion.HTTP1, pool_max_idle_per_host=1000, enable_otel=False)
    )


def _body(**more: Any) -> bytes:
    return json.dumps({"model": _MODEL, "messages": _MESSAGES, **more}, separators=(",", ":")).encode()


def _plain(at_once: int) -> Any:
    async def measure(peer: Peer, effort: Effort) -> list[float]:
        bare = _bare_client()
        url = f"{peer.url}{_BURST}/v1/chat/completions"

        async def theirs() -> object:
            response = await bare.post(url, headers=_HEADERS, content=_body())
            return json.loads(response.content)["choices"][0]["message"]["content"]

        async with _ours(peer) as client:

            async def ours() -> object:
                return (await client.chat.completions.create(model=_MODEL, messages=_MESSAGES)).text

            return await ratio_async(ours, theirs, at_once, effort.calls, effort.pairs)

    return lambda peer, effort: asyncio.run(measure(peer, effort))


def _against_openai(peer: Peer, effort: Effort) -> list[float]:
    async def measure() -> list[float]:
        async with (
            openai.AsyncOpenAI(api_key=TOKEN, base_url=f"{peer.url}{_BURST}/v1", max_retries=0) as theirs_client,
            _ours(peer) as client,
        ):

            async def theirs() -> object:
                response = await theirs_client.chat.completions.create(model=_MODEL, messages=_MESSAGES)
                return response.choices[0].message.content

            async def ours() -> object:
                return (await client.chat.completions.create(model=_MODEL, messages=_MESSAGES)).text

            return await ratio_async(ours, theirs, 500, 1000, max(3, effort.pairs // 3))

    return asyncio.run(measure())


def _burst(peer: Peer, effort: Effort) -> list[float]:
    """Measure streams of which all events arrive at once, as the ratio of `ours` to `theirs`."""
    return _streams(peer, _BURST, 1, 20, effort.pairs)


async def _split(response: Any) -> AsyncIterator[str]:
    """Split server-sent events in the plainest way, for comparison."""
    incomplete = b""
    async for piece in response.content:
        *events, incomplete = (incomplete + bytes(piece)).split(b"\n\n")
        for event in events:
            data = event.removeprefix(b"data: ")
            if data == b"[DONE]":
                return
            yield json.loads(data)["choices"][0]["delta"]["content"]


def _single(peer: Peer, effort: Effort) -> list[float]:
    """Measure eight concurrent streams with one event every 2 ms, likewise."""
    return _streams(peer, _SINGLE, 8, 8, max(3, effort.pairs // 2))


def _streams(peer: Peer, route: str, at_once: int, streams: int, pairs: int) -> list[float]:
    async def measure() -> list[float]:
        bare = _bare_client()
        url = f"{peer.url}{route}/v1/chat/completions"

        async def theirs() -> object:
            async with bare.stream("POST", url, headers=_HEADERS, content=_body(stream=True)) as response:
                return _checked([text async for text in _split(response)])

        async with _ours(peer, route) as client:

            async def ours() -> object:
                async with client.chat.completions.stream(model=_MODEL, messages=_MESSAGES) as stream:
                    return _checked([chunk.text async for chunk in stream])

            return await ratio_async(ours, theirs, at_once, streams, pairs)

    return asyncio.run(measure())


def _checked(texts: list[str]) -> str:
    text = "".join(texts)
    if len(text) != 5 * _EVENTS:
        raise AssertionError("the stream is incomplete")
    return text


def _first_token(peer: Peer, effort: Effort) -> list[float]:
    """Measure the additional milliseconds until the first text, `ours` minus `theirs`."""

    async def measure() -> list[float]:
        bare = _bare_client()
        url = f"{peer.url}{_BURST}/v1/chat/completions"

        async def theirs() -> None:
            async with bare.stream("POST", url, headers=_HEADERS, content=_body(stream=True)) as response:
                async for _ in _split(response):
                    return

        async with _ours(peer) as client:

            async def ours() -> None:
                async with client.chat.completions.stream(model=_MODEL, messages=_MESSAGES) as stream:
                    async for _ in stream:
                        return

            for call in (ours, theirs):
                await call()
            return [await _difference(ours, theirs, 40) for _ in range(effort.pairs)]

    return asyncio.run(measure())


async def _difference(ours: AsyncCall, theirs: AsyncCall, times: int) -> float:
    return 1000 * median([await _wall(ours) - await _wall(theirs) for _ in range(times)])


async def _wall(call: AsyncCall) -> float:
    before = time.perf_counter()
    await call()
    return time.perf_counter() - before


def _batch(peer: Peer, effort: Effort) -> list[float]:
    """Measure a batch's requests per second of CPU time, relative to plain calls with as many in flight."""
    count, at_once = 50 * effort.calls, 64

    async def measure(folder: Path) -> list[float]:
        async with _ours(peer) as client:

            async def ours() -> object:
                return (await client.chat.completions.create(model=_MODEL, messages=_MESSAGES)).text

            await in_flight(ours, at_once, count // 20)
            before = cpu()
            await in_flight(ours, at_once, count)
            between = cpu()
            requests = ({"model": _MODEL, "messages": _MESSAGES} for _ in range(count))
            await client.batch(requests, out=folder / "completions.jsonl", concurrency=at_once, progress=False)
            return [(between - before) / (cpu() - between)]

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(measure(Path(folder)))


_BARE = "pyqwest and json"
_SPLITTER = "pyqwest, a splitter and json"
CASES = [
    Case("completion_32", "ratio", 0.65, _plain(32), against=_BARE, guarded=True),
    Case("completion_500", "ratio", 0.7, _plain(500), against=_BARE),
    Case("completion_500_vs_openai", "ratio", 0.07, _against_openai, against="openai.AsyncOpenAI"),
    Case("sse_burst", "ratio", 0.6, _burst, against=_SPLITTER),
    Case("sse_single", "ratio", 0.9, _single, against=_SPLITTER),
    Case("batch_100000", "of the plain rate", 1.3, _batch, at_least=True, against="as many plain calls in flight"),
    Case("first_token", "ms added", 0.1, _first_token, against=_SPLITTER),
]

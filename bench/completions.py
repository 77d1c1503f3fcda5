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
    async def measure(peer: Peer, effort: Effort) -> float:
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


def _against_openai(peer: Peer, effort: Effort) -> float:
    async def measure() -> float:
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


def _burst(peer: Peer, effort: Effort) -> float:
    """Measure microseconds of CPU time per event when all events arrive at once."""

    async def measure() -> float:
        async with _ours(peer) as client:
            found = list[float]()
            for _ in range(effort.pairs):
                before = cpu()
                for _ in range(20):
                    async with client.chat.completions.stream(model=_MODEL, messages=_MESSAGES) as stream:
                        text = "".join([chunk.text async for chunk in stream])
                    if len(text) != 5 * _EVENTS:
                        raise AssertionError("the stream is incomplete")
                found.append((cpu() - before) / 20 / _EVENTS)
            return 1e6 * median(found)

    return asyncio.run(measure())


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


def _single(peer: Peer, effort: Effort) -> float:
    """Measure eight concurrent streams with one event every 2 ms, as the ratio of `ours` to `theirs`."""

    async def measure() -> float:
        bare = _bare_client()
        url = f"{peer.url}{_SINGLE}/v1/chat/completions"

        async def theirs() -> object:
            async with bare.stream("POST", url, headers=_HEADERS, content=_body(stream=True)) as response:
                return [text async for text in _split(response)]

        async with _ours(peer, _SINGLE) as client:

            async def ours() -> object:
                async with client.chat.completions.stream(model=_MODEL, messages=_MESSAGES) as stream:
                    return [chunk.text async for chunk in stream]

            return await ratio_async(ours, theirs, 8, 8, max(3, effort.pairs // 2))

    return asyncio.run(measure())


def _first_token(peer: Peer, effort: Effort) -> float:
    """Measure the additional milliseconds until the first text, `ours` minus `theirs`."""

    async def measure() -> float:
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

            differences = [await _wall(ours) - await _wall(theirs) for _ in range(40 * effort.pairs)]
            return 1000 * median(differences)

    return asyncio.run(measure())


async def _wall(call: AsyncCall) -> float:
    before = time.perf_counter()
    await call()
    return time.perf_counter() - before


def _batch(peer: Peer, effort: Effort) -> float:
    """Measure a batch's requests per second of CPU time, relative to plain calls with as many in flight."""
    count, at_once = 50 * effort.calls, 64

    async def measure(folder: Path) -> float:
        async with _ours(peer) as client:

            async def ours() -> object:
                return (await client.chat.completions.create(model=_MODEL, messages=_MESSAGES)).text

            await in_flight(ours, at_once, count // 20)
            before = cpu()
            await in_flight(ours, at_once, count)
            between = cpu()
            requests = ({"model": _MODEL, "messages": _MESSAGES} for _ in range(count))
            await client.batch(requests, out=folder / "completions.jsonl", concurrency=at_once, progress=False)
            return (between - before) / (cpu() - between)

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(measure(Path(folder)))


_BARE = "pyqwest and json"
CASES = [
    Case("completion_32", "ratio", 1.15, _plain(32), against=_BARE, guarded=True),
    Case("completion_500", "ratio", 1.15, _plain(500), against=_BARE),
    Case("completion_500_vs_openai", "ratio", 0.1, _against_openai, against="openai.AsyncOpenAI"),
    Case("sse_burst", "us CPU per event", 5, _burst),
    Case("sse_single", "ratio", 1.2, _single, against="pyqwest, a splitter and json"),
    Case("batch_100000", "of the plain rate", 0.9, _batch, at_least=True, against="as many plain calls in flight"),
    Case("first_token", "ms added", 0.3, _first_token, against="pyqwest, a splitter and json"),
]

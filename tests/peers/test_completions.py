"""Completions against model servers that others wrote, where they are installed: `make peers` does it and runs this."""

import subprocess
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from cwinference import Retry, errors
from tests.support.inference_kinds import Front, open_front

PROGRAMS = Path(__file__).parent.parent.parent / ".venv-peers" / "bin"
KINDS = ["sync-1", "async-1"]
KEY = "key-of-the-tests"

pytestmark = pytest.mark.skipif(not (PROGRAMS / "llmock").exists(), reason="`make peers` installs the servers")


@contextmanager
def serving(port: int, health: str, program: str, *arguments: str) -> Generator[str]:
    command = [str(PROGRAMS / program), "serve", "--host", "127.0.0.1", "--port", str(port), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        _await(process, url + health)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _await(process: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(url, timeout=5):  # noqa: S310 - our own address
                return
        except (URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"{process.args!r} does not answer")


@pytest.fixture(scope="module")
def simulator(simulator_port: int) -> Generator[str]:
    """xpyd-sim: shaped as vLLM."""
    quick = ["--prefill-delay-ms", "5", "--decode-delay-per-token-ms", "1", "--kv-transfer-delay-ms", "0"]
    with serving(
        simulator_port, "/health", "xpyd-sim", "--model", "org/model", "--require-api-key", KEY, *quick
    ) as url:
        yield url


@asynccontextmanager
async def mock(kind: str, port: int, *arguments: str, **settings: Any) -> AsyncGenerator[Front]:
    """llmock: a server that breaks on demand."""
    with serving(port, "/health", "llmock", "--response-style", "echo", *arguments) as url:
        async with open_front(kind, url, KEY, **settings) as front:
            yield front


@pytest.mark.parametrize("kind", KINDS)
async def test_the_simulator_is_asked_streamed_and_listed(kind: str, simulator: str) -> None:
    async with open_front(kind, simulator, KEY) as front:
        answer = await front.chat(max_tokens=20)
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
        stream = front.stream(max_tokens=20, stream_options={"include_usage": True})
        chunks = await front.read(stream)
        assert stream.text == "".join(chunk.text for chunk in chunks) != ""
        assert stream.usage.completion_tokens > 0
        assert (await front.complete(max_tokens=5, logprobs=1)).raw["choices"][0]["logprobs"]["tokens"]
        assert [model.id for model in await front.do(lambda inference: inference.models.list())] == ["org/model"]


@pytest.mark.parametrize("kind", KINDS)
async def test_the_simulators_refusals_have_their_classes(kind: str, simulator: str) -> None:
    async with open_front(kind, simulator, KEY) as front:
        with pytest.raises(errors.InvalidArgument, match="temperature"):
            await front.chat(temperature=99)
    async with open_front(kind, simulator, "wrong") as front:
        with pytest.raises(errors.Unauthenticated):
            await front.chat()
        with pytest.raises(errors.Unauthenticated):
            await front.read(front.stream())


@pytest.mark.parametrize("kind", KINDS)
async def test_the_mock_is_asked_and_streamed(kind: str, free_port: int) -> None:
    async with mock(kind, free_port) as front:
        answer = await front.chat(model="gpt-4o")
        chunks = await front.read(front.stream(model="gpt-4o"))
    assert "What is the capital of France?" in answer.text == "".join(chunk.text for chunk in chunks)


FAULTS: list[tuple[str, type[Exception]]] = [
    ("truncate", errors.StreamInterrupted),
    ("disconnect", errors.StreamInterrupted),
    ("stall", errors.StreamStalled),
    ("malformed", errors.ProtocolError),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("fault", "kind_of_error"), FAULTS)
async def test_the_mocks_broken_streams_end_in_time(
    kind: str, fault: str, kind_of_error: type[Exception], free_port: int
) -> None:
    async with mock(kind, free_port, "--stream-fault", f"{fault}=1") as front:
        with pytest.raises(kind_of_error) as caught:
            await front.read(front.stream(model="gpt-4o", first_token_timeout=1, idle_timeout=1))
    assert type(caught.value) is kind_of_error


@pytest.mark.parametrize("kind", KINDS)
async def test_the_mocks_failures_are_tried_again(kind: str, free_port: int) -> None:
    async with mock(kind, free_port, "--error-rate", "503=0.5") as front:
        for _ in range(5):
            await front.chat(model="gpt-4o", retry=Retry(max_attempts=20, max_backoff=0.1))
        stats = front.inference.stats()
    assert (stats.done, stats.failed) == (5, 0)

"""Completions against other projects' model servers. `make peers` installs them and runs this."""

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
from tests.support.inference_kinds import AnyInference, open_inference

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
        _wait_until_ready(process, url + health)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(url, timeout=5):  # noqa: S310 - our own address
                return
        except (URLError, OSError):
            time.sleep(0.1)  # nothing but its port says that a process is ready
    pytest.fail(f"{process.args!r} does not respond")


@pytest.fixture(scope="module")
def simulator(simulator_port: int) -> Generator[str]:
    """Run xpyd-sim, a simulator of vLLM."""
    quick = ["--prefill-delay-ms", "5", "--decode-delay-per-token-ms", "1", "--kv-transfer-delay-ms", "0"]
    with serving(
        simulator_port, "/health", "xpyd-sim", "--model", "org/model", "--require-api-key", KEY, *quick
    ) as url:
        yield url


@asynccontextmanager
async def mock(kind: str, port: int, *arguments: str, **settings: Any) -> AsyncGenerator[AnyInference]:
    """Run llmock, a server that injects faults, and yield an inference of it."""
    with serving(port, "/health", "llmock", "--response-style", "echo", *arguments) as url:
        async with open_inference(kind, url, KEY, **settings) as inference:
            yield inference


@pytest.mark.parametrize("kind", KINDS)
async def test_the_simulator_completes_streams_and_lists_its_models(kind: str, simulator: str) -> None:
    async with open_inference(kind, simulator, KEY) as inference:
        completion = await inference.chat(max_tokens=20)
        assert completion.usage is not None
        assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens > 0
        stream = inference.stream(max_tokens=20, stream_options={"include_usage": True})
        chunks = await inference.read(stream)
        assert stream.text == "".join(chunk.text for chunk in chunks) != ""
        assert stream.usage.completion_tokens > 0
        assert (await inference.complete(max_tokens=5, logprobs=1)).raw["choices"][0]["logprobs"]["tokens"]
        assert [model.id for model in await inference.run(lambda inference: inference.models.list())] == ["org/model"]


@pytest.mark.parametrize("kind", KINDS)
async def test_errors_of_the_simulator_have_their_classes(kind: str, simulator: str) -> None:
    async with open_inference(kind, simulator, KEY) as inference:
        with pytest.raises(errors.InvalidArgument, match="temperature"):
            await inference.chat(temperature=99)
    async with open_inference(kind, simulator, "wrong") as inference:
        with pytest.raises(errors.Unauthenticated):
            await inference.chat()
        with pytest.raises(errors.Unauthenticated):
            await inference.read(inference.stream())


@pytest.mark.parametrize("kind", KINDS)
async def test_the_mock_completes_and_streams(kind: str, free_port: int) -> None:
    async with mock(kind, free_port) as inference:
        completion = await inference.chat(model="gpt-4o")
        chunks = await inference.read(inference.stream(model="gpt-4o"))
    assert "What is the capital of France?" in completion.text == "".join(chunk.text for chunk in chunks)


FAULTS: list[tuple[str, type[Exception]]] = [
    ("truncate", errors.StreamInterrupted),
    ("disconnect", errors.StreamInterrupted),
    ("stall", errors.StreamStalled),
    ("malformed", errors.ProtocolError),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("fault", "error_class"), FAULTS)
async def test_broken_streams_of_the_mock_end_in_time(
    kind: str, fault: str, error_class: type[Exception], free_port: int
) -> None:
    async with mock(kind, free_port, "--stream-fault", f"{fault}=1") as inference:
        with pytest.raises(error_class) as caught:
            await inference.read(inference.stream(model="gpt-4o", first_token_timeout=1, idle_timeout=1))
    assert type(caught.value) is error_class


@pytest.mark.parametrize("kind", KINDS)
async def test_failures_of_the_mock_are_retried(kind: str, free_port: int) -> None:
    async with mock(kind, free_port, "--error-rate", "503=0.5") as inference:
        for _ in range(5):
            await inference.chat(model="gpt-4o", retry=Retry(max_attempts=20, max_backoff=0.1))
        stats = inference.wrapped.stats()
    assert (stats.done, stats.failed) == (5, 0)

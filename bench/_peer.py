"""The server side: a Go server with static responses (`bench/peer/main.go`), built here and started as needed."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

from google.protobuf.json_format import MessageToJson, ParseDict
from google.protobuf.message import Message

from cwinference import types

from ._cores import elsewhere

HERE = Path(__file__).parent
OUT = HERE / "out"
DOCS = HERE.parent / "docs"
TOKEN = "CW-SECRET-of-the-benchmarks"  # noqa: S105 - not a real credential
ID = "5b2d9c1e-7a44-4f0d-8b6a-91c3e5d7f002"
NAME = "Go net/http, static responses"

_COMPLETION = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1764000000, "model": "acme/model",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Two words. " * 18}}],
    "usage": {"prompt_tokens": 20, "completion_tokens": 36, "total_tokens": 56},
}  # fmt: skip
_EVENT = {
    "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1764000000, "model": "acme/model",
    "choices": [{"index": 0, "finish_reason": None, "delta": {"content": " word"}}],
}  # fmt: skip


class Peer:
    """A running server."""

    def __init__(self, port: int, start: Any) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._start = start

    def with_options(self, *options: str) -> Any:
        """Return a context manager that runs another server, with additional flags."""
        return self._start(*options)

    def connections(self) -> int:
        """Return the number of connections opened since the last call, not counting the one used for this request."""
        with urlopen(f"{self.url}/connections") as response:  # noqa: S310 - loopback
            return int(response.read()) - 1


@contextmanager
def running() -> Iterator[Peer]:
    """Build the server and run it."""
    with tempfile.TemporaryDirectory() as folder, _Builder(Path(folder)).start() as peer:
        yield peer


class _Builder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._program = OUT / "peer"
        OUT.mkdir(exist_ok=True)
        build = ["go", "build", "-trimpath", "-o", str(self._program), "."]
        subprocess.run(build, cwd=HERE / "peer", check=True, env={**os.environ, "CGO_ENABLED": "0"})
        for name, body in bodies().items():
            (folder / name).write_bytes(body)

    @contextmanager
    def start(self: Self, *options: str) -> Iterator[Peer]:
        command = [str(self._program), "-bodies", str(self._folder), *options]
        with elsewhere():
            process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "GOMAXPROCS": "2"})
        with process:
            assert process.stdout is not None
            try:
                yield Peer(int(process.stdout.readline()), self.start)
            finally:
                process.kill()


def bodies() -> dict[str, bytes]:
    one = types.GetDeploymentResponse(deployment=deployment(0))
    many = types.ListDeploymentsResponse(items=[deployment(number) for number in range(500)])
    huge = types.ListDeploymentsResponse(items=[deployment(number) for number in range(10_000)])
    return {
        "get.bin": one.SerializeToString(),
        "get.json": _json(one),
        "list.bin": many.SerializeToString(),
        "list.json": _json(many),
        "huge.bin": huge.SerializeToString(),
        "completion.json": json.dumps(_COMPLETION).encode(),
        "event.json": json.dumps(_EVENT).encode(),
    }


def deployment(number: int) -> types.Deployment:
    """Return one of the deployments that are listed."""
    sample = HERE.parent / "tests/samples/DeploymentService.GetDeployment.response.json"
    found: types.Deployment = ParseDict(json.loads(sample.read_text()), types.GetDeploymentResponse()).deployment
    found.spec.name = f"model-{number}"
    for time in (found.status.created_at, found.status.updated_at):
        time.seconds += 61 * number
    return found


def _json(message: Message) -> bytes:
    return MessageToJson(message, indent=None).encode()

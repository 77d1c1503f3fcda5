"""Every Python block of the README runs, each on its own, with what the text says it may use."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from google.protobuf.message import Message

from cwinference import Client, types

from .support import samples
from .support.clients import TOKEN
from .support.peer import Failure, Peer, Received

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text("utf-8")
BLOCKS = {
    f"line {TEXT.count(chr(10), 0, found.start()) + 1}": found[1]
    for found in re.finditer(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
}
UNKNOWN = "11111111-2222-4333-8444-555555555555"


class Server:
    """Answers by the samples, until something is deleted."""

    def __init__(self) -> None:
        self._gone = {UNKNOWN}

    def __call__(self, received: Received) -> Message | Failure:
        name: str = getattr(received.request, "id", "")
        if received.method.name.startswith("Delete"):
            self._gone.add(name)
        elif name in self._gone:
            return Failure("not_found", f"{name} not found")
        return samples.response_to(received.method)


@pytest.mark.parametrize("place", BLOCKS)
def test_a_block_of_the_readme_runs(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    block = BLOCKS[place]
    transport = "rest" if 'transport="rest"' in block or ".modify(" in block else "grpc"
    with Peer(transport, Server()) as peer:
        monkeypatch.setenv("COREWEAVE_API_TOKEN", TOKEN)
        monkeypatch.setenv("COREWEAVE_API_ENDPOINT", peer.endpoint)
        with Client() as client:
            given = {
                "client": client,
                "types": types,
                "gateway_id": "gateway",
                "deployment_id": "deployment",
                "my_store": SimpleNamespace(read=lambda name: TOKEN),
            }
            exec(compile(block, f"{README.name}, {place}", "exec"), given)  # noqa: S102 - our own README


def test_the_first_block_stands_on_the_first_screen() -> None:
    screen = "\n".join(TEXT.splitlines()[:24])
    assert next(iter(BLOCKS.values())) in screen

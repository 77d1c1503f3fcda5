"""What answers behind a deployment: the built-in generator, llama.cpp with a real model, or another server.

`engine` makes one from what `--model` says.
"""

from pathlib import Path
from typing import Protocol

from ....errors import ConfigurationError
from ..openai_request import Request
from ..response import Reply


class Engine(Protocol):
    """Answers completions. One engine serves any number of deployments and models."""

    def start(self) -> None:
        """Load the model, or find the server; blocks until requests can be answered. A ConfigurationError if not."""
        ...

    async def answer(self, request: Request, reply: Reply) -> None:
        """Answer one completion, streamed or not, or raise `Problem`. Cancelled when the client hangs up."""
        ...

    def close(self) -> None:
        """Let the model go."""
        ...


def engine(spec: str | None = None) -> Engine:
    """The engine of a spec: None (built in), `demo`, a path to a GGUF file, or an OpenAI-compatible server's URL.

    Nothing is loaded or sent before `start`.
    """
    if spec is None:
        from .text_generator import Builtin

        return Builtin()
    if spec.startswith(("http://", "https://")):
        from .proxy import Proxy

        return Proxy(spec)
    if spec == "demo" or spec.endswith(".gguf"):
        from .llama import Llama

        return Llama(None if spec == "demo" else Path(spec))
    raise ConfigurationError(f"model: expected 'demo', <path>.gguf or http://<host>:<port>, got {spec!r}")

"""The models behind the deployments: the built-in text generator, llama.cpp with a real model, or another server.

`create_model` returns the one that `--model` names.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from ....errors import ConfigurationError
from ..openai_request import ModelRequest
from ..response import ResponseWriter
from .pace import Pace

ModelFunction: TypeAlias = Callable[[Mapping[str, Any]], object]
"""Makes completions: it gets the body of a request, and returns what the model says; see `model` of `Emulator`."""


class TextModel(Protocol):
    """Generates completions. One of them serves all deployments, whatever models these name."""

    def start(self) -> None:
        """Load the model, or connect to its server; return when it can serve requests.

        Raises:
            ConfigurationError: the model cannot be loaded or reached.
        """
        ...

    async def complete(self, request: ModelRequest, response: ResponseWriter) -> None:
        """Generate one completion and send it, streamed or not. Canceled when the client disconnects.

        Raises:
            GatewayError: the request is wrong, or generating failed before anything was sent.
        """
        ...

    def close(self) -> None:
        """Release the model."""
        ...


def create_model(spec: str | ModelFunction | None = None, pace: Pace | None = None) -> TextModel:
    """Create the model that a setting names. Nothing is loaded or connected before `start`.

    Args:
        spec: "demo", the path of a GGUF file, the URL of an OpenAI-compatible server, or a function that makes the
            completions. None: the built-in generator.
        pace: how fast it seems to generate. None: as fast as it can.

    Raises:
        ConfigurationError: it is none of these, or is no model of this process, whose pace could be set.
    """
    if spec is None:
        from .text_generator import TextGenerator

        return TextGenerator(pace)
    if callable(spec):
        from .scripted import ScriptedModel

        return ScriptedModel(spec, pace)
    if pace not in (None, Pace()):
        text = "first_token, tokens_per_second, jitter: only the built-in text generator and functions take them"
        raise ConfigurationError(text)
    if spec.startswith(("http://", "https://")):
        from .proxy import ModelProxy

        return ModelProxy(spec)
    if spec == "demo" or spec.endswith(".gguf"):
        from .llama import LlamaModel

        return LlamaModel(None if spec == "demo" else Path(spec))
    raise ConfigurationError(f"model: expected 'demo', <path>.gguf or http://<host>:<port>, got {spec!r}")

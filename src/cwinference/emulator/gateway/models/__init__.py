"""The models behind the deployments: the built-in text generator, llama.cpp with a real model, or another server.

`create_model` returns the one that `--model` names.
"""

from pathlib import Path
from typing import Protocol

from ....errors import ConfigurationError
from ..openai_request import ModelRequest
from ..response import ResponseWriter


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


def create_model(spec: str | None = None) -> TextModel:
    """Create the model that a setting names. Nothing is loaded or connected before `start`.

    Args:
        spec: "demo", the path of a GGUF file, or the URL of an OpenAI-compatible server. None: the built-in generator.

    Raises:
        ConfigurationError: it is none of these.
    """
    if spec is None:
        from .text_generator import TextGenerator

        return TextGenerator()
    if spec.startswith(("http://", "https://")):
        from .proxy import ModelProxy

        return ModelProxy(spec)
    if spec == "demo" or spec.endswith(".gguf"):
        from .llama import LlamaModel

        return LlamaModel(None if spec == "demo" else Path(spec))
    raise ConfigurationError(f"model: expected 'demo', <path>.gguf or http://<host>:<port>, got {spec!r}")

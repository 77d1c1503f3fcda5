"""Completions of deployed models, over the OpenAI-compatible HTTP API of a gateway.

Start with `client.inference(gateway)`, or with `Inference` and `AsyncInference` on their own.
"""

from ._inference import AsyncInference, Inference
from ._resources import Chat, ChatCompletions, Completions, Models
from ._responses import Chunk, Completion, Model, Usage
from ._routing import Routing
from ._stats import Stats
from ._stream import AsyncStream, Stream
from .batch.outcomes import BatchResult
from .batch.source import Requests

__all__ = [
    "AsyncInference",
    "AsyncStream",
    "BatchResult",
    "Chat",
    "ChatCompletions",
    "Chunk",
    "Completion",
    "Completions",
    "Inference",
    "Model",
    "Models",
    "Requests",
    "Routing",
    "Stats",
    "Stream",
    "Usage",
]

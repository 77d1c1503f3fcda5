"""Completions of deployed models, over the OpenAI-compatible HTTP API of a gateway.

Start with `client.inference(gateway)`, or with `Inference` and `AsyncInference` on their own.
"""

from ._base import GatewayOptions
from ._inference import AsyncInference, Inference
from ._limiter import Stats
from ._responses import Answer, Chunk, Model, Usage
from ._stream import AsyncStream, Stream
from .batch.runner import BatchResult

__all__ = [
    "Answer",
    "AsyncInference",
    "AsyncStream",
    "BatchResult",
    "Chunk",
    "GatewayOptions",
    "Inference",
    "Model",
    "Stats",
    "Stream",
    "Usage",
]

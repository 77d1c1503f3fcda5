"""Completions of deployed models, over the OpenAI-compatible HTTP API of a gateway.

Start with `client.inference(gateway)`, or with `Inference` and `AsyncInference` on their own.
"""

from ._answers import Answer, Chunk, Model, Usage
from ._base import GatewayOptions
from ._batch import BatchResult
from ._client import AsyncInference, Inference
from ._gate import Stats
from ._stream import AsyncStream, Stream

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

"""Completions of deployed models, over the OpenAI-compatible HTTP API of a gateway.

Start with `client.inference(gateway)`, or with `Inference` and `AsyncInference` on their own.
"""

from ._auto_limiter import Limit
from ._inference import AsyncInference, Inference
from ._resources import Chat, ChatCompletions, Completions, Models
from ._responses import Chunk, Completion, Model, Usage
from ._routing import Routing
from ._stats import EndpointStats, Percentiles, Stats
from ._stream import AsyncStream, Stream
from ._weights import Weights
from .batch.merge import merge_batches
from .batch.outcomes import BatchResult
from .batch.progress import BatchProgress
from .batch.source import Requests

__all__ = [
    "AsyncInference",
    "AsyncStream",
    "BatchProgress",
    "BatchResult",
    "Chat",
    "ChatCompletions",
    "Chunk",
    "Completion",
    "Completions",
    "EndpointStats",
    "Inference",
    "Limit",
    "Model",
    "Models",
    "Percentiles",
    "Requests",
    "Routing",
    "Stats",
    "Stream",
    "Usage",
    "Weights",
    "merge_batches",
]

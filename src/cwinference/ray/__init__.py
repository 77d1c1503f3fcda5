"""Batches that outgrow a machine, on Ray Data: `batch`, and `Completions` for pipelines of your own. Needs `[ray]`."""

from ._batch import batch
from ._completions import Completions
from ._limit import SharedLimit
from ._source import Requests

__all__ = ["Completions", "Requests", "SharedLimit", "batch"]

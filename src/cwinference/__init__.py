"""cwinference: an unofficial Python client for the CoreWeave Inference API v1alpha1.

Start with `Client` or `AsyncClient`, or with `Inference` or `AsyncInference` for completions alone; messages and enums
are in `types`, errors in `errors`, token sources in `auth`.
"""

import logging
from typing import TYPE_CHECKING

from . import auth, errors, types
from ._retry import Retry
from ._version import __version__
from .client import AsyncClient, Client
from .config import TLS
from .status import HotLoadState, State, describe

if TYPE_CHECKING:
    from .inference import AsyncInference, Inference
else:

    def __getattr__(name: str) -> object:
        """Completions are loaded when they are first asked for."""
        if name not in ("AsyncInference", "Inference"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from . import inference

        return getattr(inference, name)


logging.getLogger("cwinference").addHandler(logging.NullHandler())

__all__ = [
    "TLS",
    "AsyncClient",
    "AsyncInference",
    "Client",
    "HotLoadState",
    "Inference",
    "Retry",
    "State",
    "__version__",
    "auth",
    "describe",
    "errors",
    "types",
]

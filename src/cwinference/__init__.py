"""cwinference: an unofficial Python client for the CoreWeave Inference API v1alpha1.

Start with `Client` or `AsyncClient`; messages and enums are in `types`, errors in `errors`, token sources in `auth`.
"""

import logging

from . import auth, errors, types
from ._retry import Retry
from ._version import __version__
from .client import AsyncClient, Client
from .config import TLS
from .status import HotLoadState, State, describe

logging.getLogger("cwinference").addHandler(logging.NullHandler())

__all__ = [
    "TLS",
    "AsyncClient",
    "Client",
    "HotLoadState",
    "Retry",
    "State",
    "__version__",
    "auth",
    "describe",
    "errors",
    "types",
]

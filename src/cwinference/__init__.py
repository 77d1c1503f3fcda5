"""cwinference: an unofficial Python client for the CoreWeave Inference API v1alpha1.

    with Client() as client:                              # token and endpoint from the environment
        gateway = client.gateways.wait(id)                # also deployments, capacity_claims, hot_loads
        front = client.inference(gateway)
        answer = front.chat.completions.create(model="org/model", messages=[{"role": "user", "content": "Hi"}])

Client, AsyncClient         manage gateways, deployments, capacity claims and hot-loads
Inference, AsyncInference   ask models; `client.inference(gateway)` makes one
State, HotLoadState         `State.of(gateway)`: how a resource stands; `describe(gateway)`: the same as text
Retry, TLS                  settings: what is repeated; certificates
types, errors, auth         messages and enums of the API; what is raised; where tokens come from

`help(cwinference.Client)`, `help(client.gateways.create)` and so on tell what each takes, gives and raises.
"""

import logging
from typing import TYPE_CHECKING

from . import auth, errors, types
from ._version import __version__
from .client import AsyncClient, Client
from .config import TLS
from .retry import Retry
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

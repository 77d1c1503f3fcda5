"""cwinference: an unofficial Python client for the CoreWeave Inference API v1alpha1.

    with Client() as client:                              # token and endpoint from the environment
        gateway = client.gateways.wait(id)                # also deployments, capacity_claims, hot_loads
        inference = client.inference(gateway)
        completion = inference.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])

Client, AsyncClient         manage gateways, deployments, capacity claims and hot-loads
Inference, AsyncInference   request completions; `client.inference(gateway)` makes one
Change                      what `client.watch()`, `client.gateways.watch()` and so on emit
State, HotLoadState         `State.of(gateway)`: the state of a resource; `describe(gateway)`: the same as text
Retry, TLS, Clock           settings: retries; certificates; time and randomness, for tests
types, errors, auth         messages and enums of the API; exceptions; token sources

`help(cwinference.Client)`, `help(Client.gateways)` and so on document arguments, results and errors.
"""

import logging
from typing import TYPE_CHECKING

from . import auth, errors, types
from ._calls.attempts import OnCall
from ._calls.clock import Clock
from ._version import __version__
from .client import AsyncClient, Client
from .config import TLS, Codec, HttpVersion, TransportName
from .following import Change
from .retry import Retry
from .status import HotLoadState, State, describe

if TYPE_CHECKING:
    from .inference import AsyncInference, Inference
else:

    def __getattr__(name: str) -> object:
        """Return a class of `cwinference.inference`, which is imported when it is first needed."""
        if name not in ("AsyncInference", "Inference"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from . import inference

        return getattr(inference, name)


logging.getLogger("cwinference").addHandler(logging.NullHandler())

__all__ = [
    "TLS",
    "AsyncClient",
    "AsyncInference",
    "Change",
    "Client",
    "Clock",
    "Codec",
    "HotLoadState",
    "HttpVersion",
    "Inference",
    "OnCall",
    "Retry",
    "State",
    "TransportName",
    "__version__",
    "auth",
    "describe",
    "errors",
    "types",
]

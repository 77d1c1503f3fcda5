"""cwinference: an unofficial Python client for the CoreWeave Inference API v1alpha1.

    with Client() as client:                              # token and endpoint from the environment
        gateway = client.gateways.wait(id)                # also deployments, capacity_claims, hot_loads
        inference = client.inference(gateway)
        completion = inference.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])

Client, AsyncClient         manage gateways, deployments, capacity claims and hot-loads
Inference, AsyncInference   request completions; `client.inference(gateway)` makes one
Stack, Plan                 desired resources from a file, and the changes: `client.plan(stack)`, `client.apply(plan)`
Change                      what `client.watch()`, `client.gateways.watch()` and so on emit
Rollout, gates              `client.rollout()`: moves traffic to another deployment in steps; what decides after each
State, HotLoadState         `State.of(gateway)`: the state of a resource; `describe(gateway)`: the same as text
to_dict, to_json            `to_json(gateway)`: a message as the API's JSON; `from_json(types.Gateway, text)`: back
Retry, TLS, Clock           settings: retries; certificates; time and randomness, for tests
Telemetry                   spans and metrics of all calls, for OpenTelemetry: `Client(telemetry=Telemetry())`
types, errors, auth         messages and enums of the API; exceptions; token sources

`help(cwinference.Client)`, `help(Client.gateways)` and so on document arguments, results and errors.
"""

import logging
from typing import TYPE_CHECKING, Any

from ._lazy import lazy_names
from ._version import __version__

if TYPE_CHECKING:
    from . import auth, doctor, errors, types
    from ._calls.attempts import OnCall
    from ._calls.clock import Clock
    from ._telemetry.telemetry import Telemetry
    from .client import AsyncClient, Client
    from .config import TLS, Codec, HttpVersion, TransportName
    from .following import Change
    from .inference import AsyncInference, Inference
    from .messages import from_json, to_dict, to_json
    from .retry import Retry
    from .rollout import Rollout, gates
    from .stacks import Plan, Stack
    from .status import HotLoadState, State, describe
else:
    _HOMES = {
        "client": ("AsyncClient", "Client"),
        "config": ("TLS", "Codec", "HttpVersion", "TransportName"),
        "following": ("Change",),
        "inference": ("AsyncInference", "Inference"),
        "messages": ("from_json", "to_dict", "to_json"),
        "retry": ("Retry",),
        "rollout": ("Rollout", "gates"),
        "stacks": ("Plan", "Stack"),
        "status": ("HotLoadState", "State", "describe"),
        "_calls.attempts": ("OnCall",),
        "_calls.clock": ("Clock",),
        "_telemetry.telemetry": ("Telemetry",),
    }
    """Where the public names are defined. Nothing is loaded before it is asked for: the command starts in no time."""

    __getattr__ = lazy_names(__name__, _HOMES, {*_HOMES, "auth", "doctor", "errors", "types"})

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


def load_ipython_extension(ipython: Any) -> None:
    """Show messages of the API as tables in notebooks, and as text in IPython: `%load_ext cwinference` calls this."""
    from ._notebook.extension import load

    load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """Undo `load_ipython_extension`: `%unload_ext cwinference` calls this."""
    from ._notebook.extension import unload

    unload(ipython)


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
    "Plan",
    "Retry",
    "Rollout",
    "Stack",
    "State",
    "Telemetry",
    "TransportName",
    "__version__",
    "auth",
    "describe",
    "doctor",
    "errors",
    "from_json",
    "gates",
    "to_dict",
    "to_json",
    "types",
]

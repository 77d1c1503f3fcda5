"""The seed: resources that an emulator starts with, made from a stack by a client, like those of any user."""

from ..errors import ConfigurationError, InferenceError
from ..stacks import Stack
from .protocols.asgi import App

_TIMEOUT = 60.0
"""Seconds for all of a stack."""


def apply_stack(stack: Stack, app: App, token: str) -> None:
    """Make what is in an emulator be as a stack says, without waiting until it is READY.

    Args:
        stack: what should be.
        app: the application of the emulator. It is served on a port of the loopback interface for as long as this
            takes, so that neither certificates nor faults nor the log of requests are concerned.
        token: the token with which resources are made.

    Raises:
        ConfigurationError: the emulator refuses something in the stack.
    """
    from ..client import Client
    from .server import Server

    server = Server(app)
    server.start()
    try:
        endpoint = f"http://127.0.0.1:{server.port}"
        with Client(token, endpoint=endpoint, transport="rest") as client:
            client.apply(client.plan(stack), wait=False, timeout=_TIMEOUT)
    except InferenceError as error:
        raise ConfigurationError(f"seed: {error}") from None
    finally:
        server.stop()

"""The seed: resources that an emulator starts with, made from a stack by a client, like those of any user."""

from typing import Any
from uuid import NAMESPACE_URL, uuid5

from google.protobuf.message import Message

from .._wire.methods import METHODS, Method
from ..errors import ConfigurationError, InferenceError
from ..stacks import Stack
from .interfaces import Api, Caller
from .protocols.app import ProtocolRouter
from .protocols.service import Service
from .tokens import Tokens

_TIMEOUT = 60.0
"""Seconds for all of a stack."""


def apply_stack(stack: Stack, api: Api, tokens: Tokens, token: str) -> None:
    """Make what is in an emulator be as a stack says, without waiting until it is READY.

    Args:
        stack: what should be.
        api: what is in the emulator. It is served on a port of the loopback interface for as long as this takes, so
            that neither certificates nor faults, recordings, nor the log of requests are concerned.
        tokens: whose resources they are.
        token: the token with which resources are made.

    Raises:
        ConfigurationError: the emulator refuses something in the stack.
    """
    from ..client import Client
    from .server import Server

    server = Server(ProtocolRouter(Service(_SameIds(api), tokens), METHODS.values()))
    server.start()
    try:
        endpoint = f"http://127.0.0.1:{server.port}"
        with Client(token, endpoint=endpoint, transport="rest") as client:
            client.apply(client.plan(stack), wait=False, timeout=_TIMEOUT)
    except InferenceError as error:
        raise ConfigurationError(f"seed: {error}") from None
    finally:
        server.stop()


class _SameIds:
    """An API that gives a new resource an id made of its kind and its name, whatever id the client has made.

    So the URLs of gateways are the same whenever an emulator starts with a stack, and fit what was recorded.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    def call(self, method: Method, request: Message, caller: Caller) -> Message:
        """Return the response to one request, or raise `RpcError`."""
        if method.name.startswith("Create"):
            create: Any = request
            create.id = str(uuid5(NAMESPACE_URL, f"cwinference:{method.name}:{create.name}"))
        return self._api.call(method, request, caller)

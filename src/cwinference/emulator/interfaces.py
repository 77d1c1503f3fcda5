"""The types that the parts of the emulator exchange: callers, errors, rule violations, and two views of its state.

A protocol turns the bytes of a request into a call of `Api.call`, and its result or its `RpcError` back into bytes. The
OpenAI-compatible routes find their gateway and its deployments in a `Directory`. So protocols and routes depend on
this module, and not on the emulated API.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.message import Message

from .. import types
from .._wire.methods import Method


@dataclass(frozen=True, slots=True)
class Caller:
    """The organization and the role that a token authenticates."""

    organization: str
    admin: bool = True
    """Whether it has the role Inference Admin, which may write; otherwise Inference Viewer, which may only read."""


class RpcError(Exception):
    """An error response of the API, before it is encoded in the form of a protocol."""

    def __init__(self, code: str, message: str, *details: Message) -> None:
        super().__init__(message)
        self.code = code
        """The code in lower case, as in Connect: `"not_found"`."""
        self.message = message
        self.details = details
        """Messages of `google.rpc`."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A validation rule that a request violates."""

    field: str
    """Path in snake_case: `resources.zones[0]`. Empty when the rule is about the whole request."""
    rule: str
    """Id of the rule, as protovalidate names it: `string.valid_zone`."""
    message: str


class Api(Protocol):
    """The management API as a function, independent of protocols."""

    def call(self, method: Method, request: Message, caller: Caller) -> Message:
        """Return the response to one request, or raise `RpcError`."""
        ...


class Directory(Protocol):
    """Access to gateways and their deployments for the OpenAI-compatible routes."""

    def gateway(self, id: str) -> types.Gateway | None:
        """Return the current state of a gateway of any organization, or None if there is none with this id."""
        ...

    def deployments(self, gateway_id: str) -> Sequence[types.Deployment]:
        """Return the current state of all deployments that name the gateway, in the order of their creation."""
        ...

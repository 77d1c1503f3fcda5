"""What the parts of the emulator know of each other: callers, refusals, violations, and two faces of its state.

Protocols turn what arrives on the wire into `Api.call` and its result, or its `Refusal`, back into bytes. A gateway's
completions look their gateway and its deployments up in a `Directory`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.message import Message

from .. import types
from .._wire.methods import Method


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a token stands for."""

    organization: str
    admin: bool = True
    """Whether it may write (Inference Admin), or only read (Inference Viewer)."""


class Refusal(Exception):
    """An answer that is an error, before it takes a protocol's form."""

    def __init__(self, code: str, message: str, *details: Message) -> None:
        super().__init__(message)
        self.code = code
        """Lower case, as in Connect: `"not_found"`."""
        self.message = message
        self.details = details
        """Messages of `google.rpc`."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that a request breaks."""

    field: str
    """Path in snake_case: `resources.zones[0]`."""
    rule: str
    """Id of the rule, as protovalidate names it: `string.valid_zone`."""
    message: str


class Api(Protocol):
    """The management API as a function, free of protocols."""

    def call(self, method: Method, request: Message, caller: Caller) -> Message:
        """Answer one request, or raise `Refusal`."""
        ...


class Directory(Protocol):
    """What the completions of a gateway need to know."""

    def gateway(self, id: str) -> types.Gateway | None:
        """The gateway as it stands now, whatever its organization."""
        ...

    def deployments(self, gateway_id: str) -> Sequence[types.Deployment]:
        """All deployments that name the gateway, as they stand now, in the order of their creation."""
        ...

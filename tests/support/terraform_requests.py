"""CoreWeave's Terraform provider, reproduced call by call: Connect over HTTP/1.1, binary, POST only.

Its order of calls, pauses, retries and interpretation of errors are those that were observed of the provider itself.
Time passes on the emulator's clock.
"""

import base64
import gzip
import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

from google.protobuf.message import Message
from google.rpc import error_details_pb2

from cwinference import types
from cwinference._wire.methods import METHODS
from cwinference.emulator import Emulator

READY, PENDING = types.Status.STATUS_READY, (types.Status.STATUS_CREATING, types.Status.STATUS_UNSPECIFIED)
_AGENT = (
    "Terraform/1.13.0 terraform-provider-coreweave/release (+https://github.com/coreweave/terraform-provider-coreweave)"
)
_RETRIES = 10


@dataclass
class Diagnostic(Exception):
    """What the provider shows its user."""

    title: str
    text: str
    code: str


@dataclass
class Terraform:
    """One run of the provider."""

    emulator: Emulator
    token: str = ""
    pauses: list[float] = field(default_factory=list[float])
    """The seconds waited between polls and between retries."""

    def call(self, request: Message) -> Any:
        """Send a request; retry it on transport errors, 429 and 5xx except 501; raise what the user would read."""
        for attempt in range(_RETRIES + 1):
            status, body = self._post(request)
            if status == 200:
                return METHODS[type(request)].response.FromString(body)
            if status != 429 and (status < 500 or status == 501):
                raise _diagnostic(json.loads(body))
            self._sleep(min(5.0, 0.2 * 2**attempt))
        raise Diagnostic("Internal Error", f"giving up after {_RETRIES + 1} attempts", "")

    def apply(self, request: Message, *, ready: bool = True) -> Any:
        """Create or update, then poll at once, after 5 s, and then every 10 s."""
        (resource,) = _values(self.call(request))
        assert resource.spec.id
        assert resource.status.HasField("created_at")
        assert resource.status.HasField("updated_at")
        pending = PENDING if "Create" in type(request).__name__ else (*PENDING, types.Status.STATUS_UPDATING)
        for pause in _polls():
            resource = self.read(resource)
            if resource.status.status == READY if ready else _settled(resource):
                return resource
            if resource.status.status not in pending:
                raise Diagnostic("Unexpected Error", types.Status.Name(resource.status.status), "")
            self._sleep(pause)
        raise Diagnostic("Internal Error", "timeout while waiting for state to become READY", "")

    def read(self, resource: Any) -> Any:
        """Read the resource again."""
        kind = type(resource).__name__
        (found,) = _values(self.call(getattr(types, f"Get{kind}Request")(id=resource.spec.id)))
        return found

    def destroy(self, resource: Any) -> None:
        """Delete, then poll until NOT_FOUND; a resource that is already gone is a success."""
        try:
            self.call(getattr(types, f"Delete{type(resource).__name__}Request")(id=resource.spec.id))
            for pause in _polls():
                found = self.read(resource)
                if found.status.status not in (types.Status.STATUS_DELETING, types.Status.STATUS_UNSPECIFIED):
                    raise Diagnostic("Unexpected Error", types.Status.Name(found.status.status), "")
                self._sleep(pause)
        except Diagnostic as diagnostic:
            if diagnostic.code != "not_found":
                raise

    def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.emulator.clock.advance(seconds)

    def _post(self, request: Message) -> tuple[int, bytes]:
        host = self.emulator.endpoint.removeprefix("http://")
        headers = {
            "Connect-Protocol-Version": "1",
            "Content-Type": "application/proto",
            "Accept-Encoding": "gzip",
            "Authorization": f"Bearer {self.token or self.emulator.token}",
            "User-Agent": _AGENT,
        }
        connection = http.client.HTTPConnection(host, timeout=60)
        try:
            connection.request("POST", METHODS[type(request)].path, request.SerializeToString(), headers)
            response = connection.getresponse()
            body = response.read()
        except (ConnectionError, http.client.HTTPException):
            return 503, b""
        finally:
            connection.close()
        return response.status, gzip.decompress(body) if response.headers["content-encoding"] == "gzip" else body


def _polls() -> Iterator[float]:
    """Return the pauses between polls, for 45 minutes."""
    return chain([5.0], repeat(10.0, 270))


def _values(message: Message) -> tuple[Any, ...]:
    return tuple(value for _, value in message.ListFields())


def _settled(resource: Any) -> bool:
    """Return whether the resources of a disabled deployment are applied, which newer providers wait for."""
    found = (each.status for each in resource.status.conditions if each.type == "ResourcesApplied")
    return types.Condition.STATUS_TRUE in found


_TITLES = {
    "ResourceInfo": {"not_found": "Not Found", "already_exists": "Already Exists"},
    "PreconditionFailure": {"failed_precondition": "Failed Precondition"},
    "BadRequest": {"invalid_argument": "Bad Request"},
}


def _diagnostic(error: dict[str, Any]) -> Diagnostic:
    code: str = error["code"]
    for detail in error.get("details", ()):
        name = detail["type"].rpartition(".")[2]
        title = _TITLES.get(name, {}).get(code)
        if title is not None:
            value = base64.b64decode(detail["value"] + "=" * (-len(detail["value"]) % 4))
            return Diagnostic(title, _text(getattr(error_details_pb2, name).FromString(value)), code)
    title = {"unauthenticated": "Unauthenticated", "permission_denied": "Unauthorized"}.get(code, code)
    return Diagnostic(title, error["message"], code)


def _text(detail: Any) -> str:
    if isinstance(detail, error_details_pb2.BadRequest):
        return "\n".join(f"{each.field}: {each.description}" for each in detail.field_violations)
    if isinstance(detail, error_details_pb2.PreconditionFailure):
        return "\n".join(each.description for each in detail.violations)
    return str(detail.resource_name)

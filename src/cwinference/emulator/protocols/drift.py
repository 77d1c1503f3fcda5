"""Responses as a newer service might send them: with fields, numbers and enum values that this release does not know.

Binary messages are rewritten as bytes and JSON ones as objects, because no message type of ours could have what is new.
Nothing here concerns requests: all that drifts belongs to messages that only responses contain.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from ... import types
from ..._wire.binary import LENGTH_DELIMITED, VARINT, content_of, fields_in, sized, tag, varint
from ..behavior import DriftKind
from .codecs import PROTO, Codec

_UPDATED_AT, _CONDITIONS, _LAST_UPDATE_TIME = 2, 4, 3
"""Numbers: two of the status of gateways, deployments and capacity claims, and one of a condition."""


class NewField(NamedTuple):
    """A field that this release does not know."""

    number: int
    json_name: str
    binary: bytes
    """Its value as it follows the tag; with several, the field is repeated."""
    json: Any
    wire_type: int = LENGTH_DELIMITED


_PROBE = tag(1, LENGTH_DELIMITED) + sized(b"/health") + tag(2, VARINT) + varint(10)

NEW_FIELDS: Mapping[str, NewField] = {
    "GetGatewayParametersResponse": NewField(2, "defaultZone", sized(b"US-EAST-04A"), "US-EAST-04A"),
    "GatewaySpec": NewField(12, "maintenanceWindow", sized(b"SUN 02:00"), "SUN 02:00"),
    "DeploymentSpec": NewField(12, "readinessProbe", sized(_PROBE), {"path": "/health", "periodSeconds": 10}),
    "DeploymentStatus": NewField(5, "observedGeneration", varint(3), "3", VARINT),
    "CapacityClaimStatus": NewField(7, "reclaimableInstances", varint(17), 17, VARINT),
}
"""The new field of each message that has one."""
MOVED_NUMBERS: Mapping[tuple[str, int], int] = {
    ("GetGatewayParametersResponse", 1): 4,
    ("GatewayStatus", 5): 8,
    ("DeploymentSpec", 8): 14,
    ("CapacityClaimStatus", 5): 9,
}
"""The new number of a field, by its message and the number that this release knows: `zones`, `endpoints`, `traffic`
and `allocated_instances`."""
NEW_ENUM_VALUE: tuple[Any, str] = (3, "STATUS_UNKNOWN")
"""A number and a name that this release's `Condition.Status` does not have."""
_WITH_CONDITIONS = ("GatewayStatus", "DeploymentStatus", "CapacityClaimStatus")


@dataclass(frozen=True)
class Drift:
    """How responses differ from those of the release of the API that this library knows."""

    kinds: Collection[DriftKind] = ()

    def encode(self, codec: Codec, message: Message) -> bytes:
        """Return the bytes of a response, in which is new what is to be new."""
        encoded = codec.encode(message)
        descriptor: Any = message.DESCRIPTOR
        if not self.kinds:
            return encoded
        if codec is PROTO:
            return b"".join(self._binary(encoded, descriptor))
        return json.dumps(self._object(json.loads(encoded), descriptor), ensure_ascii=False).encode()

    def _binary(self, encoded: bytes, descriptor: Descriptor) -> Iterator[bytes]:
        """Yield the parts of a message."""
        updated_at = b""
        for number, wire_type, value in fields_in(encoded):
            updated_at = value if number == _UPDATED_AT else updated_at
            field = descriptor.fields_by_number.get(number)
            inner = None if field is None else _own_message(field)
            if inner is not None:
                content = b"".join(self._binary(content_of(value), inner))
                value = sized(content)
            moved = MOVED_NUMBERS.get((descriptor.name, number)) if "moved_numbers" in self.kinds else None
            yield tag(moved or number, wire_type) + value
        new = self._new_field(descriptor)
        if new is not None:
            yield tag(new.number, new.wire_type) + new.binary
        if self._has_new_condition(descriptor):
            condition = types.Condition(**_CONDITION, status=NEW_ENUM_VALUE[0]).SerializeToString()
            condition += tag(_LAST_UPDATE_TIME, LENGTH_DELIMITED) + updated_at if updated_at else b""
            yield tag(_CONDITIONS, LENGTH_DELIMITED) + sized(condition)

    def _object(self, value: dict[str, Any], descriptor: Descriptor) -> dict[str, Any]:
        """Return the JSON object of a message."""
        for field in descriptor.fields:
            inner = _own_message(field)
            if inner is not None and field.json_name in value:
                change = partial(self._object, descriptor=inner)
                value[field.json_name] = _each(value[field.json_name], field, change)
        new = self._new_field(descriptor)
        if new is not None:
            value[new.json_name] = new.json
        if self._has_new_condition(descriptor):
            condition = {**_CONDITION, "status": NEW_ENUM_VALUE[1], "lastUpdateTime": value.get("updatedAt")}
            value.setdefault("conditions", []).append(condition)
        return value

    def _new_field(self, descriptor: Descriptor) -> NewField | None:
        return NEW_FIELDS.get(descriptor.name) if "new_fields" in self.kinds else None

    def _has_new_condition(self, descriptor: Descriptor) -> bool:
        return "new_enum_values" in self.kinds and descriptor.name in _WITH_CONDITIONS


_CONDITION: Mapping[str, Any] = {
    "type": "Observed",
    "reason": "AsExpected",
    "message": "Its status is not known in older releases.",
    "zone": "US-EAST-04A",
}
"""The condition that has the new enum value."""


def _own_message(field: FieldDescriptor) -> Descriptor | None:
    """Return the type of a field of one of the API's own messages, maps included; None for all other fields."""
    kind: Descriptor | None = field.message_type
    return None if kind is None or kind.full_name.startswith("google.protobuf.") else kind


def _each(value: Any, field: FieldDescriptor, change: Callable[[Any], Any]) -> Any:
    """Return the value of a field with each message in it changed."""
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        inner = _own_message(kind.fields_by_name["value"])
        return value if inner is None else {key: change({"value": each})["value"] for key, each in value.items()}
    return [*map(change, value)] if field.is_repeated else change(value)

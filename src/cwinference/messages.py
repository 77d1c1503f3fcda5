"""Messages as JSON, and back: `to_json`, `to_dict`, `from_json`."""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, TypeVar, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from . import types
from ._arguments import at_most_one, shown
from ._secrets import forgets_locals
from ._text import one_line
from ._wire.json_reader import parse
from .errors import ConfigurationError, ProtocolError
from .resources._comparison import WRITE_ONLY, id_of, is_map
from .resources._parts import is_mapping

__all__ = ["from_json", "to_dict", "to_json"]

MessageT = TypeVar("MessageT", bound=Message)

_PATH = re.compile(r" is not a \w+: ((?:[a-z]\w*: )+)", re.ASCII)
"""The names of fields in an error of the reader, from the outermost to the wrong one."""
_PACKAGE = types.Gateway.DESCRIPTOR.file.package


@forgets_locals
def to_dict(message: Message, *, secrets: bool = False) -> dict[str, Any]:
    """Return a message as plain data, in the form of the API's JSON.

    Names are those of the API's JSON (`gatewayIds`), enum values are full names, times are strings as in RFC 3339, and
    64-bit numbers are strings. Unset fields are missing, and so are 0, False and empty values.

    Args:
        message: a resource, or any other message of `types`.
        secrets: whether to keep the write-only `api_key`, which only a message that you have made can contain. Without
            it, the result is what a read would return. The values of an `engine_env` are always kept.

    Raises:
        ConfigurationError: `message` is something else.
    """
    kind = type(message)
    if not _is_ours(kind):
        raise ConfigurationError(f"message: expected a message of cwinference.types, got {kind.__name__}")
    return MessageToDict(message if secrets else without_secrets(message))


@forgets_locals
def to_json(message: Message, *, secrets: bool = False, indent: int | None = 2) -> str:
    """Return a message as JSON text, in the form of the API's JSON. `from_json` reads it.

    Args:
        message: as in `to_dict`.
        secrets: as in `to_dict`.
        indent: by how many spaces each level is indented (2). None: everything is on one line.

    Raises:
        ConfigurationError: `message` is not a message of `types`.
    """
    return json.dumps(to_dict(message, secrets=secrets), indent=indent, ensure_ascii=False)


@forgets_locals
def from_json(kind: type[MessageT], data: str | bytes | Mapping[str, Any], *, ignore_unknown: bool = False) -> MessageT:
    """Return the message that JSON describes: from `to_json`, from the API itself, or from `-o json` of a command.

    Args:
        kind: the class of the message, such as `types.Gateway`.
        data: JSON text, or a mapping as `to_dict` returns it. Field names in snake_case are accepted, too.
        ignore_unknown: whether to leave out fields and enum values that this release does not know.

    Raises:
        ConfigurationError: `data` is not JSON, or not that of such a message, or contains something that this release
            does not know.
    """
    if not isinstance(kind, type) or not _is_ours(kind):
        raise ConfigurationError(f"kind: expected a message class of cwinference.types, got {shown(kind)}")
    value = _value(data)
    _check_choices(cast(Descriptor, kind.DESCRIPTOR), value, "data: ")
    unknown = list[str]()
    try:
        message = parse(_encoded(value), kind, unknown)
    except ProtocolError as error:
        raise ConfigurationError(f"data is not the JSON of a types.{kind.DESCRIPTOR.name}{_place(error)}") from None
    if unknown and not ignore_unknown:
        names = one_line(", ".join(unknown))
        raise ConfigurationError(f"data: this release does not know {names}; ignore_unknown=True leaves it out")
    return message


def without_secrets(message: MessageT, mask: str = "", hidden: Collection[str] = WRITE_ONLY) -> MessageT:
    """Return a copy with `mask` in place of what is write-only, or else of the strings and maps in `hidden`."""
    copy = type(message)()
    copy.CopyFrom(message)
    _mask(copy, mask, hidden)
    return copy


def _mask(message: Any, mask: str, hidden: Collection[str]) -> None:
    for field, value in message.ListFields():
        if is_map(field):
            for key in [*value] if id_of(field) in hidden else []:
                value[key] = mask
        elif id_of(field) in hidden:
            setattr(message, field.name, mask)
        elif field.message_type is not None:
            for each in value if field.is_repeated else [value]:
                _mask(each, mask, hidden)


def _is_ours(kind: Any) -> bool:
    return issubclass(kind, Message) and cast(Descriptor, kind.DESCRIPTOR).file.package == _PACKAGE


def _value(data: object) -> Any:
    if is_mapping(data):
        return data
    if not isinstance(data, str | bytes):
        raise ConfigurationError(f"data: expected JSON text or a mapping, got {type(data).__name__}")
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ConfigurationError("data is not JSON") from None


def _encoded(value: Any) -> bytes:
    try:
        return json.dumps(value).encode()
    except (TypeError, ValueError, RecursionError):
        raise ConfigurationError("data has values that JSON does not have") from None


def _place(error: ProtocolError) -> str:
    """Return which field cannot be read, as far as it is known; nothing of the values, which may be secret."""
    found = _PATH.search(str(error))
    return f": {'.'.join(found[1].removesuffix(': ').split(': '))} is wrong" if found else ""


def _check_choices(descriptor: Descriptor, value: Any, path: str) -> None:
    """Refuse two members of a oneof, of which protobuf would take the last one."""
    if not is_mapping(value):
        return
    for oneof in descriptor.oneofs:
        given = {each.name: value.get(each.json_name, value.get(each.name)) for each in oneof.fields}
        at_most_one(f"{path}{oneof.name}", **given)
    for field in descriptor.fields:
        if field.message_type is not None and not is_map(field):
            inside = value.get(field.json_name, value.get(field.name))
            several: Any = inside if isinstance(inside, list) else [inside]  # pyright: ignore[reportUnknownVariableType]
            for each in several:
                _check_choices(field.message_type, each, f"{path}{field.name}.")

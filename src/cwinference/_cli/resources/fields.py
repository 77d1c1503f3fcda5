"""The fields of a request as options, made from the descriptors: names, types, enums, and comments for the help."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import click
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from ..._type_docs import DOCS
from ...resources._comparison import WRITE_ONLY, id_of, is_map
from ...resources._parts import label
from ...stacks._secret_references import parse_reference, resolved
from ..parsing.converter import Converter
from ..parsing.suggestions import did_you_mean

Path = tuple[str, ...]

_PACKAGE = "coreweave.inference.v1alpha1."
_OUTSIDE = ("id", "name", "hot_load_id", "deployment_id")
"""Fields that commands take in another way."""
_UNSPECIFIED = 0
_OTHER_NAMES: Mapping[Path, Sequence[str]] = {("gateway_ids",): ("--gateways", "--gateway")}
_DOCUMENTED = re.compile(r"^    (\w+) \([^\n]*?\): (.*?)(?=^    \w+ \(|^\w|\Z)", re.MULTILINE | re.DOTALL)
_NOT_FOR_USERS = re.compile(r" PLACEHOLDER NUMBER:.*")


class FieldOption(click.Option):
    """An option for a field of a request.

    Attributes:
        path: the names of the fields that lead to it.
        field: its descriptor.
    """

    def __init__(self, path: Path, field: FieldDescriptor, *, is_choice: bool = False) -> None:
        self.path = path
        self.field = field
        how = _how(field, is_choice)
        names = [option_name(path), *_OTHER_NAMES.get(path, ())]
        super().__init__([*names, f"field_{'__'.join(path)}"], help=_help(path, field), **how)
        self.has_optional_value = field.cpp_type == FieldDescriptor.CPPTYPE_BOOL

    def value_of(self, given: Any) -> Any:
        """Return a value of the command line as the client's methods take it."""
        if is_map(self.field):
            return dict(each for each in given if each is not None)
        if self.field.is_repeated:
            return [each for part in given for each in part]
        return {} if self.field.message_type is not None else given


def option_name(path: Path) -> str:
    """Return the option for a field: `--autoscaling.max`."""
    return "--" + ".".join(path).replace("_", "-")


def field_options(request: type[Message]) -> list[FieldOption]:
    """Return options for all fields of a request but its ids and its name."""
    return [*_options(cast(Descriptor, request.DESCRIPTOR), ())]


def fields_from(options: Sequence[FieldOption], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that the values of options describe: mappings inside mappings, only of what was given."""
    found = dict[str, Any]()
    for option in options:
        given = values.get(option.name or "")
        if given is None or given == () or (option.is_flag and not given):
            continue
        target = found
        for name in option.path[:-1]:
            target = target.setdefault(name, {})
        value = option.value_of(given)
        if value == {} and option.path[-1] in target:
            continue  # what is in it was given as well
        target[option.path[-1]] = value
    return found


def merged(fields: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields with others on top; mappings are merged."""
    found = dict(fields)
    for name, value in more.items():
        before = found.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            found[name] = merged(cast(Mapping[str, Any], before), cast(Mapping[str, Any], value))
        else:
            found[name] = value
    return found


def missing(request: type[Message], fields: Mapping[str, Any], choices: Sequence[str] = ()) -> list[str]:
    """Return the options that are required and were not given; of a oneof, those of which one is required."""
    kind = cast(Descriptor, request.DESCRIPTOR)
    found = [option_name(path) for path in _missing(kind, fields, ())]
    for name in choices:
        members = [each.name for each in kind.oneofs_by_name[name].fields]
        if not any(each in fields for each in members):
            found.append(f"one of {', '.join(option_name((each,)) for each in members)}")
    return found


def comment_of(message: Descriptor, field: str) -> str:
    """Return the comment that the API's definition has on a field."""
    docs = DOCS.get(message.full_name.removeprefix(_PACKAGE), "")
    text = next((text for name, text in _DOCUMENTED.findall(docs) if name == field), "")
    return _NOT_FOR_USERS.sub("", " ".join(text.split()))


def is_required(field: FieldDescriptor) -> bool:
    """Return whether the API requires a field."""
    from google.api import field_behavior_pb2 as behavior

    known: Any = behavior
    return known.REQUIRED in cast(Any, field.GetOptions()).Extensions[known.field_behavior]


def _options(kind: Descriptor, path: Path) -> Iterator[FieldOption]:
    for field in kind.fields:
        place = (*path, field.name)
        if len(place) == 1 and field.name in _OUTSIDE:
            continue
        if field.message_type is None or is_map(field):
            yield FieldOption(place, field)
            continue
        if field.containing_oneof is not None or not field.message_type.fields:
            yield FieldOption(place, field, is_choice=True)
        yield from _options(field.message_type, place)


def _missing(kind: Descriptor, fields: Mapping[str, Any], path: Path) -> Iterator[Path]:
    for field in kind.fields:
        place, given = (*path, field.name), fields.get(field.name)
        if len(place) == 1 and field.name in _OUTSIDE:
            continue
        if field.message_type is not None and not field.is_repeated:
            if given is not None or is_required(field):
                yield from _missing(field.message_type, given or {}, place)
        elif is_required(field) and not given and field.name not in fields:
            yield place


def _how(field: FieldDescriptor, is_choice: bool) -> dict[str, Any]:
    """Return the settings of an option for a field."""
    if is_map(field):
        return {"multiple": True, "type": _ENTRY, "metavar": "KEY=VALUE"}
    if is_choice:
        return {"is_flag": True}
    if field.is_repeated:
        kind = _ENUMS(field.enum_type) if field.enum_type is not None else _LIST
        return {"multiple": True, "type": kind, "metavar": "A,B"}
    if field.enum_type is not None:
        return {"type": EnumName(field.enum_type), "metavar": f"[{'|'.join(_names(field.enum_type))}]"}
    if id_of(field) in WRITE_ONLY:
        return {"type": _SECRET, "metavar": "env:NAME|file:PATH"}
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return {"type": _FLAG, "metavar": "[=true|false]"}
    return {"type": str, "metavar": "TEXT"} if field.cpp_type == FieldDescriptor.CPPTYPE_STRING else {"type": int}


def _help(path: Path, field: FieldDescriptor) -> str:
    text = comment_of(cast(Descriptor, field.containing_type), field.name)
    if path == ("gateway_ids",):
        return "The gateways that serve the deployment, by name or id. Required."
    if is_map(field):
        return f"{text} May be given several times."
    return text


class EnumName(Converter[str]):
    """A value of an enum, with or without its prefix, in any case."""

    name = "name"

    def __init__(self, kind: EnumDescriptor) -> None:
        self.names = _names(kind)
        self._full = {each.name: str(label(kind, each.number)) for each in kind.values}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name without its prefix."""
        name = str(value).upper().replace("-", "_")
        found = self._full.get(name, name)
        if found not in self.names:
            self.fail(f"there is no {value}{did_you_mean(name, self.names, choose=True)}", param, ctx)
        return found


class _EnumNames(Converter[list[str]]):
    name = "names"

    def __init__(self, kind: EnumDescriptor) -> None:
        self._one = EnumName(kind)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        if isinstance(value, list):
            return cast(list[str], value)
        return [self._one.convert(each, param, ctx) for each in str(value).split(",") if each]


class _List(Converter[list[str]]):
    name = "list"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        return cast(list[str], value) if isinstance(value, list) else [each for each in str(value).split(",") if each]


class _Entry(Converter["tuple[str, str] | None"]):
    name = "entry"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str] | None:
        if isinstance(value, tuple) or value == "":  # nothing empties the map
            return cast("tuple[str, str] | None", value or None)
        key, separator, text = str(value).partition("=")
        if not separator or not key:
            self.fail(f"expected KEY=VALUE, got {value}", param, ctx)
        return key, text


class _Flag(Converter[bool]):
    name = "flag"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bool:
        if isinstance(value, bool):
            return value
        found = {"": True, "true": True, "false": False}.get(str(value).lower())
        if found is None:
            self.fail(f"expected true or false, got {value}", param, ctx)
        return found


class _Secret(Converter[str]):
    name = "secret"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        source, _, name = str(value).partition(":")
        reference = parse_reference({source: name})
        if reference is None:
            self.fail("a secret is never written out; name a variable or a file: env:NAME or file:PATH", param, ctx)
        return cast(str, resolved(reference, (param.opts[0] if param is not None else "")))


_LIST, _ENTRY, _FLAG, _SECRET, _ENUMS = _List(), _Entry(), _Flag(), _Secret(), _EnumNames


def _names(kind: EnumDescriptor) -> list[str]:
    return [str(label(kind, each.number)) for each in kind.values if each.number != _UNSPECIFIED]

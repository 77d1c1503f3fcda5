"""The API's methods as values, read once from the descriptors; every transport works from this table.

Also the rule of placeholder numbers: fields of the API whose numbers are not published have numbers from 60001 upwards
in our .proto files. A message that contains one may travel only as JSON, where fields go by name.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from google.api import annotations_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from .. import types

FIRST_PLACEHOLDER = 60001


class HttpRule(NamedTuple):
    """How a method is reached over REST: `GET /v1alpha1/inference/gateways/{id}`."""

    verb: str
    template: str
    body: str
    """`"*"`: all fields that are not in the path form the body; empty: they form the query."""


class Method(NamedTuple):
    """A unary method: everything that a transport needs to know of it."""

    name: str
    service: str
    path: str
    """`/<package>.<Service>/<Method>`, as in gRPC and Connect."""
    request: type[Message]
    response: type[Message]
    read_only: bool
    """Declared NO_SIDE_EFFECTS: calling it again changes nothing."""
    http: HttpRule | None = None
    json_only: bool = False
    """Its request or response has only placeholder numbers, so it may travel only as JSON."""
    may_contain_placeholder: bool = False
    """Its request can contain a placeholder number; whether it does depends on the fields that are set."""

    @classmethod
    def of(cls, descriptor: MethodDescriptor) -> "Method":
        """Return the description of any unary method."""
        options = descriptor.GetOptions()
        service = descriptor.containing_service.full_name
        request, response = descriptor.input_type, descriptor.output_type
        return cls(
            name=descriptor.name,
            service=service,
            path=f"/{service}/{descriptor.name}",
            request=GetMessageClass(request),
            response=GetMessageClass(response),
            read_only=options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS,
            http=_http_rule(options),
            json_only=_has_only_placeholders(request) or _has_only_placeholders(response),
            may_contain_placeholder=any(map(_declares_placeholder, _reachable(request))),
        )

    def travels_as_json(self, request: Message) -> bool:
        """Return whether a binary codec would corrupt this request."""
        return self.json_only or (self.may_contain_placeholder and contains_placeholder(request))


def contains_placeholder(message: Message) -> bool:
    """Return whether a field with a placeholder number is set, in the message or in any message inside it."""
    for descriptor, value in message.ListFields():
        if descriptor.number >= FIRST_PLACEHOLDER:
            return True
        if any(map(contains_placeholder, _messages_in(descriptor, value))):
            return True
    return False


def _messages_in(descriptor: FieldDescriptor, value: Any) -> Iterator[Message]:
    kind = descriptor.message_type
    if kind is None:
        return
    if kind.GetOptions().map_entry:
        if kind.fields_by_name["value"].message_type is not None:
            yield from value.values()
    elif descriptor.is_repeated:
        yield from value
    else:
        yield value


def _declares_placeholder(message: Descriptor) -> bool:
    return any(each.number >= FIRST_PLACEHOLDER for each in message.fields)


def _has_only_placeholders(message: Descriptor) -> bool:
    return bool(message.fields) and all(each.number >= FIRST_PLACEHOLDER for each in message.fields)


def _reachable(message: Descriptor, seen: set[str] | None = None) -> Iterator[Descriptor]:
    seen = set() if seen is None else seen
    if message.full_name in seen:
        return
    seen.add(message.full_name)
    yield message
    for each in message.fields:
        if each.message_type is not None:
            yield from _reachable(each.message_type, seen)


def _http_rule(options: MethodOptions) -> HttpRule | None:
    extension: Any = annotations_pb2.http
    if not options.HasExtension(extension):
        return None
    rule: Any = options.Extensions[extension]
    verb: str = rule.WhichOneof("pattern")
    return HttpRule(verb=verb.upper(), template=getattr(rule, verb), body=rule.body)


if TYPE_CHECKING:
    METHODS: Mapping[type[Message], "Method"]
    """Every method of the API by its request type: no two methods share one. Made when somebody asks for all."""


def _table() -> Mapping[type[Message], Method]:
    files = {each.DESCRIPTOR.file for each in (types.Gateway, types.Deployment, types.CapacityClaim, types.HotLoad)}
    requests = (
        GetMessageClass(method.input_type)
        for file in sorted(files, key=lambda file: file.name)
        for service in file.services_by_name.values()
        for method in service.methods
    )
    return {request: method_for(request) for request in requests}


if not TYPE_CHECKING:  # type checkers know the name from above, and would accept any other one

    def __getattr__(name: str) -> object:
        if name != "METHODS":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        table = globals()["METHODS"] = _table()
        return table


class _Known(dict[type[Message], Method]):
    """The methods that were asked for, by their request types."""

    def __missing__(self, request: type[Message]) -> Method:
        descriptor = cast(Descriptor, request.DESCRIPTOR)
        methods = (method for service in descriptor.file.services_by_name.values() for method in service.methods)
        (found,) = (Method.of(each) for each in methods if each.input_type.full_name == descriptor.full_name)
        return self.setdefault(request, found)


method_for: Callable[[type[Message]], Method] = _Known().__getitem__
"""Returns the method that takes requests of a type."""

"""gRPC server reflection: what methods and messages there are, so that tools such as grpcurl need no .proto files.

What it shows is what travels in binary: fields with placeholder numbers, and methods of which no number is published,
are left out. Descriptions are no secrets, so it needs no token.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache
from typing import Any, cast

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from ..._wire.methods import FIRST_PLACEHOLDER, METHODS
from ..interfaces import RpcError
from .asgi import AsgiExchange, Receive, Send
from .codecs import GRPC_NUMBERS, MAX_MESSAGE_BYTES, decompress, too_large

PATHS = {f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo": version for version in ("v1", "v1alpha")}
"""The paths of the one method, and the version that each belongs to."""
_PREFIX = 5
"""Bytes before each message: one of flags, and the message's length in four, big-endian."""
_FIELDS: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "ServerReflectionRequest": {
        "host": (1, "string"),
        "file_by_filename": (3, "string"),
        "file_containing_symbol": (4, "string"),
        "file_containing_extension": (5, "ExtensionRequest"),
        "all_extension_numbers_of_type": (6, "string"),
        "list_services": (7, "string"),
    },
    "ExtensionRequest": {"containing_type": (1, "string"), "extension_number": (2, "int32")},
    "ServerReflectionResponse": {
        "valid_host": (1, "string"),
        "original_request": (2, "ServerReflectionRequest"),
        "file_descriptor_response": (4, "FileDescriptorResponse"),
        "all_extension_numbers_response": (5, "ExtensionNumberResponse"),
        "list_services_response": (6, "ListServiceResponse"),
        "error_response": (7, "ErrorResponse"),
    },
    "FileDescriptorResponse": {"file_descriptor_proto": (1, "repeated bytes")},
    "ExtensionNumberResponse": {"base_type_name": (1, "string"), "extension_number": (2, "repeated int32")},
    "ListServiceResponse": {"service": (1, "repeated ServiceResponse")},
    "ServiceResponse": {"name": (1, "string")},
    "ErrorResponse": {"error_code": (1, "int32"), "error_message": (2, "string")},
}
"""The messages of the protocol: names, numbers and types of their fields. Both versions have the same."""
_TYPES = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "int32": FieldDescriptorProto.TYPE_INT32,
}


async def reflect(exchange: AsgiExchange, receive: Receive, send: Send) -> None:
    """Handle a call of the method, a stream in which each request gets its response at once."""
    headers = [(b"content-type", b"application/grpc")]
    await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": True})
    version, encoding = PATHS[exchange.scope["path"]], exchange.header(b"grpc-encoding") or ""
    trailers = [(b"grpc-status", b"0")]
    try:
        buffer, more = b"", True
        while more:
            event = await receive()
            if event["type"] != "http.request":
                return
            buffer += event.get("body", b"")
            more = event.get("more_body", False)
            while (message := _first_message(buffer)) is not None:
                response = respond(version, decompress(message, encoding) if buffer[0] & 1 else message)
                buffer = buffer[_PREFIX + len(message) :]
                frame = b"\0" + len(response).to_bytes(4, "big") + response
                await send({"type": "http.response.body", "body": frame, "more_body": True})
    except RpcError as error:
        trailers = [(b"grpc-status", b"%d" % GRPC_NUMBERS[error.code]), (b"grpc-message", error.message.encode())]
    await send({"type": "http.response.body", "body": b""})
    await send({"type": "http.response.trailers", "headers": trailers})


def respond(version: str, body: bytes) -> bytes:
    """Return the response to one request of the stream."""
    messages = _messages(version)
    try:
        request = messages["ServerReflectionRequest"].FromString(body)
    except Exception:
        raise RpcError("invalid_argument", "unmarshal message: wrong wire format") from None
    response = messages["ServerReflectionResponse"](valid_host=request.host, original_request=request)
    kind = next((name for name in _RESPONDERS if request.HasField(name)), None)
    try:
        if kind is None:
            raise KeyError("the request asks for nothing that is known")
        _RESPONDERS[kind](response, getattr(request, kind))
    except KeyError as error:
        response.error_response.error_code = GRPC_NUMBERS["not_found" if kind else "invalid_argument"]
        response.error_response.error_message = str(error.args[0])
    encoded: bytes = response.SerializeToString()
    return encoded


def descriptor_set() -> FileDescriptorSet:
    """Return the descriptions of all that travels in binary, each file after those that it imports."""
    return FileDescriptorSet(file=list(_files().values()))


def _first_message(buffer: bytes) -> bytes | None:
    """Return the first message of a stream, as it was sent; None if it has not arrived yet."""
    if len(buffer) < _PREFIX:
        return None
    size = int.from_bytes(buffer[1:_PREFIX], "big")
    if size > MAX_MESSAGE_BYTES:
        raise too_large()
    return buffer[_PREFIX : _PREFIX + size] if len(buffer) >= _PREFIX + size else None


def _list_services(response: Any, _: str) -> None:
    names = [*_service_names(), *(path.split("/")[1] for path in PATHS)]
    for name in sorted(names):
        response.list_services_response.service.add(name=name)


def _file_by_name(response: Any, name: str) -> None:
    if name not in _files():
        raise KeyError(f"file not found: {name}")
    _add_with_imports(response.file_descriptor_response.file_descriptor_proto, name)


def _file_with_symbol(response: Any, symbol: str) -> None:
    found = next((name for name, file in _files().items() if symbol in _symbols(file)), None)
    if found is None:
        raise KeyError(f"symbol not found: {symbol}")
    _add_with_imports(response.file_descriptor_response.file_descriptor_proto, found)


def _file_with_extension(response: Any, request: Any) -> None:
    for name, number, kind in _extensions():
        if (number, kind) == (request.extension_number, request.containing_type):
            _add_with_imports(response.file_descriptor_response.file_descriptor_proto, name)
            return
    raise KeyError(f"extension not found: {request.containing_type} {request.extension_number}")


def _extension_numbers(response: Any, kind: str) -> None:
    numbers = [number for _, number, extended in _extensions() if extended == kind]
    if not numbers and not any(kind in _symbols(file) for file in _files().values()):
        raise KeyError(f"type not found: {kind}")
    response.all_extension_numbers_response.base_type_name = kind
    response.all_extension_numbers_response.extension_number.extend(sorted(numbers))


_RESPONDERS: Mapping[str, Callable[[Any, Any], None]] = {
    "file_by_filename": _file_by_name,
    "file_containing_symbol": _file_with_symbol,
    "file_containing_extension": _file_with_extension,
    "all_extension_numbers_of_type": _extension_numbers,
    "list_services": _list_services,
}


def _add_with_imports(target: Any, name: str) -> None:
    files = _files()
    wanted = [name]
    for each in wanted:
        target.append(files[each].SerializeToString())
        wanted.extend(other for other in files[each].dependency if other not in wanted)


@cache
def _files() -> Mapping[str, FileDescriptorProto]:
    """Return all files by their names, each after those that it imports."""
    found: dict[str, FileDescriptorProto] = {}

    def add(file: Any) -> None:
        if file.name in found:
            return
        for each in file.dependencies:
            add(each)
        proto = FileDescriptorProto()
        file.CopyToProto(proto)
        _leave_out_placeholders(proto)
        found[file.name] = proto

    for method in METHODS.values():
        if not method.json_only:
            descriptor: Any = method.request.DESCRIPTOR
            add(descriptor.file)
    for version in dict.fromkeys(PATHS.values()):
        file = _protocol_file(version)
        found[file.name] = file
    return found


def _leave_out_placeholders(file: FileDescriptorProto) -> None:
    for message in file.message_type:
        kept = [field for field in message.field if field.number < FIRST_PLACEHOLDER]
        del message.field[:]
        message.field.extend(kept)
    services = [service for service in file.service if f"{file.package}.{service.name}" in _service_names()]
    del file.service[:]
    file.service.extend(services)


def _service_names() -> Collection[str]:
    return dict.fromkeys(method.path.split("/")[1] for method in METHODS.values() if not method.json_only)


@cache
def _symbols_of(name: str) -> frozenset[str]:
    return frozenset(_names(_files()[name]))


def _symbols(file: FileDescriptorProto) -> frozenset[str]:
    return _symbols_of(file.name)


def _names(file: FileDescriptorProto) -> Iterator[str]:
    """Yield the full name of everything in a file."""
    prefix = f"{file.package}." if file.package else ""
    for service in file.service:
        yield prefix + service.name
        yield from (f"{prefix}{service.name}.{method.name}" for method in service.method)
    for enum in file.enum_type:
        yield prefix + enum.name
    for extension in file.extension:
        yield prefix + extension.name
    for message in file.message_type:
        yield from _names_in(message, prefix)


def _names_in(message: DescriptorProto, prefix: str) -> Iterator[str]:
    name = prefix + message.name
    yield name
    parts = [message.field, message.enum_type, message.oneof_decl]
    yield from (f"{name}.{each.name}" for part in parts for each in cast(Any, part))
    for nested in message.nested_type:
        yield from _names_in(nested, f"{name}.")


def _extensions() -> Iterator[tuple[str, int, str]]:
    """Yield file, number and extended message of every extension."""
    for name, file in _files().items():
        for each in file.extension:
            yield name, each.number, each.extendee.removeprefix(".")


@cache
def _messages(version: str) -> Mapping[str, Any]:
    """Return the message types of a version of the protocol."""
    pool = descriptor_pool.DescriptorPool()
    file = _protocol_file(version)
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{name}")) for name in _FIELDS
    }


@cache
def _protocol_file(version: str) -> FileDescriptorProto:
    package = f"grpc.reflection.{version}"
    file = FileDescriptorProto(
        name=f"grpc/reflection/{version}/reflection.proto",
        package=package,
        syntax="proto3",
        message_type=[_message(name, fields, package) for name, fields in _FIELDS.items()],
    )
    service = file.service.add(name="ServerReflection")
    request, response = (f".{package}.ServerReflection{each}" for each in ("Request", "Response"))
    service.method.add(
        name="ServerReflectionInfo",
        input_type=request,
        output_type=response,
        client_streaming=True,
        server_streaming=True,
    )
    return file


def _message(name: str, fields: Mapping[str, tuple[int, str]], package: str) -> DescriptorProto:
    message = DescriptorProto(name=name)
    # What is asked and what is responded are alternatives: the fields after the first one or two of these messages.
    oneof = {"ServerReflectionRequest": "message_request", "ServerReflectionResponse": "message_response"}.get(name)
    if oneof:
        message.oneof_decl.add(name=oneof)
    for field, (number, kind) in fields.items():
        repeated, _, bare = kind.rpartition(" ")
        added = message.field.add(name=field, number=number)
        added.label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
        if bare in _TYPES:
            added.type = _TYPES[bare]
        else:
            added.type, added.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{package}.{bare}"
        if oneof and number > 2:
            added.oneof_index = 0
    return message

"""The suite's messages, made from its descriptors, and their translation into terms of our transports.

The descriptors come from the suite's .proto files, compiled by `tools/conformance` into the file that
`CONFORMANCE_DESCRIPTORS` names.
"""

import os
from base64 import b64decode
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message

from cwinference import errors
from cwinference._wire.methods import Method
from cwinference.config import MAX_REPLY_BYTES, Certificates, Endpoint, Settings
from cwinference.transports.base import ResponseMetadata

_PACKAGE = "connectrpc.conformance.v1"
_POOL = descriptor_pool.Default()
_NUMBER_OF = {kind: number for number, kind in errors.BY_NUMBER.items()}
_UNKNOWN, _INTERNAL = 2, 13

HTTP_1, CONNECT, JSON, GZIP = 1, 1, 2, 2
"""Values of the suite's enums HTTPVersion, Protocol, Codec and Compression."""


def _load() -> None:
    files = FileDescriptorSet.FromString(Path(os.environ["CONFORMANCE_DESCRIPTORS"]).read_bytes())
    for file in files.file:
        try:
            _POOL.FindFileByName(file.name)
        except KeyError:
            _POOL.AddSerializedFile(file.SerializeToString())


_load()


def message_class(name: str) -> type[Message]:
    """Return the class of a message of the suite by its short name."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


Case: Any = message_class("ClientCompatRequest")
Result: Any = message_class("ClientCompatResponse")


def method_of(case: Any) -> Method:
    """Return the method that a case calls."""
    return Method.of(_POOL.FindServiceByName(case.service).FindMethodByName(case.method))


def request_of(case: Any, method: Method) -> Message:
    """Return the request that a case sends."""
    return method.request.FromString(case.request_messages[0].value)


def is_raw(case: Any) -> bool:
    """Return whether the case gives the bytes of the response."""
    request: Any = request_of(case, method_of(case))
    return hasattr(request, "response_definition") and request.response_definition.HasField("raw_response")


def settings_of(case: Any) -> Settings:
    """Return the connection settings of a case."""
    creds = case.client_tls_creds
    return Settings(
        endpoint=Endpoint("https" if case.server_tls_cert else "http", case.host, case.port),
        transport="connect" if case.protocol == CONNECT else "grpc",
        codec="json" if case.codec == JSON else "proto",
        http_version=1 if case.http_version == HTTP_1 else 2,
        certificates=Certificates(case.server_tls_cert or None, creds.cert or None, creds.key or None),
        max_reply_bytes=case.message_receive_limit or MAX_REPLY_BYTES,
    )


def options_of(case: Any) -> dict[str, bool]:
    """Return the transport options of a case."""
    options = {"compress": case.compression == GZIP}
    if case.protocol == CONNECT:
        options["use_get"] = case.use_get_http_method
    return options


def metadata_of(case: Any) -> tuple[tuple[str, Any], ...]:
    """Return the request headers; over gRPC, binary ones as bytes."""
    binary = case.protocol != CONNECT
    return tuple(
        (header.name.lower(), _bytes(value) if binary and header.name.lower().endswith("-bin") else value)
        for header in case.request_headers
        for value in header.value
    )


def succeeded(case: Any, response: Any, metadata: ResponseMetadata) -> Any:
    """Return the outcome of a call with a response."""
    result = _result(case, metadata)
    result.response.payloads.append(response.payload)
    return result


def failed(case: Any, error: Exception, metadata: ResponseMetadata) -> Any:
    """Return the outcome of a call that failed."""
    result = _result(case, metadata)
    failure = result.response.error
    if isinstance(error, errors.ApiError):
        failure.code, failure.message = _NUMBER_OF[type(error)], error.message
        failure.details.extend(map(_packed, error.details))
    else:
        failure.code, failure.message = _code_of_protocol_error(metadata), str(error)
    return result


def canceled(case: Any) -> Any:
    """Return the outcome of a call that was canceled by its task."""
    result = _result(case, ResponseMetadata())
    result.response.error.code = _NUMBER_OF[errors.Cancelled]
    return result


def not_run(case: Any, reason: str) -> Any:
    """Return the outcome of a case that could not be run."""
    result = Result(test_name=case.test_name)
    result.error.message = reason
    return result


def _code_of_protocol_error(metadata: ResponseMetadata) -> int:
    """Return the protocol's code for a ProtocolError: unknown for another media type, otherwise internal."""
    media_type = dict(metadata.headers).get("content-type", "application/")
    return _INTERNAL if media_type.startswith("application/") else _UNKNOWN


def _result(case: Any, metadata: ResponseMetadata) -> Any:
    result = Result(test_name=case.test_name)
    result.response.SetInParent()
    for pairs, headers in (
        (metadata.headers, result.response.response_headers),
        (metadata.trailers, result.response.response_trailers),
    ):
        for name, values in _grouped(pairs).items():
            headers.add(name=name, value=values)
    return result


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def _packed(detail: Message) -> AnyMessage:
    if isinstance(detail, AnyMessage):
        return detail
    packed = AnyMessage()
    packed.Pack(detail)
    return packed


def _bytes(text: str) -> bytes:
    return b64decode(text + "=" * (-len(text) % 4))

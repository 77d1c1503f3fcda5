"""gRPC server reflection: tools learn the methods and messages from the emulator, as grpcurl does."""

import queue
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from cwinference._wire.methods import FIRST_PLACEHOLDER, METHODS
from cwinference.emulator import Emulator
from cwinference.emulator.protocols import reflection
from tests.support.admin_requests import raw_request
from tests.support.emulated_protocols import ApiServer

from .test_server import Http2

VERSIONS = ("v1", "v1alpha")
PACKAGE = "coreweave.inference.v1alpha1"


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


def encoded(message: Any) -> bytes:
    binary: bytes = message.SerializeToString()
    return binary


@contextmanager
def reflecting(emulator: Emulator, version: str = "v1", **options: Any) -> Generator[Callable[..., Any]]:
    """Open the stream; yield a function that sends a request and returns the response, before the next is sent."""
    service = f"grpc.reflection.{version}.ServerReflection"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(reflection._protocol_file(version).SerializeToString())
    request, response = (
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{service}{each}"))
        for each in ("Request", "Response")
    )
    requests: queue.Queue[Any] = queue.Queue()
    with grpc.insecure_channel(emulator.endpoint.removeprefix("http://"), **options) as channel:
        call: Any = channel.stream_stream(
            f"/{service}/ServerReflectionInfo",
            request_serializer=encoded,
            response_deserializer=response.FromString,
        )
        stream = call(iter(requests.get, None), timeout=30)

        def ask(**fields: Any) -> Any:
            requests.put(request(**fields))
            return next(stream)

        yield ask
        requests.put(None)
        assert list(stream) == []
        assert stream.code() == grpc.StatusCode.OK


def files_in(response: Any) -> list[FileDescriptorProto]:
    return [FileDescriptorProto.FromString(each) for each in response.file_descriptor_response.file_descriptor_proto]


@pytest.mark.parametrize("version", VERSIONS)
def test_services_are_listed(emulator: Emulator, version: str) -> None:
    with reflecting(emulator, version) as ask:
        names = [each.name for each in ask(list_services="*", host="h").list_services_response.service]
    assert [each for each in names if each.startswith(PACKAGE)] == [
        f"{PACKAGE}.{each}Service" for each in ("CapacityClaim", "Deployment", "Gateway")
    ]
    assert {f"grpc.reflection.{each}.ServerReflection" for each in VERSIONS} <= set(names)


def test_a_tool_can_call_a_method_with_nothing_but_what_it_learned(emulator: Emulator) -> None:
    with reflecting(emulator) as ask:
        pool = descriptor_pool.DescriptorPool()
        pending = files_in(ask(file_containing_symbol=f"{PACKAGE}.GatewayService.ListGateways"))
        while pending:
            file = pending.pop()
            try:
                pool.AddSerializedFile(file.SerializeToString())
            except TypeError:
                pending.insert(0, file)  # after the files that it imports
    method = pool.FindMethodByName(f"{PACKAGE}.GatewayService.ListGateways")
    request, response = map(message_factory.GetMessageClass, (method.input_type, method.output_type))
    with grpc.insecure_channel(emulator.endpoint.removeprefix("http://")) as channel:
        call: Any = channel.unary_unary(
            f"/{PACKAGE}.GatewayService/ListGateways",
            request_serializer=encoded,
            response_deserializer=response.FromString,
        )
        assert call(request(), metadata=[("authorization", f"Bearer {emulator.token}")]) == response()


def test_files_types_and_extensions_are_found(emulator: Emulator) -> None:
    with reflecting(emulator) as ask:
        by_name = files_in(ask(file_by_filename="coreweave/inference/v1alpha1/deployment.proto"))
        assert by_name[0].package == PACKAGE
        assert "google/api/annotations.proto" in [each.name for each in by_name]
        for symbol in ("DeploymentSpec.model", "DeploymentAutoscaling.CapacityClass", "Status", "Gateway"):
            assert files_in(ask(file_containing_symbol=f"{PACKAGE}.{symbol}"))[0].package == PACKAGE
        options = "google.protobuf.MethodOptions"
        found = ask(file_containing_extension={"containing_type": options, "extension_number": 72295728})
        assert files_in(found)[0].name == "google/api/annotations.proto"
        numbers = ask(all_extension_numbers_of_type=options).all_extension_numbers_response
        assert (numbers.base_type_name, list(numbers.extension_number)) == (options, [72295728])


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"file_by_filename": "x.proto"}, "file not found: x.proto"),
        ({"file_containing_symbol": "x.Y"}, "symbol not found: x.Y"),
        ({"file_containing_symbol": f"{PACKAGE}.HotLoadService"}, "symbol not found"),
        ({"file_containing_extension": {"containing_type": "x", "extension_number": 1}}, "extension not found: x 1"),
        ({"all_extension_numbers_of_type": "x"}, "type not found: x"),
        ({}, "the request asks for nothing that is known"),
    ],
)
def test_what_is_not_there_is_an_error_and_the_stream_goes_on(emulator: Emulator, asked: Any, text: str) -> None:
    with reflecting(emulator) as ask:
        error = ask(**asked).error_response
        assert text in error.error_message
        assert error.error_code == (5 if asked else 3)
        assert ask(list_services="").list_services_response.service


def test_compressed_requests_are_read(emulator: Emulator) -> None:
    with reflecting(emulator, compression=grpc.Compression.Gzip) as ask:
        assert ask(file_containing_symbol="x" * 5000).error_response.error_code == 5


def test_numbers_that_are_not_published_are_not_shown() -> None:
    for file in reflection.descriptor_set().file:
        for message in file.message_type:
            assert all(field.number < FIRST_PLACEHOLDER for field in message.field)


def test_the_descriptor_set_has_every_binary_method_and_imports_come_first() -> None:
    pool = descriptor_pool.DescriptorPool()
    for file in reflection.descriptor_set().file:
        pool.AddSerializedFile(file.SerializeToString())
    for method in METHODS.values():
        name = method.path.removeprefix("/").replace("/", ".")
        if method.json_only:
            with pytest.raises(KeyError):
                pool.FindMethodByName(name)
        else:
            assert pool.FindMethodByName(name).input_type.full_name == method.request.DESCRIPTOR.full_name


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"\0\0\0\0\2\xff\xff", "3"), (b"\0\xff\xff\xff\xff", "8"), (b"\1\0\0\0\1x", "3"), (b"", "0")],
)
def test_what_is_no_request_ends_the_stream_with_an_error(server: ApiServer, body: bytes, status: str) -> None:
    connection = Http2(server.port)
    number = connection.request(("grpc-encoding", "gzip"), path=next(iter(reflection.PATHS)), kind="application/grpc")
    connection.data(number, body, end=True)
    assert connection.response(number)[0]["grpc-status"] == status
    connection.close()


def test_over_http_1_it_is_not_there(emulator: Emulator) -> None:
    path = next(iter(reflection.PATHS))
    response = raw_request(emulator, "POST", path, b"", {"content-type": "application/grpc"})
    assert response.status == 505

"""The descriptors match `tests/samples/wire.txt`: names, numbers, types, oneofs, field behaviors and http rules."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf import descriptor_pb2

from cwinference import types
from tests.support import samples

PACKAGE = "coreweave.inference.v1alpha1"
PROTOS = Path(__file__).parents[2] / "proto" / "coreweave" / "inference" / "v1alpha1"
FILES = {
    Path(kind.DESCRIPTOR.file.name).name: kind.DESCRIPTOR.file
    for kind in (types.Condition, types.Gateway, types.Deployment, types.CapacityClaim, types.HotLoad)
} | {"status.proto": types.Status.DESCRIPTOR.file}
Field = descriptor_pb2.FieldDescriptorProto


def written() -> dict[str, str]:
    """Return the blocks of the table by file and first line."""
    text = re.sub(r"^#.*\n", "", (samples.DIRECTORY / "wire.txt").read_text("utf-8"), flags=re.MULTILINE)
    blocks, file = {}, ""
    for block in text.strip().split("\n\n"):
        if block.startswith("file "):
            file = block.removeprefix("file ")
        else:
            blocks[f"{file}: {block.partition(chr(10))[0]}"] = block
    return blocks


def described() -> dict[str, str]:
    """Return the same for the descriptors."""
    blocks = {}
    for name, descriptor in FILES.items():
        file = descriptor_pb2.FileDescriptorProto()
        descriptor.CopyToProto(file)
        for head, lines in (*services(file), *enums(file.enum_type), *messages(file.message_type)):
            blocks[f"{name}: {head}"] = "\n".join([head, *(f"  {line}" for line in lines)])
    return blocks


Block = tuple[str, list[str]]


def services(file: descriptor_pb2.FileDescriptorProto) -> Iterator[Block]:
    for service in file.service:
        yield f"service {service.name}", [f"{method.name}: {rule(method.options)}" for method in service.method]


def rule(options: Any) -> str:
    http = options.Extensions[annotations_pb2.http]
    verb = http.WhichOneof("pattern")
    text = f"{verb.upper()} {getattr(http, verb)}"
    if http.body:
        text += f", body {http.body}"
    if options.HasField("idempotency_level"):
        text += ", " + options.IdempotencyLevel.Name(options.idempotency_level).lower().replace("_", " ")
    return text


def enums(found: Any, prefix: str = "") -> Iterator[Block]:
    for enum in found:
        lines = [f"{value.number} {value.name}" for value in enum.value]
        # The end of an enum's reserved range is in it, the end of a message's is not.
        yield f"enum {prefix}{enum.name}", [*lines, *reserved(enum, extra=1)]


def messages(found: Any, prefix: str = "") -> Iterator[Block]:
    for message in found:
        if message.options.map_entry:
            continue
        inner = f"{prefix}{message.name}."
        yield f"message {inner[:-1]}", [*fields(message), *reserved(message, extra=0)]
        yield from enums(message.enum_type, inner)
        yield from messages(message.nested_type, inner)


def reserved(element: Any, extra: int) -> Iterator[str]:
    numbers = [str(number) for each in element.reserved_range for number in range(each.start, each.end + extra)]
    if numbers:
        yield " ".join(["reserved", *numbers, *element.reserved_name])


def fields(message: descriptor_pb2.DescriptorProto) -> Iterator[str]:
    maps = {each.name: each for each in message.nested_type if each.options.map_entry}
    for field in message.field:
        entry = maps.get(field.type_name.rpartition(".")[2])
        parts = [type_of(field) if entry is None else f"map<{', '.join(map(type_of, entry.field))}>"]
        if entry is None and field.label == Field.LABEL_REPEATED:
            parts[0] = f"repeated {parts[0]}"
        if field.HasField("oneof_index"):
            parts.append(f"oneof {message.oneof_decl[field.oneof_index].name}")
        options: Any = field.options
        parts += map(field_behavior_pb2.FieldBehavior.Name, options.Extensions[field_behavior_pb2.field_behavior])
        yield f"{field.number} {field.name}: {', '.join(parts)}"


def type_of(field: descriptor_pb2.FieldDescriptorProto) -> str:
    if field.type_name:
        return field.type_name.removeprefix(f".{PACKAGE}.").removeprefix(".google.protobuf.")
    return Field.Type.Name(field.type).removeprefix("TYPE_").lower()


WRITTEN, DESCRIBED = written(), described()


@pytest.mark.parametrize("block", sorted(WRITTEN.keys() | DESCRIBED.keys()))
def test_the_descriptors_match_what_is_published(block: str) -> None:
    assert DESCRIBED.get(block) == WRITTEN.get(block)


@pytest.mark.parametrize("name", FILES)
def test_a_file_has_the_right_package_and_syntax(name: str) -> None:
    file = descriptor_pb2.FileDescriptorProto()
    FILES[name].CopyToProto(file)

    assert (file.name, file.package, file.syntax) == (f"coreweave/inference/v1alpha1/{name}", PACKAGE, "proto3")


def test_the_table_covers_every_proto_file() -> None:
    assert {path.name for path in PROTOS.iterdir()} == FILES.keys()


def test_every_method_has_request_and_response_types_named_after_it() -> None:
    for file in FILES.values():
        for service in file.services_by_name.values():
            for method in service.methods:
                names = (method.input_type.name, method.output_type.name)
                assert names == (f"{method.name}Request", f"{method.name}Response")


DECLARATION = re.compile(r"^ *(message|enum|service|rpc|oneof|[\w.<>, ]+ \w+ = \d+( \[|;)|\w+ = \d+;)")


@pytest.mark.parametrize("path", sorted(PROTOS.iterdir()), ids=lambda path: path.name)
def test_every_element_of_a_proto_has_a_comment(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    bare = [
        line for before, line in pairwise(lines) if DECLARATION.match(line) and not before.lstrip().startswith("//")
    ]
    assert bare == []


def test_every_placeholder_among_published_fields_is_marked_in_its_comment() -> None:
    for path in PROTOS.iterdir():
        text = path.read_text("utf-8")
        if path.name != "hot_load.proto":
            assert text.count(" = 6000") == text.count("// PLACEHOLDER NUMBER")
    assert (PROTOS / "hot_load.proto").read_text("utf-8").startswith("// PLACEHOLDER NUMBERS:")

"""Validates requests with protovalidate: `Oracle().violations(type name, request as JSON)`.

It runs in an environment of its own (see `make rules`), since cwinference does not depend on protovalidate and
grpcio-tools.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    field_mask_pb2,
    json_format,
    message_factory,
    timestamp_pb2,
)
from grpc_tools import protoc
from protovalidate import Validator
from protovalidate._gen.buf.validate import validate_pb

HERE = Path(__file__).parent
PACKAGE = "coreweave.inference.v1alpha1"


class Oracle:
    """protovalidate, applied to the annotated messages of `requests.proto`."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.DescriptorPool()
        for file in _compiled():
            self._pool.Add(file)
        self._validator = Validator()

    def violations(self, kind: str, request: dict[str, Any]) -> list[tuple[str, str, str]]:
        """Return path, rule id and message of each violation, in the order of protovalidate."""
        message = message_factory.GetMessageClass(self._pool.FindMessageTypeByName(f"{PACKAGE}.{kind}"))()
        json_format.ParseDict(request, message)
        found = [each.proto for each in self._validator.collect_violations(message)]
        return [(_path(each.field), each.rule_id, each.message) for each in found]


def _compiled() -> Iterator[descriptor_pb2.FileDescriptorProto]:
    known = descriptor_pb2.FileDescriptorSet()
    for module in (descriptor_pb2, duration_pb2, timestamp_pb2, field_mask_pb2):
        module.DESCRIPTOR.CopyToProto(known.file.add())
    known.file.add().ParseFromString(validate_pb.desc().proto.to_binary())
    with tempfile.TemporaryDirectory() as directory:
        image, out = Path(directory, "known.binpb"), Path(directory, "out.binpb")
        image.write_bytes(known.SerializeToString())
        options = [f"--proto_path={HERE}", f"--descriptor_set_in={image}", f"--descriptor_set_out={out}"]
        if protoc.main(["protoc", *options, "--include_imports", "rules.proto", "requests.proto"]):
            raise SystemExit("the annotated protos do not compile")
        yield from descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file


def _path(field: Any) -> str:
    return ".".join(each.field_name + _subscript(each) for each in field.elements) if field else ""


def _quote(key: str) -> str:
    """Quote a key as protovalidate for Go does: like JSON, apart from control characters."""
    special = {"\a": r"\a", "\v": r"\v", "\x7f": r"\x7f"}
    plain = {each: json.dumps(each, ensure_ascii=False)[1:-1] for each in key}
    quoted = {each: text.replace(r"\u00", r"\x", 1) for each, text in plain.items()}
    return '"' + "".join(special.get(each, quoted[each]) for each in key) + '"'


def _subscript(element: Any) -> str:
    match element.subscript:
        case None:
            return ""
        case chosen if chosen.field == "string_key":
            return f"[{_quote(chosen.value)}]"
        case chosen:
            return f"[{chosen.value}]"

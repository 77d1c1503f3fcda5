"""A protoc plugin that writes gRPC's Python stubs and their types, for files that contain a service.

No package ships gRPC's own plugin as a program, so this one replays buf's request through the compiler inside
grpcio-tools. The types are those of protoc-gen-mypy_grpc, which by itself would also write files without content.
It also writes `py.typed`, since `clean: true` empties gen/.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2
from grpc_tools import protoc

PY_TYPED = ("coreweave/inference/py.typed", "coreweave/inference/v1alpha1/py.typed")
"""The first is the usual place; in a namespace package, pyright looks only next to the modules."""


def main() -> int:
    request = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    response = plugin_pb2.CodeGeneratorResponse(
        supported_features=plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    )
    without_service = {file.name for file in request.proto_file if not file.service}
    wanted = [name for name in request.file_to_generate if name not in without_service]
    del request.file_to_generate[:]
    request.file_to_generate.extend(wanted)
    with tempfile.TemporaryDirectory() as folder:
        image, out = Path(folder, "image.binpb"), Path(folder, "out")
        out.mkdir()
        image.write_bytes(descriptor_pb2.FileDescriptorSet(file=request.proto_file).SerializeToString())
        if protoc.main(["protoc", f"--descriptor_set_in={image}", f"--grpc_python_out={out}", *wanted]):
            response.error = "grpcio-tools failed"
        for path in sorted(path for path in out.rglob("*") if path.is_file()):
            response.file.add(name=path.relative_to(out).as_posix(), content=path.read_text("utf-8"))
    types = subprocess.run(
        ["protoc-gen-mypy_grpc"], input=request.SerializeToString(), stdout=subprocess.PIPE, check=True
    )
    response.file.extend(plugin_pb2.CodeGeneratorResponse.FromString(types.stdout).file)
    for name in PY_TYPED:
        response.file.add(name=name, content="")
    sys.stdout.buffer.write(response.SerializeToString())
    return 0


if __name__ == "__main__":
    sys.exit(main())

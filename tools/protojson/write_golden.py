"""Writes tests/emulator/json_spellings.golden.json: what Go's ProtoJSON parser makes of each of the spellings."""

import json
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2

from cwinference import types
from tests.emulator.json_spellings import digest, spellings

HERE = Path(__file__).parent
TARGET = HERE.parents[1] / "tests/emulator/json_spellings.golden.json"


def descriptors() -> bytes:
    """Return the definitions of all messages and everything that they import, imports first."""
    files: dict[str, Any] = {}

    def add(file: Any) -> None:
        for each in file.dependencies:
            add(each)
        files.setdefault(file.name, file)

    for kind, _ in spellings():
        add(getattr(types, kind).DESCRIPTOR.file)
    encoded = descriptor_pb2.FileDescriptorSet()
    for each in files.values():
        each.CopyToProto(encoded.file.add())
    return encoded.SerializeToString()


def main() -> None:
    cases = list(spellings())
    question = {
        "descriptors": b64encode(descriptors()).decode(),
        "types": [getattr(types, kind).DESCRIPTOR.full_name for kind, _ in cases],
        "texts": [b64encode(text).decode() for _, text in cases],
    }
    run = subprocess.run(
        ["go", "run", "."], cwd=HERE, input=json.dumps(question).encode(), capture_output=True, check=True
    )
    results = json.loads(run.stdout)
    lines = [json.dumps(each, ensure_ascii=False, separators=(",", ":")) for each in results]
    TARGET.write_text(f'{{"spellings":"{digest()}","results":[\n' + ",\n".join(lines) + "\n]}\n", "utf-8")
    print(len(results), "texts,", sum(each is None for each in results), "of them refused")


if __name__ == "__main__":
    main()

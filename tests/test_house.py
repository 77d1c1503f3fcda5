"""Rules of the house that no linter knows: who may import what, and names that must agree."""

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf.message import Message

import cwinference
from cwinference import Client, types
from cwinference._methods import METHODS

SOURCE = Path(cwinference.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))

OWNERS = {
    "grpc": ("transports",),
    "pyqwest": ("transports",),
    "coreweave": ("types",),
    "hypercorn": ("emulator",),
    "h2": ("emulator",),
    "h11": ("emulator",),
}
"""The parts that alone may import a library."""

BELOW = {
    "types": {"types"},
    "transports": {"transports", "types", "errors", "config", "auth", "_details", "_json", "_methods"},
    "resources": {"resources", "types", "errors", "status", "config"}
    | {"_call", "_flow", "_json", "_methods", "_operation", "_retry"},
}
"""What a part may import of the library."""

RENAMED = {"parameters": "Get{0}Parameters", "list": "List{0}s", "replicas": "List{0}Replicas"}
RESOURCES = {
    "gateways": "Gateway",
    "deployments": "Deployment",
    "capacity_claims": "CapacityClaim",
    "hot_loads": "HotLoad",
}
NOT_OF_THE_REQUEST = {"wait", "options"}


def part(path: Path) -> str:
    """`transports` of `cwinference/transports/rest.py`, `types` of `cwinference/types.py`."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Full names of what a module imports, wherever in it."""
    package = [SOURCE.name, *path.relative_to(SOURCE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            yield from (".".join([*base, *filter(None, [node.module]), name.name]) for name in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_a_library_is_imported_only_where_it_belongs(path: Path) -> None:
    foreign = [name for name in imported(path) if part(path) not in OWNERS.get(name.split(".")[0], (part(path),))]

    assert foreign == []


@pytest.mark.parametrize("path", [path for path in MODULES if part(path) in BELOW], ids=lambda path: path.stem)
def test_a_part_imports_only_what_lies_below_it(path: Path) -> None:
    ours = {name.split(".")[1] for name in imported(path) if name.startswith(f"{SOURCE.name}.")}

    assert ours - BELOW[part(path)] == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_the_environment_is_read_in_one_place(path: Path) -> None:
    reads = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)]

    assert part(path) == "config" or not {"environ", "getenv"} & {node.attr for node in reads}


def test_transports_are_imported_when_one_is_chosen() -> None:
    program = "import sys, cwinference; print({'grpc', 'pyqwest', 'hypercorn'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)

    assert done.stdout == "set()\n"


@pytest.mark.parametrize("name", ["", ".auth", ".config", ".emulator", ".errors", ".inference", ".status", ".types"])
def test_public_names_exist_and_stand_once(name: str) -> None:
    module: ModuleType = importlib.import_module(f"cwinference{name}")
    public = getattr(module, "__all__", [])

    assert [each for each in public if not hasattr(module, each)] == []
    assert len(set(public)) == len(public)


def fields_of(resource: str, method: str) -> set[str] | None:
    """Fields of the request behind a method of a resource; None when it is made of several calls."""
    pattern = RENAMED.get(method, f"{method.capitalize()}{{0}}")
    request: type[Message] | None = getattr(types, f"{pattern.format(RESOURCES[resource])}Request", None)
    return None if request is None else {field.name for field in METHODS[request].request.DESCRIPTOR.fields}


def test_arguments_carry_the_names_of_the_request_s_fields() -> None:
    seen = 0
    with Client("token", endpoint="http://localhost:1") as client:
        for resource in RESOURCES:
            methods = getattr(client, resource)
            for method in (name for name in dir(methods) if not name.startswith("_")):
                fields = fields_of(resource, method)
                if fields is not None:
                    arguments = inspect.signature(getattr(methods, method)).parameters.keys() - NOT_OF_THE_REQUEST
                    assert arguments == fields - {"max_page_size", "page_token"}, f"{resource}.{method}"
                    seen += 1
    assert seen == len(METHODS)

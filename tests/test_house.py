"""Rules of the house that no linter knows: who may import what, and names that must agree."""

import ast
import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor

import cwinference
from cwinference import AsyncClient, Client, types
from cwinference._wire.methods import METHODS

SOURCE = Path(cwinference.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))

OWNERS = {
    "grpc": ("transports",),
    "pyqwest": ("transports",),
    "connectrpc": (),
    "coreweave": ("types",),
    "hypercorn": ("emulator",),
    "h2": ("emulator",),
    "h11": ("emulator",),
}
"""The parts that alone may import a library."""

BELOW = {
    "types": {"types", "_type_docs"},
    "transports": {"transports", "types", "errors", "config", "auth", "_locks", "_text", "_wire"},
    "resources": {"resources", "types", "errors", "status", "config", "_calls", "_text", "_wire"},
}
"""What a part may import of the library."""

FACADE = ("auth", "client", "config", "errors", "resources", "status", "types")
NOT_FIELDS = {"wait", "timeout", "retry", "max_page_size", "page_token"}


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


def loaded_by(statement: str) -> set[str]:
    """The packages that a fresh interpreter has loaded after a statement."""
    program = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(done.stdout))


HEAVY = {
    "grpc", "connectrpc", "pyqwest", "hypercorn", "h2", "openai", "httpx", "requests", "protobuf",
    "cwinference.emulator", "cwinference.inference",
}  # fmt: skip


def test_an_import_loads_no_transport_no_emulator_and_no_completions() -> None:
    assert loaded_by("import cwinference") & HEAVY == set()


@pytest.mark.parametrize("name", ["Inference", "AsyncInference"])
def test_completions_are_loaded_when_they_are_asked_for(name: str) -> None:
    assert "cwinference.inference" in loaded_by(f"from cwinference import {name}")
    with pytest.raises(AttributeError, match="no attribute 'Inferences'"):
        importlib.import_module("cwinference").__getattr__("Inferences")


@pytest.mark.parametrize(
    ("transport", "allowed"), [("grpc", {"grpc"}), ("connect", {"pyqwest"}), ("rest", {"pyqwest"})]
)
def test_a_transport_is_loaded_only_when_it_was_chosen(transport: str, allowed: set[str]) -> None:
    program = (
        "import contextlib, cwinference\n"
        "with contextlib.suppress(cwinference.errors.Unavailable):\n"
        f" cwinference.Client('t', endpoint='http://localhost:1', transport={transport!r}, retry=None).gateways.list()"
    )
    assert loaded_by(program) & HEAVY == allowed


@pytest.mark.parametrize("name", ["", ".auth", ".config", ".emulator", ".errors", ".inference", ".status", ".types"])
def test_public_names_exist_and_stand_once(name: str) -> None:
    module: ModuleType = importlib.import_module(f"cwinference{name}")
    public = getattr(module, "__all__", [])

    assert [each for each in public if not hasattr(module, each)] == []
    assert len(set(public)) == len(public)


def test_types_has_every_message_and_enum_of_the_api() -> None:
    files = {method.request.DESCRIPTOR.file for method in METHODS.values()}
    files |= {dependency for file in files for dependency in file.dependencies if "coreweave" in dependency.name}
    expected = {name for file in files for name in (*file.message_types_by_name, *file.enum_types_by_name)}
    assert {name for name in types.__all__ if name != "Timestamp"} == expected


SHAPES = {
    "gateways": "Gateway",
    "deployments": "Deployment",
    "capacity_claims": "CapacityClaim",
    "hot_loads": "HotLoad",
}


def request_of(resource: str, method: str) -> Descriptor | None:
    """The request that a method sends, or None for a flow of several."""
    shape = SHAPES[resource]
    name = {
        "list": f"List{shape}s",
        "parameters": f"Get{shape}Parameters",
        "replicas": "ListHotLoadReplicas",
        "modify": f"Update{shape}",
    }.get(method, f"{method.capitalize()}{shape}")
    found: Any = getattr(types, f"{name}Request", None)
    return None if found is None else found.DESCRIPTOR


def methods() -> Iterator[tuple[str, str]]:
    client = Client("token")
    for resource in SHAPES:
        for name, _ in inspect.getmembers_static(type(getattr(client, resource))):
            if not name.startswith("_"):
                yield resource, name


ALL_METHODS = sorted(methods())


def test_there_is_a_method_for_every_rpc() -> None:
    sent = {request.name for each in ALL_METHODS if (request := request_of(*each)) is not None}
    assert sent == {request.DESCRIPTOR.name for request in METHODS}


@pytest.mark.parametrize(("resource", "method"), [each for each in ALL_METHODS if request_of(*each) is not None])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_the_arguments_of_a_method_are_the_fields_of_its_request(kind: Any, resource: str, method: str) -> None:
    parameters = inspect.signature(getattr(getattr(kind("token"), resource), method)).parameters
    request = request_of(resource, method)
    assert request is not None
    fields = {each.name for each in request.fields} - NOT_FIELDS
    more: set[str] = set()
    if (resource, method) == ("capacity_claims", "modify"):
        more = {each.name for each in types.CapacityClaimResources.DESCRIPTOR.fields}
    assert set(parameters) - NOT_FIELDS == fields | more


@pytest.mark.parametrize(("resource", "method"), ALL_METHODS)
def test_only_the_obvious_first_argument_has_no_name(resource: str, method: str) -> None:
    parameters = inspect.signature(getattr(getattr(Client("token"), resource), method)).parameters.values()
    positional = [each.name for each in parameters if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    expected = {
        ("hot_loads", "create"): ["deployment_id"],
        ("hot_loads", "list"): ["parent_deployment_id"],
        ("hot_loads", "replicas"): ["hot_load_id"],
    }.get((resource, method), {"create": ["name"], "list": [], "parameters": []}.get(method, ["id"]))
    assert positional == expected


@pytest.mark.parametrize(
    ("resource", "method", "seconds"),
    [
        ("gateways", "wait", 600),
        ("deployments", "wait", 3600),
        ("capacity_claims", "wait", 3600),
        ("hot_loads", "wait", 1800),
        *((each, "wait_deleted", 1200) for each in ("gateways", "deployments", "capacity_claims")),
    ],
)
def test_waits_have_the_documented_defaults(resource: str, method: str, seconds: float) -> None:
    parameters = inspect.signature(getattr(getattr(Client("token"), resource), method)).parameters
    assert parameters["timeout"].default == seconds


def test_both_clients_take_the_same_settings() -> None:
    blocking, awaiting = (inspect.signature(kind).parameters for kind in (Client, AsyncClient))
    assert list(blocking.values()) == list(awaiting.values())
    assert (blocking["timeout"].default, blocking["transport"].default) == (30.0, "grpc")
    assert blocking["max_reply_bytes"].default == 64 * 1024 * 1024


def test_both_clients_have_the_same_methods() -> None:
    blocking, awaiting = ({name for name in dir(kind) if name[0] != "_"} for kind in (Client, AsyncClient))
    assert blocking == awaiting


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_every_module_and_every_public_thing_in_it_has_a_docstring(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree)
    assert [each.name for each in public(tree) if not ast.get_docstring(each)] == []


@pytest.mark.parametrize("path", [path for path in MODULES if part(path) in FACADE], ids=lambda path: path.stem)
def test_every_public_method_has_a_docstring_or_a_sibling_that_has_one(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    members = [member for each in public(tree) if isinstance(each, ast.ClassDef) for member in public(each)]
    told = {each.name for each in members if ast.get_docstring(each)}
    plain = {each.name for each in members if "property" in map(ast.unparse, each.decorator_list)}
    assert {each.name for each in members} - told - plain == set()


def public(parent: ast.Module | ast.ClassDef) -> list[Definition]:
    """The public functions and classes in a module or class."""
    return [node for node in parent.body if isinstance(node, Definition) and not node.name.startswith("_")]

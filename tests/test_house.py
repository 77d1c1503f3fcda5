"""Rules of the house that no linter knows: who may import what, and names that must agree."""

import ast
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import cwinference
from cwinference import (
    TLS,
    AsyncClient,
    AsyncInference,
    Change,
    Client,
    Clock,
    Inference,
    Plan,
    Retry,
    Stack,
    Telemetry,
    types,
)
from cwinference._wire.methods import METHODS
from cwinference.doctor import Finding, Report
from cwinference.emulator import Behavior, Emulator, EmulatorClock, Fate, Fault, Faults, Parameters
from cwinference.following import AsyncCache, AsyncWatch, Cache, DeploymentView, View, Watch
from cwinference.inference import (
    AsyncStream,
    Chat,
    ChatCompletions,
    Chunk,
    Completion,
    Completions,
    Models,
    Stream,
)
from cwinference.rollout import Rollout, Step
from cwinference.stacks import FieldChange, PlanStep
from tools.docs.declarations import groups, senders

SOURCE = Path(cwinference.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))

OWNERS = {
    "grpc": "transports",
    "pyqwest": "transports",
    "httptools": "transports",
    "msgspec": "_json",
    "coreweave": "types",
    "hypercorn": "emulator",
    "h2": "emulator",
    "hyperframe": "emulator",
    "h11": "emulator",
    "tqdm": "inference",
    "ray": "ray",
    "pyarrow": "ray",
    "openai": "inference",
    "yaml": "_yaml",
    "click": "_cli",
    "rich": "_cli",
    "opentelemetry": "_telemetry",
    "connectrpc": "",
}
"""The part of the library that alone may import another library. The generated Connect stubs alone need connectrpc."""

LAYERS = [
    {"_version", "_lazy", "_text", "_locks", "_json", "_retry_rules", "_secrets", "_signals", "_type_docs"},
    {"errors", "types", "_html"},
    {"_arguments", "_extras", "_gevent", "_places", "_tokens", "status"},
    {"_yaml"},
    {"_hosts", "auth", "_explain"},
    {"_proxies"},
    {"config", "_wire", "retry"},
    {"transports"},
    {"_calls"},
    {"_telemetry"},
    {"following"},
    {"resources"},
    {"_tables", "messages"},
    {"stacks"},
    {"inference"},
    {"rollout"},
    {"_across_resources"},
    {"client"},
    {"doctor", "ray"},
    {"_notebook"},
    {"__init__"},
    {"emulator"},
    {"_cli"},
    {"__main__"},
]
"""The parts of the library. Imports point down: each may import the layers before its own, and itself."""

EMULATOR_LAYERS = [
    {"clock", "interfaces"},
    {"rules"},
    {"parameters", "behavior", "tokens"},
    {"api", "protocols"},
    {"faults", "gateway"},
    {"config", "connection", "http2"},
    {"admin", "page"},
    {"recording"},
    {"server"},
    {"seeding"},
    {"emulator"},
    {"__init__"},
]
"""The same inside the emulator."""

FACADE = (
    "auth",
    "client",
    "config",
    "doctor",
    "errors",
    "following",
    "inference",
    "messages",
    "ray",
    "resources",
    "retry",
    "rollout",
    "stacks",
    "status",
    "types",
)
NOT_FIELDS = {
    "wait", "on_change", "error_after", "spec", "edit", "timeout", "retry", "max_page_size", "page_token",
}  # fmt: skip


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


def layer_of(name: str, layers: list[set[str]]) -> int:
    return next(number for number, layer in enumerate(layers) if name in layer)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_a_library_is_imported_only_by_the_part_that_owns_it(path: Path) -> None:
    foreign = [name for name in imported(path) if OWNERS.get(name.split(".")[0], part(path)) != part(path)]

    assert foreign == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_imports_point_down(path: Path) -> None:
    every = {name for layer in LAYERS for name in layer}
    lower = {name for layer in LAYERS[: layer_of(part(path), LAYERS)] for name in layer}
    ours = {name.split(".")[1] for name in imported(path) if name.startswith(f"{SOURCE.name}.")}
    ours = {name if name in every else "__init__" for name in ours}  # `from cwinference import Client`

    assert ours - lower - {part(path)} == set()
    assert part(path) != "resources" or "transports" not in ours


@pytest.mark.parametrize(
    "path", [path for path in MODULES if part(path) == "emulator"], ids=lambda path: path.relative_to(SOURCE).as_posix()
)
def test_imports_of_the_emulator_point_down(path: Path) -> None:
    inside = path.relative_to(SOURCE).parts[1].removesuffix(".py")
    prefix = f"{SOURCE.name}.emulator."
    ours = {name.removeprefix(prefix).split(".")[0] for name in imported(path) if name.startswith(prefix)}
    lower = {name for layer in EMULATOR_LAYERS[: layer_of(inside, EMULATOR_LAYERS)] for name in layer}

    assert ours - lower - {inside} == set()


def test_no_modules_import_each_other() -> None:
    """Neither directly nor in a circle, nor for type checkers only. A package may be imported by its own modules."""
    names = {".".join([SOURCE.name, *path.relative_to(SOURCE).with_suffix("").parts]): path for path in MODULES}
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    imports = {
        name: {found for each in imported(path) for found in (each, each.rpartition(".")[0]) if found in names} - {name}
        for name, path in names.items()
        if path.name != "__init__.py"
    }
    while leaves := {name for name, found in imports.items() if not found & imports.keys()}:
        for leaf in leaves:
            del imports[leaf]

    assert imports == {}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_only_files_that_users_can_see_have_names_with_underscores(path: Path) -> None:
    """A private file in a public folder has one; in a private folder, and in the emulator, all files are private."""
    folders = path.relative_to(SOURCE).parts[:-1]
    is_private = any(folder.startswith("_") for folder in folders) or folders[:1] == ("emulator",) or "batch" in folders
    assert not is_private or not path.name.startswith("_") or path.name == "__init__.py"


SAME_NAMES = {
    "Completions": "the group of methods of `inference`, and the callable of `ray`: users see both names",
}
"""Names that two classes have, and why that does not confuse."""


def test_no_two_classes_have_the_same_name() -> None:
    """One word for one thing: what somebody reads, or searches for, is one class."""
    trees = [ast.parse(path.read_text("utf-8")) for path in MODULES]
    names = Counter(node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef))

    assert {name: count for name, count in names.items() if count > 1} == dict.fromkeys(SAME_NAMES, 2)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_modules_and_functions_are_short(path: Path) -> None:
    """A longer module or function has a second subject. Signatures and docstrings do not count."""
    tree = ast.parse(path.read_text("utf-8"))
    longest = 40
    long = [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and lines_of_body(node) > longest
    ]

    docstrings = sum(map(lines_of_docstring, ast.walk(tree)))
    assert len(path.read_text("utf-8").splitlines()) - docstrings <= 330 or path.name == "_type_docs.py"
    assert long == []


def lines_of_docstring(node: ast.AST) -> int:
    if not isinstance(node, ast.Module | Definition) or not ast.get_docstring(node):
        return 0
    return (node.body[0].end_lineno or 0) - node.body[0].lineno + 1


def lines_of_body(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return 0 if not body else (body[-1].end_lineno or 0) - body[0].lineno + 1


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
    "opentelemetry", "cwinference.emulator", "cwinference.ray", "cwinference.inference", "cwinference.doctor",
    "cwinference._telemetry", "ray", "pyarrow",
}  # fmt: skip


BY_PYQWEST = {"pyqwest", "opentelemetry"}
"""pyqwest loads OpenTelemetry where it is installed. We turn off what it does with it."""


def test_an_import_loads_no_transport_no_emulator_and_no_completions() -> None:
    assert loaded_by("import cwinference") & HEAVY == set()


@pytest.mark.parametrize("name", ["Inference", "AsyncInference"])
def test_completions_are_loaded_when_they_are_asked_for(name: str) -> None:
    assert "cwinference.inference" in loaded_by(f"from cwinference import {name}")
    with pytest.raises(AttributeError, match="no attribute 'Inferences'"):
        importlib.import_module("cwinference").__getattr__("Inferences")


def test_telemetry_is_loaded_when_it_is_asked_for() -> None:
    assert "cwinference._telemetry" in loaded_by("from cwinference import Telemetry")
    assert "opentelemetry" not in loaded_by("from cwinference import Telemetry")
    assert "opentelemetry" in loaded_by("from cwinference import Telemetry; Telemetry()")


def test_completions_load_no_telemetry_that_nobody_asked_for() -> None:
    program = (
        "import contextlib\nfrom cwinference import Inference, errors\n"
        "with contextlib.suppress(errors.Unavailable), Inference('http://localhost:1', retry=None) as inference:\n"
        " inference.completions.create(model='m', prompt='p')"
    )
    assert "cwinference._telemetry" not in loaded_by(program)


@pytest.mark.parametrize(("transport", "allowed"), [("grpc", {"grpc"}), ("connect", BY_PYQWEST), ("rest", BY_PYQWEST)])
def test_a_transport_is_loaded_only_when_it_was_chosen(transport: str, allowed: set[str]) -> None:
    program = (
        "import contextlib, cwinference\n"
        "with contextlib.suppress(cwinference.errors.Unavailable):\n"
        f" cwinference.Client('t', endpoint='http://localhost:1', transport={transport!r}, retry=None).gateways.list()"
    )
    assert loaded_by(program) & HEAVY == allowed


def test_a_first_call_loads_only_what_it_needs() -> None:
    program = (
        "import contextlib, cwinference\n"
        "with contextlib.suppress(cwinference.errors.Unavailable):\n"
        " cwinference.Client('t', endpoint='http://localhost:1', retry=None).gateways.list()\n"
        "import sys\nprint(*sys.modules)"
    )
    later = {
        "cwinference.resources.deployments", "cwinference.resources._waits", "cwinference.resources._comparison",
        "cwinference.resources._ensure", "cwinference.status", "coreweave.inference.v1alpha1.deployment_pb2",
        "cwinference.following._following", "cwinference.following._cache", "cwinference.stacks", "cwinference.rollout",
        "ipaddress", "urllib.parse", "pathlib",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={name: value for name, value in os.environ.items() if name != "SSL_CERT_FILE"},
    )
    assert later & set(done.stdout.split()) == set()


@pytest.mark.parametrize(
    "name",
    [
        "", ".auth", ".config", ".doctor", ".emulator", ".errors", ".following", ".inference", ".messages", ".ray",
        ".rollout", ".stacks", ".status", ".types",
    ],
)  # fmt: skip
def test_public_names_exist_and_are_listed_once(name: str) -> None:
    module: ModuleType = importlib.import_module(f"cwinference{name}")
    public = getattr(module, "__all__", [])

    assert [each for each in public if not hasattr(module, each)] == []
    assert len(set(public)) == len(public)


def test_types_has_every_message_and_enum_of_the_api() -> None:
    files = {method.request.DESCRIPTOR.file for method in METHODS.values()}
    files |= {dependency for file in files for dependency in file.dependencies if "coreweave" in dependency.name}
    expected = {name for file in files for name in (*file.message_types_by_name, *file.enum_types_by_name)}
    assert {name for name in types.__all__ if name != "Timestamp"} == expected


ALL_METHODS = sorted(
    (resource, name)
    for resource, kind in groups().items()
    for name, _ in inspect.getmembers_static(kind)
    if not name.startswith("_")
)
REQUESTS = {
    (resource, each): request.DESCRIPTOR
    for request, (resource, name) in senders().items()
    for each in ([name, "modify"] if name == "update" else [name])
}
"""The request of each method that sends one; `modify` has the arguments of `update`."""


def test_each_rpc_has_a_method_of_its_own() -> None:
    assert senders().keys() == METHODS.keys()
    assert len({*senders().values()}) == len(METHODS)


@pytest.mark.parametrize(("resource", "method"), sorted(REQUESTS))
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_the_arguments_of_a_method_are_the_fields_of_its_request(kind: Any, resource: str, method: str) -> None:
    parameters = inspect.signature(getattr(getattr(kind("token"), resource), method)).parameters
    fields = {each.name for each in REQUESTS[resource, method].fields} - NOT_FIELDS
    more: set[str] = set()
    if (resource, method) == ("capacity_claims", "modify"):
        more = {each.name for each in types.CapacityClaimResources.DESCRIPTOR.fields}
    assert set(parameters) - NOT_FIELDS == fields | more


FIRST_ARGUMENTS: dict[str, list[str]] = {
    "create": ["name"],
    "ensure": ["name"],
    "find": ["name"],
    "wait_all": ["ids"],
    "watch": [],
    "list": [],
    "parameters": [],
}
"""What the first argument of a method is called, if it is not the id."""


@pytest.mark.parametrize(("resource", "method"), ALL_METHODS)
def test_only_the_obvious_first_argument_has_no_name(resource: str, method: str) -> None:
    parameters = inspect.signature(getattr(getattr(Client("token"), resource), method)).parameters.values()
    positional = [each.name for each in parameters if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    expected = {
        ("hot_loads", "create"): ["deployment_id"],
        ("hot_loads", "list"): ["parent_deployment_id"],
        ("hot_loads", "replicas"): ["hot_load_id"],
    }.get((resource, method), FIRST_ARGUMENTS.get(method, ["id"]))
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
    sync, asynchronous = (inspect.signature(kind).parameters for kind in (Client, AsyncClient))
    assert list(sync.values()) == list(asynchronous.values())
    assert (sync["timeout"].default, sync["transport"].default) == (30.0, "grpc")
    assert sync["max_reply_bytes"].default == 64 * 1024 * 1024


def test_both_clients_have_the_same_methods() -> None:
    sync, asynchronous = ({name for name in dir(kind) if name[0] != "_"} for kind in (Client, AsyncClient))
    assert sync == asynchronous


PUBLIC_MODULES = [
    "",
    ".auth",
    ".config",
    ".doctor",
    ".emulator",
    ".errors",
    ".following",
    ".inference",
    ".ray",
    ".resources",
    ".rollout",
    ".stacks",
    ".status",
    ".types",
]
FOREIGN_TYPES = {
    "Any", "Awaitable", "Callable", "Collection", "Coroutine", "Iterable", "Iterator", "Literal", "Mapping", "None",
    "NoReturn",
    "Path", "PathLike", "Self", "Sequence", "Timestamp", "TracebackType", "AsyncGenerator", "AsyncOpenAI",
    "BaseException", "Exception", "Generator", "Message", "OpenAI", "ValueType", "bool", "bytes", "datetime", "dict",
    "float", "int", "list", "object", "openai", "os", "str", "tuple", "type", "types",
    "MeterProvider", "TracerProvider",
}  # fmt: skip
"""Names in public signatures that come from Python, protobuf, OpenTelemetry and the openai package."""
DECLARED_TYPES = {"CacheCore", "Flow", "Following", "Rpc", "Pages", "Operation", "StreamParts"}
"""What declarations return: `help()` and type checkers show the results of these instead."""
CLIENT_TYPES = {"AsyncDriver", "AsyncOwner", "SyncDriver", "SyncOwner"}
"""What the two clients are to the code below them, which cannot name them."""


@pytest.mark.parametrize(
    "kind",
    [
        Client, AsyncClient, Inference, AsyncInference, Stream, AsyncStream, Retry, TLS, Clock,
        Completion, Chunk, Telemetry,
        *groups().values(), Chat, ChatCompletions, Completions, Models, Emulator,
        EmulatorClock, Faults, Fault, Behavior, Fate, Parameters, Change, Watch, AsyncWatch, Cache, AsyncCache, View,
        DeploymentView, Finding, Report, Stack, Plan, PlanStep, FieldChange, Rollout,
        Step,
    ],
)  # fmt: skip
def test_public_signatures_show_exported_types_only(kind: Any) -> None:
    modules = [importlib.import_module(f"cwinference{name}") for name in PUBLIC_MODULES]
    exported = {name for module in modules for name in public_names(module)}
    for parent in kind.__mro__:
        if parent.__module__.startswith("cwinference"):
            definition = definition_of(parent)
            constructors = [each for each in functions_of(definition) if each.name == "__init__"]
            shown = [] if hasattr(kind, "__signature__") else constructors
            for method in [*public(definition), *shown]:
                if not isinstance(method, ast.ClassDef):
                    names = names_in(method)
                    type_variables = {name for name in names if name.endswith("T") or name in ("R", "M", "Mode")}
                    known = {*exported, *FOREIGN_TYPES, *DECLARED_TYPES, *CLIENT_TYPES, *type_variables}
                    assert names - known == set(), method.name


def functions_of(kind: ast.ClassDef) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in kind.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def public_names(module: ModuleType) -> list[str]:
    return getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])


def definition_of(kind: type) -> ast.ClassDef:
    tree = ast.parse(Path(inspect.getfile(kind)).read_text("utf-8"))
    return next(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == kind.__name__)


def names_in(method: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """The names in the annotations of a method."""
    arguments = [*method.args.posonlyargs, *method.args.args, *method.args.kwonlyargs]
    found = [each.annotation for each in arguments] + [method.returns]
    text = " ".join(ast.unparse(each) for each in found if each is not None)
    return set(re.findall(r"[A-Za-z_]\w*", text))


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Documented = ast.Module | Definition


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_every_module_and_every_public_thing_in_it_has_a_docstring(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree)
    assert [each.name for each in public(tree) if not ast.get_docstring(each)] == []


@pytest.mark.parametrize("path", [path for path in MODULES if part(path) in FACADE], ids=lambda path: path.stem)
def test_every_public_method_has_a_docstring_or_a_sibling_that_has_one(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    members = [member for each in public(tree) if isinstance(each, ast.ClassDef) for member in public(each)]
    documented = {each.name for each in members if ast.get_docstring(each)}
    plain = {each.name for each in members if "property" in map(ast.unparse, each.decorator_list)}
    assert {each.name for each in members} - documented - plain == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_what_help_shows_is_in_the_source(path: Path) -> None:
    """Docstrings are literal: an editor, which reads the source, shows what `help()` shows."""
    tree = ast.parse(path.read_text("utf-8"))
    if path.name == "__main__.py":
        return
    module = importlib.import_module(".".join([SOURCE.name, *path.relative_to(SOURCE).with_suffix("").parts]))
    for kind in public(tree):
        thing = getattr(module, kind.name)
        assert inspect.getdoc(thing) == ast.get_docstring(kind)
        for method in public(kind) if isinstance(kind, ast.ClassDef) else ():
            if ast.get_docstring(method):
                assert inspect.getdoc(getattr(thing, method.name)) == ast.get_docstring(method), method.name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_docstrings_of_functions_begin_with_a_verb(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    documented = [each for each in functions if ast.get_docstring(each) and not is_property(each)]
    first = {each.name: (ast.get_docstring(each) or "").split()[0].strip(",.:;") for each in documented}
    assert {name: word for name, word in first.items() if word in NO_VERBS or not word[0].isupper()} == {}


NO_VERBS = {
    "A", "All", "An", "Another", "As", "At", "By", "Every", "For", "From", "How", "Its", "None", "One", "Only", "The",
    "Those", "What", "When", "Where", "Whether", "Which", "Who", "Why",
}  # fmt: skip
"""With these words a noun phrase begins."""


def is_property(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return "property" in map(ast.unparse, function.decorator_list)


def public(parent: ast.Module | ast.ClassDef) -> list[Definition]:
    """The public functions and classes in a module or class."""
    found = [node for node in parent.body if isinstance(node, Definition) and not node.name.startswith("_")]
    return [each for each in found if "overload" not in map(ast.unparse, each.decorator_list)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_names_that_are_loaded_on_demand_are_not_any_names_for_type_checkers(path: Path) -> None:
    top = ast.parse(path.read_text("utf-8")).body
    assert "__getattr__" not in [each.name for each in top if isinstance(each, ast.FunctionDef)]

"""Where public names are defined, found by reading the source: nothing is imported, so Sphinx needs none of it."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
PACKAGE = "cwinference"
MODULES = ("", "gates", *sorted(path.stem for path in (SOURCE / PACKAGE).glob("[a-z]*") if path.suffix in ("", ".py")))
"""The modules that users import: the package itself, an alias, and all whose names do not begin with an underscore."""


@dataclass(frozen=True)
class Definition:
    """A class, a function, or an assignment at the top of a module."""

    path: str
    """Its public name below `cwinference`: `inference.Stream`."""
    node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.AnnAssign | ast.Assign
    module: Path
    docstring: str


def find(path: str) -> Definition:
    """Return the definition of a public name, such as `inference.Stream` or `Client`."""
    module, _, name = path.rpartition(".")
    found = _in_module(_file(module), name)
    if found is None:
        raise LookupError(f"{PACKAGE}.{path}: no such public name")
    return Definition(name if module == "pytest" else path, *found)


def base_of(definition: Definition, name: str) -> Definition | None:
    """Return the class of ours that a class names as its base, or None for those of others."""
    found = _in_module(definition.module, name)
    return None if found is None else Definition(name, *found)


def value_of(module: Path, name: str) -> ast.expr | None:
    """Return what a constant is assigned, where it is defined."""
    found = _in_module(module, name)
    return found[0].value if found is not None and isinstance(found[0], ast.Assign | ast.AnnAssign) else None


def result_of(module: Path, name: str) -> ast.expr | None:
    """Return the type that a function at the top of a module returns."""
    found = _in_module(module, name)
    return found[0].returns if found is not None and isinstance(found[0], ast.FunctionDef) else None


@cache
def listed(module: str) -> tuple[str, ...]:
    """Return the names in a public module's `__all__`; none if it has none."""
    for node in _parsed(_file(module)).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return tuple(ast.literal_eval(node.value))
    return ()


def public_path(module: Path, name: str) -> str | None:
    """Return how users call what a module calls by a bare name: `rollout.Gate` for `Gate`. None if it is not public."""
    found = _in_module(module, name)
    return None if found is None else _paths().get((found[1], _name_of(found[0])))


def type_variables() -> set[str]:
    """Return the names of all type variables."""
    sources = (file.read_text("utf-8") for file in (SOURCE / PACKAGE).rglob("*.py"))
    return {name for source in sources for name in re.findall(r"^(\w+) = TypeVar\(", source, re.MULTILINE)}


@cache
def _paths() -> dict[tuple[Path, str], str]:
    """Return the public names by where they are defined. What can be imported from the package itself has no module."""
    modules = sorted(MODULES, key=lambda module: module in ("", "gates"))
    paths = [f"{module}.{name}".lstrip(".") for module in modules if module != "types" for name in listed(module)]
    defined = ((path, _in_module(_file(path.rpartition(".")[0]), path.rpartition(".")[2])) for path in paths)
    return {(found[1], _name_of(found[0])): path for path, found in defined if found is not None}


def _name_of(node: ast.stmt) -> str:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name
    assert isinstance(node, ast.AnnAssign | ast.Assign)
    return ast.unparse(node.target if isinstance(node, ast.AnnAssign) else node.targets[0])


Found = tuple[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.AnnAssign | ast.Assign, Path, str]


@cache
def _in_module(file: Path, name: str) -> Found | None:
    body = list(_statements(_parsed(file)))
    found: Found | None = None
    for index, node in enumerate(body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            found = (node, file, ast.get_docstring(node) or "")  # the last one: what came before is an overload
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            if isinstance(target, ast.Name) and target.id == name:
                return node, file, text_after(body, index)
        elif isinstance(node, ast.ImportFrom) and node.level and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    parts = node.module.split(".")
                    return _in_module(_file_of(_folder(file, node.level), parts), alias.name)
    return found


def text_after(body: list[ast.stmt], index: int) -> str:
    """Return the string that is the statement after an assignment, which is its docstring."""
    following = body[index + 1] if index + 1 < len(body) else None
    if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
        value = following.value.value
        return "\n".join(line.strip() for line in value.splitlines()) if isinstance(value, str) else ""
    return ""


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    for node in tree.body:
        if isinstance(node, ast.If):  # if TYPE_CHECKING
            yield from node.body
        else:
            yield node


def _folder(file: Path, level: int) -> Path:
    return file.parents[level - 1]


def _file_of(folder: Path, parts: list[str]) -> Path:
    target = folder.joinpath(*parts)
    return target / "__init__.py" if target.is_dir() else target.with_suffix(".py")


def _file(module: str) -> Path:
    """Return the file of a public module. `pytest` has the fixtures, which are a package of their own."""
    if module == "pytest":
        return SOURCE / f"{PACKAGE}_pytest" / "__init__.py"
    return _file_of(SOURCE / PACKAGE, {"": [], "gates": ["rollout", "gates"]}.get(module, module.split(".")))


@cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))

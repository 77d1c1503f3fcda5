"""Signatures as the source has them: with the names of aliases, and what users get in place of calls and flows."""

import ast
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .public_names import Definition, public_path, result_of, value_of

Function = ast.FunctionDef | ast.AsyncFunctionDef

_RESULTS = {"Flow", "Operation", "Rpc"}
"""What a declaration returns instead of its result."""
_REPLACED = {
    "AnyResource": "types.Gateway | types.Deployment | types.CapacityClaim",
    "AsyncOwner": "AsyncClient",
    "CacheCore": "following.Cache",
    "Entries": "Mapping[str, Mapping[str, Any]]",
    "InferenceT": "Inference",
    "StreamParts": "inference.Stream",
    "SyncOwner": "Client",
}
"""Private types in signatures, and what they are for users."""
_DROPPED = {"Mode", "SyncDriver", "AsyncDriver"}
"""Arguments of generic types that mean the kind of client."""
_HIDDEN_DEFAULTS = {"UNSET"}
"""Defaults that only say that nothing was given; the docstring says what that means."""
_REQUIRED = "FROM_SPEC"
"""The default of what has to be given, unless a whole spec is."""


def of_function(function: Function, module: Path, *, without_self: bool) -> str:
    """Return the parameters and the result of a function: `(id, *, timeout=...) -> types.Gateway`."""
    parameters = function.args
    positional = [*parameters.posonlyargs, *parameters.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(parameters.defaults)) + [*parameters.defaults]
    shown = [_parameter(each, default, module) for each, default in zip(positional, defaults, strict=True)]
    if parameters.posonlyargs:
        shown.insert(len(parameters.posonlyargs), "/")
    if without_self:
        shown = shown[1:]
        shown = shown[1:] if shown[:1] == ["/"] else shown
    if parameters.vararg is not None:
        shown.append("*" + _parameter(parameters.vararg, None, module))
    elif parameters.kwonlyargs:
        shown.append("*")
    pairs = zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True)
    shown += [_parameter(each, default, module) for each, default in pairs]
    if parameters.kwarg is not None:
        shown.append("**" + _parameter(parameters.kwarg, None, module))
    result = (
        "" if function.returns is None or function.name == "__init__" else f" -> {annotation(function.returns, module)}"
    )
    return f"({', '.join(shown)}){result}"


def of_fields(definition: Definition) -> str:
    """Return the signature that a dataclass or a named tuple gets from its fields."""
    assert isinstance(definition.node, ast.ClassDef)
    shown: list[str] = []
    keyword_only = any("kw_only=True" in ast.unparse(each) for each in definition.node.decorator_list)
    for each in definition.node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and not each.target.id.startswith("_"):
            default = _default_of_field(each.value)
            text = f"{each.target.id}: {annotation(each.annotation, definition.module)}"
            shown.append(text if default is None else f"{text} = {_default(default, definition.module)}")
    return f"({', '.join(['*', *shown] if keyword_only and shown else shown)})"


def required(function: Function) -> Sequence[str]:
    """Return the arguments without which a method that also takes a whole spec does not work."""
    arguments, defaults = function.args.args, function.args.defaults
    pairs = [
        *zip(arguments[len(arguments) - len(defaults) :], defaults, strict=True),
        *zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True),
    ]
    return [each.arg for each, default in pairs if default is not None and ast.unparse(default) == _REQUIRED]


def annotation(node: ast.expr, module: Path) -> str:
    """Return a type in a module as users know it."""
    return ast.unparse(_Public(module).visit(ast.parse(ast.unparse(node), mode="eval").body))


def type_set(node: ast.Assign | ast.AnnAssign, function: Function, module: Path) -> str:
    """Return the type of what a constructor assigns: as declared there, of the argument, or of a function's result."""
    if isinstance(node, ast.AnnAssign):
        return annotation(node.annotation, module)
    value, is_given = node.value, False
    if isinstance(value, ast.IfExp):  # `{} if headers is None else dict(headers)`
        value, is_given = value.orelse, True
    if isinstance(value, ast.Call) and ast.unparse(value.func) in ("tuple", "dict", "check_count"):
        value = value.args[0]
    if isinstance(value, ast.Call):
        result = result_of(module, ast.unparse(value.func))
        return "" if result is None else annotation(result, module)
    arguments = [*function.args.args, *function.args.kwonlyargs]
    declared = next((each.annotation for each in arguments if each.arg == ast.unparse(value)), None)
    text = "" if declared is None else annotation(declared, module)
    return text.removesuffix(" | None") if is_given else text


def names_in(arguments: Iterable[ast.expr]) -> Sequence[str]:
    """Return the names of types, without what is in their brackets."""
    return [ast.unparse(each.value if isinstance(each, ast.Subscript) else each) for each in arguments]


def _parameter(argument: ast.arg, default: ast.expr | None, module: Path) -> str:
    text = argument.arg if argument.annotation is None else f"{argument.arg}: {annotation(argument.annotation, module)}"
    if default is None or ast.unparse(default) == _REQUIRED:
        return text
    equals = "=" if argument.annotation is None else " = "
    return f"{text}{equals}{_default(default, module)}"


def _default(default: ast.expr, module: Path) -> str:
    """Return a default as text; the value of a constant in place of its name."""
    if isinstance(default, ast.Name):
        value = None if default.id in _HIDDEN_DEFAULTS else value_of(module, default.id)
        if value is None:
            return "..." if default.id.isupper() else default.id
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "get_args":
            choices = value_of(module, ast.unparse(value.args[0]))
            assert isinstance(choices, ast.Subscript)
            return ast.unparse(choices.slice)
        return _default(value, module)
    if isinstance(default, ast.BinOp):
        return str(eval(compile(ast.Expression(default), "", "eval")))  # noqa: S307 - 64 * 1024 * 1024
    return ast.unparse(default)


def _default_of_field(value: ast.expr | None) -> ast.expr | None:
    """Return the default of a dataclass's field, also of one that is made by `field`."""
    if not isinstance(value, ast.Call) or ast.unparse(value.func) != "field":
        return value
    named = {each.arg: each.value for each in value.keywords}
    return named.get("default") or ast.Name("...") if "default" in named or "default_factory" in named else None


class _Public(ast.NodeTransformer):
    """Replaces private types, and bare names of public ones by those that users import."""

    def __init__(self, module: Path) -> None:
        self._module = module

    def visit_Constant(self, node: ast.Constant) -> Any:
        """Read a type that is written as a string."""
        if isinstance(node.value, str):
            return self.visit(ast.parse(node.value, mode="eval").body)
        return node

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        """Unwrap calls and flows."""
        name = ast.unparse(node.value)
        if name == "Literal":
            return node
        if name in _RESULTS:
            return self.visit(node.slice)
        if name == "Pages":
            return ast.Subscript(ast.Name("Iterator"), self.visit(node.slice))
        if name == "Following":
            return ast.Subscript(ast.Name("following.Watch"), self.visit(node.slice))
        if ast.unparse(node.slice) in _DROPPED:
            return self.visit(node.value)
        return ast.Subscript(self.visit(node.value), self.visit(node.slice))

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        """Name an enum itself in place of the type of its values, which exists for type checkers only."""
        return node.value if node.attr == "ValueType" else node

    def visit_Name(self, node: ast.Name) -> Any:
        """Use the public name."""
        return ast.Name(_REPLACED.get(node.id) or public_path(self._module, node.id) or node.id)

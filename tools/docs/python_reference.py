"""The Python reference: what is in the fences of `docs/reference/python/*.md` that name classes and functions.

    ```{api}
    Client AsyncClient
    types.Gateway
    ```

Each line names one thing. A second name on it is its twin for asyncio, of which only what is different is shown.
Signatures are those of the source, so that aliases stay aliases, and docstrings are Markdown: Sphinx's autodoc would
import everything, expand the aliases, and take the docstrings for reStructuredText.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from . import docstrings, signatures
from .message_names import documented, message_in
from .public_names import Definition, base_of, find, public_path, text_after

_FENCE = re.compile(r"^```\{api\}\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_DIRECTIVE = re.compile(r"^(::::?)\{py:\w+\} ([\w.]+)", re.MULTILINE)
_BASES_OF_OTHERS = {"Generic", "NamedTuple", "Protocol", "Mapping"}


@dataclass(frozen=True)
class Member:
    """A method, property or attribute of a class."""

    kind: str
    name: str
    signature: str
    """What follows the name: parameters and result, or a colon and the type of an attribute."""
    docstring: str


class Site:
    """Writes entries as MyST directives, which make anchors, links and an index of them."""

    def entry(self, kind: str, heading: str, body: str, *, owner: str = "") -> str:
        """Return an entry of a kind: its heading, which is a signature, and what is below it.

        `owner`: the class that it is a member of.
        """
        fence = ":::" if owner else "::::"
        name, colon, of_type = heading.partition(": ") if kind in ("property", "attribute") else (heading, "", "")
        options = [f":type: {of_type}"] if colon else []
        return "\n".join([f"{fence}{{py:{kind}}} {name}", *options, "", body, fence])

    def link(self, section: str, name: str) -> str:
        """Return a name as Markdown: errors and types are links."""
        if section == "Raises" and not docstrings.is_builtin(name):
            path = name if name.startswith("errors.") else f"errors.{name}"
            return f"{{py:exc}}`{name} <{path}>`"
        if section == "Bases" and not docstrings.is_builtin(name):
            return f"{{py:class}}`{name}`"
        target = message_in(name) if section == "type" else None
        return f"`{name}`" if target is None else f"{{py:class}}`{name} <types.{target}>`"


class Plain:
    """Writes entries as plain Markdown, for the reference in a single file."""

    def entry(self, kind: str, heading: str, body: str, *, owner: str = "") -> str:
        """Return an entry of a kind: its heading, which is a signature, and what is below it."""
        name = re.split(r"[(:=]", heading)[0].strip()
        word = "" if kind in ("method", "function") else f"{kind} "
        level, title = ("####", f"{owner}.{name}") if owner else ("###", name)
        return f"{level} {title}\n\n```python\n{word}{heading}\n```\n\n{body}"

    def link(self, section: str, name: str) -> str:
        """Return a name as Markdown."""
        return docstrings.plain_link(section, name)


def expanded(page: str, style: Site | Plain) -> str:
    """Return a page with the reference in place of its fences."""
    return _FENCE.sub(lambda fence: "\n\n".join(_entries(fence[1], style)), page)


def names_on(page: str) -> list[str]:
    """Return the names in the fences of a page."""
    return [name for fence in _FENCE.finditer(page) for name in fence[1].split()]


def anchors_on(page: str) -> set[str]:
    """Return the anchors that the entries of a page have in the site: `cwinference.Client.plan`."""
    found, owner = set[str](), ""
    for level, name in _DIRECTIVE.findall(expanded(page, Site())):
        owner = owner if level == ":::" else name
        found.add(f"cwinference.{name}" if level != ":::" else f"cwinference.{owner}.{name}")
    return found


def _entries(names: str, style: Site | Plain) -> Iterator[str]:
    if isinstance(style, Site):
        yield "```{py:currentmodule} cwinference\n```"
    for line in names.splitlines():
        if line.startswith("types."):
            path = line.strip()
            text = docstrings.markdown(documented()[path.removeprefix("types.")], style.link)
            yield style.entry("class", path, text)
        elif line.strip():
            yield _entry(line.split(), style)


def _entry(paths: Sequence[str], style: Site | Plain) -> str:
    found = find(paths[0])
    if isinstance(found.node, ast.ClassDef):
        twin = find(paths[1]) if len(paths) > 1 else None
        return _class_entry(found, twin, style)
    body = docstrings.markdown(found.docstring, style.link)
    if isinstance(found.node, ast.FunctionDef | ast.AsyncFunctionDef):
        heading = found.path + signatures.of_function(found.node, found.module, without_self=False)
        return style.entry("function", heading, body)
    assert found.node.value is not None
    value = signatures.annotation(found.node.value, found.module)
    if isinstance(style, Site):
        return style.entry("type", found.path, f"{body}\n\n`{value}`".lstrip())
    return style.entry("type", f"{found.path} = {value}", body)


def _class_entry(found: Definition, twin: Definition | None, style: Site | Plain) -> str:
    assert isinstance(found.node, ast.ClassDef)
    lineage = list(_lineage(found))
    constructor = next((each for each in lineage if _own(each, "__init__") is not None), None)
    text = found.docstring
    if constructor is not None:
        function = _own(constructor, "__init__")
        assert function is not None
        hidden = next((each for each in lineage if _assigns(each, "__signature__")), None)
        nearer = hidden is None or lineage.index(constructor) < lineage.index(hidden)
        made_by_users = nearer and bool(ast.get_docstring(function))
        heading = signatures.of_function(function, constructor.module, without_self=True) if made_by_users else ""
        if made_by_users:
            text += "\n\n" + (ast.get_docstring(function) or "")
    elif any("dataclass" in ast.unparse(each) for each in found.node.decorator_list) or "NamedTuple" in _bases(found):
        heading = signatures.of_fields(found)
    else:
        heading = ""
    text, listed = docstrings.without_attributes(text)
    members = [*_members(lineage, listed)]
    body = [docstrings.markdown(text, style.link)]
    if bases := _public_bases(lineage):
        body.append(f"Bases: {', '.join(style.link('Bases', name) for name in bases)}")
    body += [_member(each, style, found.path) for each in members]
    kind = "exception" if found.path.startswith("errors.") else "class"
    entry = style.entry(kind, found.path + heading, "\n\n".join(body))
    return entry if twin is None else f"{entry}\n\n{_twin_entry(found, twin, members, style)}"


def _twin_entry(found: Definition, twin: Definition, members: Sequence[Member], style: Site | Plain) -> str:
    """Return the entry of a class for asyncio: what it is, and what it has in addition."""
    known = {each.name for each in members}
    text, listed = docstrings.without_attributes(twin.docstring)
    own = [each for each in _members(list(_lineage(twin)), listed) if each.name not in known]
    same = f"Takes the same arguments as `{found.path}` and has the same methods; those that do I/O are coroutines."
    body = [docstrings.markdown(text), same, *(_member(each, style, twin.path) for each in own)]
    return style.entry("class", twin.path, "\n\n".join(body))


def _member(member: Member, style: Site | Plain, owner: str) -> str:
    body = docstrings.markdown(member.docstring, style.link)
    return style.entry(member.kind, member.name + member.signature, body, owner=owner)


def _lineage(found: Definition) -> Iterator[Definition]:
    """Yield a class and those of ours that it inherits from; public ones have entries of their own."""
    yield found
    for name in _bases(found):
        base = None if name in _BASES_OF_OTHERS else base_of(found, name)
        if base is not None and isinstance(base.node, ast.ClassDef) and public_path(found.module, name) is None:
            yield from _lineage(base)


def _bases(found: Definition) -> Sequence[str]:
    assert isinstance(found.node, ast.ClassDef)
    return signatures.names_in(found.node.bases)


def _public_bases(lineage: Sequence[Definition]) -> Sequence[str]:
    """Return the bases that users know: ours, and errors of Python."""
    named = ((public_path(each.module, name), name) for each in lineage for name in _bases(each))
    return [*dict.fromkeys(path or name for path, name in named if path or docstrings.is_builtin(name))]


def _own(found: Definition, name: str) -> ast.FunctionDef | None:
    assert isinstance(found.node, ast.ClassDef)
    return next((each for each in found.node.body if isinstance(each, ast.FunctionDef) and each.name == name), None)


def _assigns(found: Definition, name: str) -> bool:
    assert isinstance(found.node, ast.ClassDef)
    return any(isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == name for each in found.node.body)


def _members(lineage: Sequence[Definition], listed: Mapping[str, str]) -> Iterator[Member]:
    """Yield the public members of a class, those of its bases last.

    `listed`: the attributes that its docstring lists.
    """
    seen = set[str]()
    for each in lineage:
        assert isinstance(each.node, ast.ClassDef)
        for member in (*_set_members(each), *_own_members(each, each.node.body)):
            docstring = member.docstring or listed.get(member.name, "")
            if member.name not in seen and docstring:
                seen.add(member.name)
                yield replace(member, docstring=docstring[:1].upper() + docstring[1:])
    for name in listed:
        if name not in seen:
            yield Member("attribute", name, "", listed[name])


def _set_members(found: Definition) -> Iterator[Member]:
    """Yield the attributes that a constructor sets."""
    function = _own(found, "__init__")
    body = [] if function is None else function.body
    for index, node in enumerate(body):
        if function is not None and isinstance(node, ast.AnnAssign | ast.Assign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            if ast.unparse(target).startswith("self.") and not ast.unparse(target).startswith("self._"):
                of_type = signatures.type_set(node, function, found.module)
                name = ast.unparse(target).removeprefix("self.")
                yield Member("attribute", name, of_type and f": {of_type}", text_after(body, index))


def _own_members(found: Definition, body: list[ast.stmt]) -> Iterator[Member]:
    for index, node in enumerate(body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            decorators = signatures.names_in(node.decorator_list)
            if "overload" in decorators:
                continue
            docstring = ast.get_docstring(node) or ""
            if "property" in decorators or "cached_property" in decorators:
                result = "" if node.returns is None else f": {signatures.annotation(node.returns, found.module)}"
                yield Member("property", node.name, result, docstring)
            else:
                kind = next((each for each in ("classmethod", "staticmethod") if each in decorators), "method")
                text = signatures.of_function(node, found.module, without_self=kind != "staticmethod")
                if needed := signatures.required(node):
                    names = ", ".join(f"`{name}`" for name in needed)
                    docstring = docstring.replace("\n\n", f"\n\nRequired, unless `spec` has them: {names}.\n\n", 1)
                yield Member(kind, node.name, text, docstring)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            name = ast.unparse(target)
            if not name.startswith("_"):
                of_type = (
                    f": {signatures.annotation(node.annotation, found.module)}"
                    if isinstance(node, ast.AnnAssign)
                    else ""
                )
                yield Member("attribute", name, of_type, text_after(body, index))

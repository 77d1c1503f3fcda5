"""`Stack`: gateways, deployments and capacity claims as they should be, read from a file or from the API."""

import json
import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeGuard

from .._arguments import check_id
from .._places import Document, Path
from .._text import did_you_mean, nearest
from .._yaml import dump_yaml
from ..errors import ConfigurationError
from ..resources._parts import is_mapping
from ._entries import VERSION
from ._fields import read_fields
from ._files import names_in, read_document
from ._kinds import SECTIONS, Section
from ._secret_references import SecretReference

Entries = Mapping[str, Mapping[str, Any]]


class Stack:
    """Gateways, deployments and capacity claims as they should be: what `client.plan` compares with what exists.

    A resource is known by its name. Only what is written down is compared and changed; all else stays as it is.

    Attributes:
        capacity_claims: the fields of each claim, by its name.
        gateways: the fields of each gateway, by its name.
        deployments: the fields of each deployment, by its name; `gateways` are names of gateways.
        notes: what an exported stack could not contain, a line each.
    """

    capacity_claims: Entries
    gateways: Entries
    deployments: Entries
    notes: Sequence[str]

    def __init__(self, entries: Mapping[str, Mapping[str, Mapping[str, Any]]], notes: Sequence[str] = ()) -> None:
        """Use `Stack.load`, `Stack.parse` or `client.export`."""
        for each in SECTIONS:
            fields = {name: _frozen(value) for name, value in entries.get(each.name, {}).items()}
            setattr(self, each.name, MappingProxyType(fields))
        self.notes = tuple(notes)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Stack":
        """Read a stack from a file: JSON if its name ends in `.json`, else YAML, which needs the extra `cli`.

        Args:
            path: path of the file.

        Raises:
            ConfigurationError: the file cannot be read, or something in it is wrong; the text names the line.
        """
        return cls._of(read_document(path))

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> "Stack":
        """Return the stack that a mapping describes, of the same form as a file.

        Args:
            data: `version` (1), and `capacity_claims`, `gateways` and `deployments`: mappings of fields by name.

        Raises:
            ConfigurationError: something in it is wrong; the text names its path.
        """
        return cls._of(Document(data))

    @classmethod
    def _of(cls, document: Document) -> "Stack":
        value = document.value
        if not is_mapping(value):
            raise document.error((), f"expected a mapping of {', '.join(each.name for each in SECTIONS)}")
        entries = dict[str, dict[str, Any]]()
        for key, each in value.items():
            if key == "version":
                _check_version(document, each)
                continue
            section = _section(document, key)
            if section.name in entries:
                raise document.error((str(key),), f"is the same as {section.name}; write one of them")
            entries[section.name] = _read_section(document, section, (str(key),), each)
        return cls(entries)

    def to_dict(self) -> dict[str, Any]:
        """Return the stack as plain data, which `parse` reads. Secrets are references in it."""
        sections = {each.name: _plain(self._entries(each)) for each in SECTIONS if self._entries(each)}
        return {"version": VERSION, **sections}

    def dump(self) -> str:
        """Return the stack as YAML, which `load` reads. Secrets are references in it.

        Raises:
            ConfigurationError: the extra `cli` is not installed.
        """
        return "".join(f"# {each}\n" for each in self.notes) + dump_yaml(self.to_dict())

    def to_json(self) -> str:
        """Return the stack as JSON, which `load` reads from a file whose name ends in `.json`."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

    def _entries(self, section: Section) -> Entries:
        found: Entries = getattr(self, section.name)
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stack) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.to_dict(), self.notes)

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(self._entries(each))} {each.name}" for each in SECTIONS)
        return f"<Stack: {counts}>"


def _rebuild(data: Mapping[str, Any], notes: Sequence[str]) -> Stack:
    stack = Stack.parse(data)
    stack.notes = notes
    return stack


def _check_version(document: Document, value: object) -> None:
    if type(value) is not int or value != VERSION:
        raise document.error(("version",), f"expected {VERSION}: this release of cwinference reads no other format")


def _section(document: Document, key: object) -> Section:
    names = {each.name: each for each in SECTIONS} | {_camel(each.name): each for each in SECTIONS}
    if isinstance(key, str) and key in names:
        return names[key]
    known = ["version", *(each.name for each in SECTIONS)]
    hint = did_you_mean(nearest(str(key), known), known)
    raise document.error((str(key),), f"there is no such section; {hint}")


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _read_section(document: Document, section: Section, path: Path, value: Any) -> dict[str, Any]:
    if not is_mapping(value):
        raise document.error(path, f"expected a mapping of {section.words}s by their names; write {{}} for none")
    found = dict[str, Any]()
    for name, each in value.items():
        try:
            check_id(name, "name")
        except ConfigurationError as error:
            raise document.error(path, error.args[0]) from None
        place = (*path, name)
        fields = read_fields(document, place, section.spec, names_in(section.kind), each)
        if "gateways" in fields and "gateway_ids" in fields:
            raise document.error(place, "gateways and gateway_ids are the same; write the names, as gateways")
        found[name] = fields
    return found


def _frozen(value: Any) -> Any:
    """Return a copy that cannot be changed by accident."""
    if is_mapping(value):
        return MappingProxyType({key: _frozen(each) for key, each in value.items()})
    return tuple(value) if _is_list(value) else value


def _plain(value: Any) -> Any:
    """Return plain data, with references in place of secrets."""
    if isinstance(value, SecretReference):
        return value.plain()
    if is_mapping(value):
        return {key: _plain(each) for key, each in value.items()}
    return [*value] if _is_list(value) else value


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, list | tuple)

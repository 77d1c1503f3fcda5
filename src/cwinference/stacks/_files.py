"""Files of stacks and specs: JSON or YAML, by the name of the file or by how it begins."""

import os
import pathlib
from typing import Any

from .._places import Document, Path, parse_json
from .._text import reason_of
from .._yaml import parse_yaml
from ..errors import ConfigurationError
from ..resources._parts import is_mapping
from ._fields import read_fields
from ._kinds import BY_KIND, SECTIONS
from ._secret_references import resolved

_LARGEST = 8 << 20


def read_document(path: str | os.PathLike[str]) -> Document:
    """Read a file. One whose name ends in `.json` is JSON, and needs no PyYAML.

    Raises:
        ConfigurationError: it cannot be read, or is neither JSON nor YAML of plain data; the text names the line.
    """
    try:
        source = os.fspath(path)
        with pathlib.Path(source).open("rb") as file:
            content = file.read(_LARGEST + 1)
    except TypeError:
        raise ConfigurationError(f"path: expected the path of a file, got {type(path).__name__}") from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: {reason_of(error)}") from None
    if len(content) > _LARGEST:
        raise ConfigurationError(f"{path} is larger than 8 MiB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8") from None
    return parse_json(text, str(source)) if str(source).endswith(".json") else parse_document(text, str(source))


def parse_document(text: str, source: str = "") -> Document:
    """Read text, such as that of standard input: JSON if it is that, else YAML.

    Raises:
        ConfigurationError: it is neither, or no plain data; the text names the line.
    """
    if text.lstrip().startswith("{"):
        try:
            return parse_json(text, source)
        except ConfigurationError as error:
            try:
                return parse_yaml(text, source)
            except ConfigurationError:
                raise error from None
    return parse_yaml(text, source)


def fields_for(document: Document, kind: str) -> tuple[str | None, dict[str, Any]]:
    """Return the name, if it has one, and the fields of the one resource that a document describes.

    The document is a spec as in a stack, or a stack with one resource of that kind. The fields are the arguments of
    `ensure` and `create`, with `gateways`, a list of names, in place of a deployment's `gateway_ids` if it has them.
    Secrets are read.

    Args:
        document: what `read_document` or `parse_document` has returned.
        kind: "gateway", "deployment" or "capacity_claim".

    Raises:
        ConfigurationError: it describes none, or several, or something in it is wrong; or a secret is missing.
    """
    section, value, name = BY_KIND[kind], document.value, None
    path: Path = ()
    if is_mapping(value) and any(each.name in value for each in SECTIONS) and not _is_spec(value):
        others = [each.name for each in SECTIONS if each is not section and value.get(each.name)]
        entries = value.get(section.name)
        if others or not is_mapping(entries) or len(entries) != 1:
            raise document.error((), f"expected a stack with one {section.words} and nothing else, or just its fields")
        ((name, value),) = entries.items()
        path = (section.name, str(name))
    fields = read_fields(document, path, section.spec, names_in(kind), value)
    return name, resolved(fields, ".".join(map(str, path)) or section.kind)


def names_in(kind: str) -> tuple[str, ...]:
    """Return the keys under which a kind names others."""
    return ("gateways",) if kind == "deployment" else ()


def _is_spec(value: Any) -> bool:
    """Return whether `gateways` is the list of a deployment, and not the section of a stack."""
    return isinstance(value.get("gateways"), list)

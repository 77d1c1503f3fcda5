"""`-f FILE`: a spec as in a stack, or a stack with one resource of the kind, in JSON or YAML; `-` is standard input."""

from typing import Any

from ...stacks._fields import read_fields
from ...stacks._files import fields_for, parse_document, read_document
from ...stacks._secret_references import resolved
from ..standard_input import read_input
from .kinds import Kind


def read_spec(kind: Kind, path: str) -> tuple[str | None, dict[str, Any]]:
    """Return the name, if the file has one, and the fields.

    Raises:
        ConfigurationError: it cannot be read, or something in it is wrong.
    """
    document = parse_document(read_input(), "standard input") if path == "-" else read_document(path)
    if kind.is_stacked:
        return fields_for(document, kind.field)
    return None, resolved(read_fields(document, (), kind.create_request, (), document.value), kind.field)

"""Secrets in a stack: named, never written out. `{env: NAME}` is a variable, `{file: path}` the content of a file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .._text import nearest, reason_of
from ..config import secret_variable
from ..errors import ConfigurationError
from ..resources._parts import is_mapping

_LARGEST = 1 << 20
_SOURCES = ("env", "file")


@dataclass(frozen=True)
class SecretReference:
    """Where a secret is."""

    source: Literal["env", "file"]
    name: str

    def __str__(self) -> str:
        return f"the secret of {self.source} {self.name}"

    def plain(self) -> dict[str, str]:
        """Return it as a stack has it."""
        return {self.source: self.name}

    def read(self, path: str) -> str:
        """Return the secret, without the line break that ends a file. `path` is the field that it is for.

        Raises:
            ConfigurationError: it is missing or empty.
        """
        found = secret_variable(self.name) if self.source == "env" else self._content(path)
        if not found:
            missing = "is not set, or empty" if self.source == "env" else "is empty"
            raise ConfigurationError(f"{path}: {self.source} {self.name} {missing}")
        return found

    def check(self, path: str) -> None:
        """Read the secret and forget it, except for a pipe, which can be read only once. Raises as `read` does."""
        file = Path(self.name)
        if self.source == "env" or file.is_file() or file.is_dir() or not file.exists():
            self.read(path)

    def _content(self, path: str) -> str:
        try:
            with Path(self.name).open("rb") as file:
                content = file.read(_LARGEST + 1)
            if len(content) > _LARGEST:
                raise ValueError("larger than 1 MiB")
            return content.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise ConfigurationError(f"{path}: file {self.name} is not UTF-8") from None
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{path}: file {self.name}: {reason_of(error)}") from None


def parse_reference(value: object) -> SecretReference | None:
    """Return the reference that a stack has in place of a secret; None if it is none."""
    if not is_mapping(value) or len(value) != 1:
        return None
    ((source, name),) = value.items()
    if source not in _SOURCES or not isinstance(name, str) or not name:
        return None
    return SecretReference(source, name)


def how_to_refer(value: object) -> str:
    """Return what is wrong with something that is no reference, without anything in it that may be the secret."""
    keys = [*value] if is_mapping(value) else []
    if {*keys} == {"env", "file"}:
        return "env and file are both there; give one of them"
    similar = nearest(str(keys[0]), ("env", "file")) if len(keys) == 1 and keys[0] not in _SOURCES else None
    if similar is not None:
        return f"there is no {keys[0]!r}; did you mean {similar!r}?"
    return "a secret is never written out; name a variable or a file: {env: NAME} or {file: path}"


def resolved(fields: Any, path: str) -> Any:
    """Return fields with the secrets in place of their references. Keep no variable of it.

    Raises:
        ConfigurationError: a secret is missing.
    """
    if isinstance(fields, SecretReference):
        return fields.read(path)
    if is_mapping(fields):
        return {key: resolved(each, f"{path}.{key}") for key, each in fields.items()}
    return fields


def without_secrets(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields without references to secrets: what a read can show."""
    return {
        key: without_secrets(each) if is_mapping(each) else each
        for key, each in fields.items()
        if not isinstance(each, SecretReference)
    }


def references_in(fields: Mapping[str, Any], path: str = "") -> list[tuple[str, SecretReference]]:
    """Return the references in fields, each with its path."""
    found = list[tuple[str, SecretReference]]()
    for key, each in fields.items():
        place = f"{path}.{key}" if path else key
        if isinstance(each, SecretReference):
            found.append((place, each))
        elif is_mapping(each):
            found += references_in(each, place)
    return found

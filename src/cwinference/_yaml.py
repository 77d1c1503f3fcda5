"""YAML: the only user of PyYAML, which the extra `cli` brings.

It reads plain data and nothing else, with the line of each value, and with how a number, bool or null is written: where
a string is wanted, `version: 0.10` must not become `version: 0.1`. It writes what every reader of YAML reads alike.
"""

import re
from typing import Any

from ._extras import missing
from ._places import Document, Odd, Path, Place, dotted
from .errors import ConfigurationError

_TAG = "tag:yaml.org,2002:"
_MOST_VALUES = 50_000
"""Aliases make few lines into more data than a computer holds."""
_DEEPEST = 60
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,30})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})
"""What some version of YAML reads as something else than a string."""


def parse_yaml(text: str, source: str = "") -> Document:
    """Read YAML: one document of plain data.

    Aliases and merge keys (`<<`) are resolved. Duplicate keys, tags, and keys that are no strings are refused.

    Args:
        text: the text.
        source: what errors call the file.

    Raises:
        ConfigurationError: it is not such YAML, and the text names the line; or PyYAML is not installed.
    """
    yaml = _library()
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        # Not its whole text, which quotes the file, where secrets may be.
        mark = error.problem_mark or error.context_mark
        places: dict[Path, Place] = {(): Place(mark.line + 1)} if mark else {}
        text = error.problem or "not YAML"
        if error.context == "expected a single document in the stream":
            text = "another document begins here; write one per file"
        raise Document(None, places, source).error((), text) from None
    except yaml.YAMLError:
        raise Document(None, {}, source).error((), "contains characters that YAML does not allow") from None
    except RecursionError:
        raise Document(None, {}, source).error((), "nested too deeply") from None
    if node is None:
        raise Document(None, {}, source).error((), "must not be empty")
    builder = _Builder(source)
    value = builder.value(node, ())
    return Document(value, builder.places, source)


def dump_yaml(value: Any) -> str:
    """Return plain data as YAML, in its order, with quotes around a string that any reader could take for a number.

    Raises:
        ConfigurationError: PyYAML is not installed.
    """
    yaml = _library()

    def string(dumper: Any, text: str) -> Any:
        plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
        return dumper.represent_scalar(f"{_TAG}str", text, style=None if plain else '"')

    def written_out(dumper: Any, data: Any) -> bool:
        return True

    Dumper: Any = type("Dumper", (yaml.SafeDumper,), {"ignore_aliases": written_out})  # noqa: N806
    Dumper.add_representer(str, string)
    dumped: str = yaml.dump(
        value, Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=1_000_000
    )
    return dumped


def _library() -> Any:
    try:
        import yaml
    except ImportError:
        raise ConfigurationError(f"{missing('YAML', 'PyYAML', 'cli')}, or use JSON") from None
    return yaml


class _Builder:
    """Makes plain data of the nodes of a document."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.places: dict[Path, Place] = {}
        self._around: set[int] = set()
        self._count = 0

    def value(self, node: Any, path: Path) -> Any:
        self._count += 1
        line = node.start_mark.line + 1
        self.places.setdefault(path, Place(line))
        if id(node) in self._around:
            raise self._refusal(path, line, "contains itself")
        if self._count > _MOST_VALUES:
            raise self._refusal(path, line, f"the file has more than {_MOST_VALUES:,} values")
        kind = node.tag.removeprefix(_TAG)
        self._around.add(id(node))
        try:
            match node.id, kind:
                case "mapping", "map":
                    return self._mapping(node, path)
                case "sequence", "seq":
                    return [self.value(each, (*path, number)) for number, each in enumerate(node.value)]
                case "scalar", _ if node.tag.startswith(_TAG) and kind != "binary" and not kind.startswith("python"):
                    return self._scalar(node, kind, path)
                case _:
                    raise self._refusal(path, line, f"tags such as {node.tag.replace(_TAG, '!!')} are not read")
        finally:
            self._around.discard(id(node))

    def _refusal(self, path: Path, line: int, text: str) -> ConfigurationError:
        return Document(None, {path: Place(line)}, self.source).error(path, text)

    def _scalar(self, node: Any, kind: str, path: Path) -> Any:
        text: str = node.value
        if kind == "str":
            return text
        self.places[path] = Place(node.start_mark.line + 1, text)
        match kind:
            case "bool":
                return text.lower() in ("yes", "true", "on")
            case "null":
                return None
            case "int" if _INTEGER.fullmatch(text):
                return int(text)
            case "float" if _NUMBER.fullmatch(text):
                return float(text)
            case _:
                return Odd(text)

    def _mapping(self, node: Any, path: Path) -> dict[str, Any]:
        found = dict[str, Any]()
        for key, (line, value) in self._entries(node, path, 0).items():
            self.places[*path, key] = Place(line)
            found[key] = self.value(value, (*path, key))
        return found

    def _entries(self, node: Any, path: Path, depth: int) -> dict[str, tuple[int, Any]]:
        """Return the line and the node of each key. Those of merged mappings come first, and lose to its own."""
        own = dict[str, tuple[int, Any]]()
        merged = list[Any]()
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == f"{_TAG}merge":
                merged += value_node.value if value_node.id == "sequence" else [value_node]
                continue
            key = self._key(key_node, path)
            if key in own:
                raise self._refusal((*path, key), line, "the key is there twice")
            own[key] = line, value_node
        found = dict[str, tuple[int, Any]]()
        for each in reversed(merged):
            if each.id != "mapping" or depth > _DEEPEST:
                raise self._refusal(path, each.start_mark.line + 1, "<<: expected a mapping, or a list of them")
            found |= self._entries(each, path, depth + 1)
        return found | own

    def _key(self, node: Any, path: Path) -> str:
        if node.id == "scalar" and node.tag == f"{_TAG}str":
            text: str = node.value
            return text
        advice = f'write "{node.value}" in quotes' if node.id == "scalar" and node.value else "expected a name as key"
        raise self._refusal(path, node.start_mark.line + 1, advice)


__all__ = ["Document", "Odd", "Place", "dotted", "dump_yaml", "parse_yaml"]

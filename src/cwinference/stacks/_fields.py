"""From a document to fields: names and types checked, each mistake reported by its line and path.

Fields are mappings of plain values under the API's names in snake_case, as `ensure` takes them, with a
`SecretReference` where a secret would be. Keys may be written in lowerCamelCase.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from .._places import Document, Odd, Path
from .._text import did_you_mean, nearest
from ..errors import ConfigurationError
from ..resources._comparison import WRITE_ONLY, id_of, is_map
from ..resources._parts import is_mapping, label, scalar
from ._secret_references import how_to_refer, parse_reference

OUTPUT_ONLY = ("id", "name", "organization_id")
"""Fields of a spec that a document cannot set."""
_KEEPS_CREDENTIALS = ("engine_env",)
"""Maps whose values no error shows."""


def read_fields(
    document: Document, path: Path, spec: type[Message], extra: Sequence[str] = (), value: Any = None
) -> dict[str, Any]:
    """Return the fields of a spec at a path of the document.

    Args:
        document: the document.
        path: where the spec is in it.
        spec: the type of the spec.
        extra: keys that are no fields, but lists of names.
        value: what is at that path.

    Raises:
        ConfigurationError: something in it is wrong.
    """
    kind = cast(Descriptor, spec.DESCRIPTOR)
    known = {each.name: each for each in kind.fields if each.name not in OUTPUT_ONLY}
    reader = _FieldReader(document, extra)
    return reader.message(kind, known, value, path, _words(path))


class _FieldReader:
    def __init__(self, document: Document, extra: Sequence[str]) -> None:
        self._document = document
        self._extra = extra

    def message(
        self, kind: Descriptor, known: Mapping[str, FieldDescriptor], value: Any, path: Path, words: str
    ) -> dict[str, Any]:
        """Return the fields of one message; `words` is its path as errors write it."""
        if not is_mapping(value):
            raise self._error(path, words, f"expected a mapping of fields, got {_what(value)}{_advice(value)}")
        extra = self._extra if len(path) <= _DEPTH_OF_SPEC else ()
        found = dict[str, Any]()
        written = dict[str, str]()
        for key, each in value.items():
            place = (*path, str(key))
            name = self._name(key, known, extra, place, words)
            below = f"{words}.{name}" if words else name
            if name in found:
                text = f"{key} and {written[name]} are the same field; write one of them"
                raise self._error(place, words, text)
            written[name] = str(key)
            found[name] = (
                self._names(each, place, below) if name in extra else self._field(known[name], each, place, below)
            )
        for oneof in kind.oneofs:
            members = [each.name for each in oneof.fields if each.name in found]
            if len(members) > 1:
                place = (*path, written[members[1]])
                raise self._error(place, words, f"{' and '.join(members)} are mutually exclusive; write one of them")
        return found

    def _name(
        self, key: Any, known: Mapping[str, FieldDescriptor], extra: Sequence[str], path: Path, words: str
    ) -> str:
        """Return the name of the field that a key means."""
        names = {each.json_name: name for name, each in known.items()} | {name: name for name in (*known, *extra)}
        if not isinstance(key, str):
            raise self._error(path[:-1], words, f"expected names of fields as keys, got {key!r}")
        if key in names:
            return names[key]
        below = f"{words}.{key}" if words else key
        if key in OUTPUT_ONLY and len(path) <= _DEPTH_OF_SPEC + 1:
            raise self._error(path, below, "must not be set here: the name of a resource is its key, the rest is given")
        hint = did_you_mean(nearest(key, names), [*known, *extra])
        raise self._error(path, below, f"there is no such field; {hint}")

    def _field(self, field: FieldDescriptor, value: Any, path: Path, words: str) -> Any:
        if id_of(field) in WRITE_ONLY:
            reference = parse_reference(value)
            if reference is None:
                raise self._error(path, words, how_to_refer(value))
            return reference
        if is_map(field):
            return self._map(field, value, path, words)
        if field.is_repeated:
            return self._list(field, value, path, words)
        if field.message_type is not None:
            known = field.message_type.fields_by_name
            return self.message(field.message_type, known, value, path, words)
        return self._single(field, value, path, words)

    def _map(self, field: FieldDescriptor, value: Any, path: Path, words: str) -> dict[str, Any]:
        if not is_mapping(value):
            raise self._error(path, words, f"expected a mapping, got {_what(value)}{_advice(value)}")
        found = dict[str, Any]()
        single = cast(Descriptor, field.message_type).fields_by_name["value"]
        for key, each in value.items():
            if not isinstance(key, str):
                raise self._error(path, words, f"expected strings as keys, got {key!r}")
            found[key] = self._single(single, each, (*path, key), f"{words}[{key!r}]", field.name in _KEEPS_CREDENTIALS)
        return found

    def _list(self, field: FieldDescriptor, value: Any, path: Path, words: str) -> list[Any]:
        items = self._items(value, path, words)
        return [self._single(field, each, (*path, number), f"{words}[{number}]") for number, each in enumerate(items)]

    def _items(self, value: Any, path: Path, words: str) -> list[Any]:
        if not isinstance(value, list | tuple):
            example = f"; write [{value}]" if isinstance(value, str) and value else _advice(value, "[]")
            raise self._error(path, words, f"expected a list, got {_what(value)}{example}")
        return [*cast(Sequence[Any], value)]

    def _names(self, value: Any, path: Path, words: str) -> list[str]:
        """Return a list of names of other resources."""
        names = self._items(value, path, words)
        if not names:
            raise self._error(path, words, "expected at least one name")
        for number, each in enumerate(names):
            place, below = (*path, number), f"{words}[{number}]"
            self._refuse_unquoted(each, place, below, is_secret=False)
            if not isinstance(each, str) or not each:
                raise self._error(place, below, f"expected a name, got {_what(each)}")
            if each in names[:number]:
                raise self._error(place, below, f"{each!r} is there twice")
        return names

    def _single(self, field: FieldDescriptor, value: Any, path: Path, words: str, is_secret: bool = False) -> Any:
        """Return a string, number, bool or the name of an enum's value."""
        wants_string = field.enum_type is None and field.cpp_type == FieldDescriptor.CPPTYPE_STRING
        if wants_string:
            self._refuse_unquoted(value, path, words, is_secret)
        if value is None:
            what = '"" for an empty one' if wants_string else "one"
            raise self._error(path, words, f"has no value; write {what}, or leave the key out")
        if isinstance(value, Odd):
            raise self._error(path, words, f"expected {_kind_of(field)}, got {value.text}")
        try:
            result = scalar(field, value, words)
        except ConfigurationError as error:
            text = error.args[0].removeprefix(f"{words}: ")
            raise self._error(path, words, _in_words_of_files(text, value)) from None
        return result if field.enum_type is None else label(field.enum_type, result)

    def _refuse_unquoted(self, value: Any, path: Path, words: str, is_secret: bool) -> None:
        """Refuse what YAML has read as something else than the string that it certainly is."""
        if value is None or isinstance(value, str | Mapping | list):
            return
        place = self._document.places.get(path)
        text = value.text if isinstance(value, Odd) else place.text if place is not None else None
        if text is not None:
            raise self._error(path, words, "write it in quotes" if is_secret else f'write "{text}" in quotes')

    def _error(self, path: Path, words: str, text: str) -> ConfigurationError:
        return self._document.error(path, text, words)


_LONGEST_SHOWN = 40
"""Characters of a wrong value that an error shows."""
_DEPTH_OF_SPEC = 2
"""How long the path of a spec is in a stack: its section and its name. On its own, it is shorter."""


def _words(path: Path) -> str:
    return ".".join(map(str, path))


def _what(value: object) -> str:
    """Return what kind of value it is, without the value, which may be secret."""
    names: Mapping[type, str] = {
        type(None): "nothing", str: "a string", bool: "true or false", int: "a number", float: "a number",
        dict: "a mapping", list: "a list", Odd: "a value without quotes",
    }  # fmt: skip
    return names.get(type(value), type(value).__name__)


def _in_words_of_files(text: str, value: object) -> str:
    """Return what is wrong with a value in words of YAML and JSON instead of Python's."""
    text = text.replace("expected True or False", "expected true or false")
    if text == "expected a whole number, got str":
        in_quotes = "; write it without quotes" if str(value).isdecimal() else ""
        return f"expected a whole number, got {str(value)[:_LONGEST_SHOWN]!r}{in_quotes}"
    return text


def _kind_of(field: FieldDescriptor) -> str:
    if field.enum_type is not None:
        return "the name of a value"
    return "true or false" if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL else "a number in plain digits"


def _advice(value: object, empty: str = "{}") -> str:
    return f"; write {empty} for an empty one, or leave the key out" if value is None else ""

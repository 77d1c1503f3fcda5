"""YAML and JSON as they are read: plain data, the line of each value, and nothing that could mean something else."""

import json
import sys
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cwinference._places import Odd, Place, parse_json
from cwinference._yaml import dump_yaml, parse_yaml
from cwinference.errors import ConfigurationError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(), inside, max_size=4),
    max_leaves=12,
)
STRINGS = [
    *(
        "0.10",
        "no",
        "on",
        "y",
        "1e3",
        "0o17",
        "012",
        "0x1F",
        "1_000",
        "1:30",
        "2024-01-01",
        "~",
        "null",
        "True",
        ".inf",
    ),
    *("=", "<<", "!x", "&x", "*x", "- x", "a: b", "a #b", "#", " ", "a\nb", "\t", "é", "'", '"', "org/model", "@x"),
    *("{a: b}", "[a]", "|", ">", "%x", "`x", "US-EAST-04A", "0.22.0+crwv.2", "3f0e6c0a-6f0b-4c5e-9a53-0f6f2f6f7a11"),
]


@pytest.mark.parametrize(
    ("text", "value", "written"),
    [
        ("0.10", 0.1, "0.10"),
        ("0.22.0", "0.22.0", None),
        ("'0.10'", "0.10", None),
        ("!!str 0.10", "0.10", None),
        ("12", 12, "12"),
        ("-3", -3, "-3"),
        ("no", False, "no"),
        ("On", True, "On"),
        ("~", None, "~"),
        ("null", None, "null"),
        ("", None, ""),
        ("010", Odd("010"), "010"),
        ("0x1F", Odd("0x1F"), "0x1F"),
        ("1_000", Odd("1_000"), "1_000"),
        ("1:30", Odd("1:30"), "1:30"),
        ("+5", Odd("+5"), "+5"),
        (".inf", Odd(".inf"), ".inf"),
        ("2024-01-01", Odd("2024-01-01"), "2024-01-01"),
        ("2024-01-01 10:00:00", Odd("2024-01-01 10:00:00"), "2024-01-01 10:00:00"),
        ("=", Odd("="), "="),
        ("9" * 40, Odd("9" * 40), "9" * 40),
        ("|\n    a\n    b", "a\nb\n", None),
    ],
)
def test_a_scalar_keeps_how_it_is_written(text: str, value: object, written: str | None) -> None:
    document = parse_yaml(f"# first line\na:\n  b: {text}\n")
    assert document.value == {"a": {"b": value}}
    assert document.places["a", "b"] == Place(3, written)
    assert type(document.value["a"]["b"]) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "stack.yaml: line 3: a: the key is there twice"),
        ("a:\n  b: {c: 1, c: 2}\n", "stack.yaml: line 2: a.b.c: the key is there twice"),
        ("a:\n  no: 1\n", 'stack.yaml: line 2: a: write "no" in quotes'),
        ("a:\n  0.10: 1\n", 'stack.yaml: line 2: a: write "0.10" in quotes'),
        ("? [a]\n: b\n", "stack.yaml: line 1: expected a name as key"),
        (": b\n", "line 1: expected"),
        ("a: !!python/object/apply:os.system [x]\n", "stack.yaml: line 1: a: tags such as !!python/object/apply:os"),
        ("a: !custom x\n", "stack.yaml: line 1: a: tags such as !custom are not read"),
        ("a: !!binary aGVsbG8=\n", "stack.yaml: line 1: a: tags such as !!binary are not read"),
        ("a: !!set {x}\n", "stack.yaml: line 1: a: tags such as !!set are not read"),
        ("a: &x [*x]\n", "stack.yaml: line 1: a[0]: contains itself"),
        ("a: &x {<<: *x}\n", "stack.yaml: line 1: a: <<: expected a mapping, or a list of them"),
        ("a: {<<: 3}\n", "stack.yaml: line 1: a: <<: expected a mapping, or a list of them"),
        ("a: 1\n---\nb: 2\n", "stack.yaml: line 2: another document begins here; write one per file"),
        ("a: [\n\tb\n", "stack.yaml: line 2: found character"),
        ("a: b: c\n", "stack.yaml: line 1: mapping values are not allowed here"),
        ("a: \x07\n", "stack.yaml: contains characters that YAML does not allow"),
        ("[" * 3000, "stack.yaml: nested too deeply"),
        ("", "stack.yaml: must not be empty"),
        ("# nothing\n", "stack.yaml: must not be empty"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_by_line(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_yaml(text, "stack.yaml")
    assert message in str(caught.value)


def test_few_lines_that_mean_a_mountain_of_data_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(ConfigurationError, match=r"line 1: a4.*the file has more than 50,000 values"):
        parse_yaml("\n".join(lines))


def test_aliases_and_merge_keys_are_resolved_and_own_keys_win() -> None:
    document = parse_yaml("a: &a {x: 1, y: 0.10}\nb: &b {y: '2', z: 3}\nc:\n  <<: [*a, *b]\n  x: '4'\nd: *a\n")
    assert document.value["c"] == {"x": "4", "y": 0.1, "z": 3}
    assert document.value["d"] == {"x": 1, "y": 0.1}
    assert document.places["c", "y"] == Place(1, "0.10")
    assert document.places["c", "x"] == Place(5)


def test_an_error_of_syntax_does_not_quote_the_file() -> None:
    for text in ("api_key: hunter2: x", "api_key: 'hunter2", "api_key: {hunter2", "- hunter2\nb"):
        with pytest.raises(ConfigurationError) as caught:
            parse_yaml(text)
        assert "hunter2" not in str(caught.value)


@settings(deadline=None)
@given(PLAIN)
def test_yaml_that_was_dumped_is_read_as_the_same_by_us_and_by_others(value: Any) -> None:
    text = dump_yaml({"value": value})
    assert yaml.safe_load(text) == {"value": value}
    if not _has_odd_numbers(value):
        assert parse_yaml(text).value == {"value": value}


def _has_odd_numbers(value: Any) -> bool:
    """Whether it has a number that YAML writes as `1.0e+16`, or a key that is no good."""
    if isinstance(value, dict):
        return any(map(_has_odd_numbers, value.values()))
    if isinstance(value, list):
        return any(map(_has_odd_numbers, value))
    return isinstance(value, float | int) and not isinstance(value, bool) and abs(value) > 1e15


@pytest.mark.parametrize("text", STRINGS)
def test_a_string_that_could_be_taken_for_something_else_is_dumped_in_quotes(text: str) -> None:
    dumped = dump_yaml({text: [text]})
    assert parse_yaml(dumped).value == yaml.safe_load(dumped) == {text: [text]}
    if not text[:1].isalpha() or text in ("no", "on", "y", "null", "True"):
        assert dumped.startswith('"')


def test_the_order_is_kept_and_equal_parts_are_written_out() -> None:
    shared = {"z": 1, "a": [1]}
    assert dump_yaml({"b": shared, "a": shared}) == "b:\n  z: 1\n  a:\n  - 1\na:\n  z: 1\n  a:\n  - 1\n"


def test_without_pyyaml_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    for call in (lambda: parse_yaml("a: 1"), lambda: dump_yaml({})):
        with pytest.raises(ConfigurationError, match=r"pip install 'cwinference\[cli\]', or use JSON"):
            call()
    assert parse_json('{"a": 1}').value == {"a": 1}


@settings(deadline=None)
@given(PLAIN, st.sampled_from([None, 1]))
def test_json_is_read_as_json_reads_it_with_the_lines(value: Any, indent: int | None) -> None:
    text = json.dumps({"a": value}, indent=indent)
    document = parse_json(text)
    assert document.value == {"a": value}
    assert document.places["a",].line == (2 if indent else 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1,\n "a": 2}', "x.json: line 2: a: the key is there twice"),
        ('{"a": {"b": 1,\n "b": 2}}', "x.json: line 2: a.b: the key is there twice"),
        ('{"a": NaN}', "x.json: line 1: NaN is not a number"),
        ('{"a": -Infinity}', "x.json: line 1: -Infinity is not a number"),
        ("{a: 1}", 'x.json: line 1: expected a key in double quotes, or "}"'),
        ("[1,]", 'x.json: line 1: there is a comma before "]"'),
        ('{"a": 1,\n}', 'x.json: line 1: there is a comma before "}"'),
        ('{"a": 1\n', 'x.json: line 1: expected "," or "}"'),
        ("[1 2]", 'x.json: line 1: expected "," or "]"'),
        ('{"a" 1}', 'x.json: line 1: a: expected ":"'),
        ('["a\n"]', "x.json: line 1: a string has no end, or a character in it that JSON escapes"),
        ('{"a": tru}', "x.json: line 1: expected a value"),
        ("", "x.json: line 1: expected a value"),
        ("{}\n{}", "x.json: line 2: expected the end of the file"),
        ("[" * 100, "x.json: line 1: nested too deeply"),
    ],
)
def test_what_is_no_strict_json_is_refused_by_line(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_json(text, "x.json")
    assert str(caught.value).startswith(message) or message in str(caught.value)


def test_what_a_document_contains_is_not_in_its_repr() -> None:
    document = parse_yaml("api_key: 12345\nother: 1_2\n", "stack.yaml")
    assert "12345" not in repr(document)
    assert "1_2" not in repr(document.value["other"])
    assert "12345" not in repr(document.places["api_key",])

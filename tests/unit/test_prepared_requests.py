"""What a batch on a cluster makes of lines and of rows of tables, and what it refuses before Ray starts."""

import json
import pickle
from importlib.util import find_spec
from typing import Any

import pytest

import cwinference.ray
from cwinference import TLS, auth, errors
from cwinference.ray import _prepared
from cwinference.ray._prepared import Prepared, fields_of_row, prepared, prepared_row, request_in
from cwinference.ray._target import Target
from tests.support.batch_files import batch_request


def test_a_line_becomes_a_request_with_its_key_and_digest() -> None:
    found = prepared(json.dumps(batch_request(1)).encode(), "in.jsonl:1", 1)

    assert (found.custom_id, found.line, found.problem) == ("id-1", 1, "")
    assert len(found.digest) == 32
    assert request_in(found.request).model == "org/model"


@pytest.mark.parametrize(
    ("line", "key", "problem"),
    [
        (b"no JSON", "f:7", "the line is not JSON"),
        (b"\xff", "f:7", "the line is not valid UTF-8"),
        (b"[1]", "f:7", "expected an object"),
        (b'{"messages":[]}', "f:7", "custom_id is missing"),
        (b'{"custom_id":1}', "f:7", "custom_id: expected a string"),
        (b'{"custom_id":"\\ud800","messages":[]}', "f:7", "custom_id: contains half of a character"),
        (b'{"custom_id":"a"}', "a", "prompt is missing"),
        (b'{"custom_id":"a","body":"x"}', "a", "body: expected an object"),
        (b'{"custom_id":"a","url":"/v1/files","body":{}}', "a", "url: expected"),
    ],
    ids=["text", "bytes", "list", "unnamed", "number", "surrogate", "empty", "body", "url"],
)
def test_a_bad_line_keeps_what_names_it_and_says_what_is_wrong(line: bytes, key: str, problem: str) -> None:
    found = prepared(line, "f:7", 7)

    assert (found.custom_id, found.line, found.request) == (key, 7, b"")
    assert found.problem.startswith(problem)


def test_a_row_of_a_table_is_a_body_or_has_one_and_its_nulls_are_dropped() -> None:
    messages = [{"role": "user", "content": "hi", "name": None}]
    row: dict[str, Any] = {"custom_id": "a", "model": "m", "messages": messages, "seed": None, "top_p": float("nan")}
    expected = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}

    assert fields_of_row(row) == {"custom_id": "a", **expected}
    assert fields_of_row({"custom_id": "a", "body": json.dumps(expected)}) == {"custom_id": "a", "body": expected}
    assert prepared_row(row).digest == prepared(json.dumps({"custom_id": "a", **expected}), "", 1).digest
    assert prepared_row({"model": "m"}).custom_id == prepared_row({"model": "m"}).custom_id != ""


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "gateway, base_url: give one of them"),
        ({"gateway": "a", "base_url": "http://localhost"}, "gateway, base_url: give one of them"),
        ({"gateway": ""}, "gateway: expected the name or id"),
        ({"gateway": [1]}, "gateway: expected the name or id"),
        ({"gateway": "a", "token": "secret-5e8a"}, "token: a string would be in the plans and logs of Ray"),
        ({"gateway": "a", "token": 1}, "token: expected a callable"),
        ({"gateway": "a", "tls": TLS(cert="c.pem", key=b"secret-5e8a")}, "tls: bytes of a key"),
        ({"base_url": "ftp://x"}, "base_url: expected https"),
    ],
    ids=["none", "both", "empty", "kinds", "token", "number", "key", "url"],
)
def test_what_must_not_go_to_workers_is_refused_before_ray_starts(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=problem) as raised:
        cwinference.ray.batch("in.jsonl", "out", **arguments)
    assert "5e8a" not in str(raised.value)


def test_where_requests_are_sent_can_be_pickled_with_a_source_of_the_token(tmp_path: Any) -> None:
    (tmp_path / "token").write_text("secret-5e8a")
    for token in (auth.from_file(tmp_path / "token"), auth.from_command(["cat", str(tmp_path / "token")])):
        packed = pickle.dumps(Target(base_url="https://example.com/v1", token=token))
        found = pickle.loads(packed)  # noqa: S301 - our own

        assert b"5e8a" not in packed
        assert "5e8a" not in repr(found)
        assert found.token() == "secret-5e8a"
        assert found.servers == ("https://example.com",)


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_extra_is_named() -> None:
    with pytest.raises(errors.ConfigurationError, match=r"pip install 'cwinference\[ray\]'$"):
        cwinference.ray.batch("in.jsonl", "out", gateway="a")
    with pytest.raises(errors.ConfigurationError, match=r"pip install 'cwinference\[ray\]'$"):
        cwinference.ray.SharedLimit(4)


def test_a_prepared_request_has_the_columns_of_its_table() -> None:
    assert Prepared._fields == _prepared.COLUMNS

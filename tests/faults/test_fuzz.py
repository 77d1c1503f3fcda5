"""Servers may send anything: only errors of the library are raised, in time, and without control characters."""

import json
import zlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import fuzz_targets, samples

FEW = settings(max_examples=80, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
names = st.sampled_from(
    ["code", "message", "details", "@type", "value", "type", "gateway", "spec", "status", "id", "items"]
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names | st.text(), inner, max_size=5),
    max_leaves=20,
)
documents = values.map(lambda value: json.dumps(value).encode())


def corrupted(sample: bytes) -> st.SearchStrategy[bytes]:
    """Return a strategy for a valid response of which a piece is replaced."""
    index = st.integers(0, len(sample))
    return st.builds(
        lambda start, end, piece: sample[:start] + piece + sample[end:], index, index, st.binary(max_size=8)
    )


responses = st.sampled_from([json.dumps(samples.value(name)).encode() for name in samples.names("response")])
INPUTS: dict[str, st.SearchStrategy[bytes]] = {
    "http_error": st.builds(lambda head, body: head + b"\n" + body, st.binary(max_size=60), documents | st.binary()),
    "details_of_json": documents | st.text().map(lambda text: json.dumps([{"@type": text}]).encode()),
    "json_reply": st.builds(
        lambda kind, body: kind + body, st.binary(min_size=1, max_size=1), documents | responses.flatmap(corrupted)
    ),
    "retry_after": st.text().map(str.encode)
    | st.from_regex(rb"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{1,6} \d\d:\d\d:\d\d \w+"),
    "gzip": st.binary().map(zlib.compress) | st.binary(),
}


@pytest.mark.parametrize("name", fuzz_targets.TARGETS)
def test_only_errors_of_the_library_are_raised(name: str) -> None:
    @FEW
    @given(INPUTS.get(name, st.binary()) | st.binary() | st.text().map(str.encode))
    def check(data: bytes) -> None:
        fuzz_targets.feed(name, data)

    check()


KNOWN_BAD = [
    ("http_error", b"\xff\n" + b'{"code":' + b"9" * 5000 + b"}"),
    ("http_error", b'\xff|||-1|\n{"code": "not_found", "message": "\\u001b[2J\\u009b31m"}'),
    ("json_reply", b"\0" + b"[" * 100_000),
    ("json_reply", b"\0" + b'{"gateway":' * 50_000),
    ("json_reply", b"\0" + b"1" * 100_000),
    ("details_of_json", b'[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1e999s"}]'),
    ("details_of_json", b'[{"@type":"type.googleapis.com/google.protobuf.Any","value":{"@type":""}}]'),
    ("retry_after", b"9" * 100_000),
    ("retry_after", b"Mon, 31 Feb 99999 25:61:61 GMT|x"),
    ("retry_after", b"Fri, 31 Dec 9999 23:59:59 -2359"),
    ("path", b"../../capacityclaims/x?y#z"),
    ("path", b"a\r\nHost: elsewhere"),
    ("events", b"data" * 100_000),
    ("gzip", zlib.compress(b"\0" * 50_000_000)),
]


@pytest.mark.parametrize(("name", "data"), KNOWN_BAD)
def test_inputs_that_broke_other_clients_are_handled(name: str, data: bytes) -> None:
    fuzz_targets.feed(name, data)

"""What the lines and objects of a batch may contain: whatever it is, only that request fails."""

import codecs
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cwinference import errors, types
from cwinference.inference import BatchResult
from cwinference.inference.batch import source
from tests.support.batch_files import UNREACHABLE, batch_request, echo, echoed_texts, read_lines, read_texts
from tests.support.batch_runs import run_batch
from tests.support.inference_kinds import MESSAGES
from tests.support.scripted_model_server import (
    MODEL,
    HttpRequest,
    ScriptedModelServer,
    ScriptedResponse,
    completion,
    json_response,
)

INVALID: list[tuple[Any, str]] = [
    (b"{", "not JSON"),
    (b"[1]", "expected an object"),
    ({"custom_id": 7, **batch_request(0)["body"]}, "custom_id"),
    ({"custom_id": "x", "url": "/v1/embeddings", "body": {}}, "url"),
    ({"custom_id": "x", "body": 3}, "body"),
    ({"model": MODEL}, "prompt"),
    ({"messages": MESSAGES}, "model"),
    ({"model": MODEL, "messages": []}, "messages"),
    ({"model": MODEL, "messages": MESSAGES, "stream": True}, "stream"),
    (batch_request(1), "duplicate custom_id 'id-1'"),
]


@pytest.mark.parametrize(("invalid", "message"), INVALID)
async def test_an_invalid_request_fails_alone(kind: str, tmp_path: Path, invalid: Any, message: str) -> None:
    requests, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    line = invalid if isinstance(invalid, bytes) else json.dumps(invalid).encode()
    first, last = (json.dumps(batch_request(number)).encode() for number in (1, 2))
    requests.write_bytes(b"\n".join([first, line, last]))
    with ScriptedModelServer(echo) as server:
        result = await run_batch(kind, server.url, requests, out)
    assert result == BatchResult(completed=2, failed=1, skipped=0)
    (failure,) = read_lines(tmp_path / "out.errors.jsonl")
    custom_id = invalid.get("custom_id") if isinstance(invalid, dict) else None
    assert (failure["line"], failure["custom_id"]) == (2, custom_id if isinstance(custom_id, str) else "2")
    assert message in failure["error"]["message"]
    assert read_texts(out) == echoed_texts(1, 2)


class Odd(Mapping[str, Any]):
    """A mapping that cannot be read."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("gone")

    def __iter__(self) -> Iterator[str]:
        return iter(["model"])

    def __len__(self) -> int:
        return 1


def chat(text: str) -> str:
    """Return a request with this JSON as an option."""
    return f'{{"model": "m", "messages": [{{}}], "option": {text}}}'


ODD_LINES: list[tuple[bytes, str]] = [
    (b"[" * 100_000, "nested too deeply"),
    (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
    (chat("[" * 100_000 + "]" * 100_000).encode(), "nested too deeply"),
    (chat('"\xff"').encode("latin-1"), "not valid UTF-8"),
    (b'{"model": "\xed\xa0\x80", "messages": [{}]}', "not valid UTF-8"),
    (chat('"\\ud800"').encode(), "option: cannot be encoded"),
    (b'{"custom_id": "\\ud800", "model": "\\udfff", "messages": [{}]}', "model: cannot be encoded"),
    (chat("1e999").encode(), "option: cannot be encoded"),
    (chat("NaN").encode(), "option: cannot be encoded"),
    (chat("-Infinity").encode(), "option: cannot be encoded"),
    (chat("1" * 5000).encode(), "too many digits"),
    (b"\0", "not JSON"),
    (b"\0" * 1000 + b"{", "not JSON"),
    (b'{"model"\0: "m"}', "not JSON"),
    (b"null", "expected an object, got NoneType"),
    (b"true", "expected an object, got bool"),
    (b'"text"', "expected an object, got str"),
    (b"NaN", "expected an object, got float"),
    (b"{} {}", "not JSON"),
    (b"{'a': 1}", "not JSON"),
    (b'{"body": null}', "body: expected an object"),
    (b'{"body": [], "url": []}', "body: expected an object"),
    (b'{"url": {}, "body": {"messages": [{}], "model": "m"}}', "url: expected /v1/chat/completions"),
    (b'{"url": 1e999, "body": {"messages": [{}], "model": "m"}}', "url: expected /v1/chat/completions"),
    (b'{"url": "http://[", "body": {"messages": [{}], "model": "m"}}', "url: expected /v1/chat/completions"),
    (b'{"custom_id": [], "model": "m", "prompt": "p"}', "custom_id: expected a string"),
    (b'{"model": [], "prompt": "p"}', "model: expected"),
    (b'{"model": "m", "prompt": {}}', "prompt: expected a string or a list, got dict"),
]


@pytest.mark.parametrize(("odd", "message"), ODD_LINES, ids=lambda value: repr(value[:30]))
async def test_whatever_a_line_contains_only_that_line_fails(
    kind: str, tmp_path: Path, odd: bytes, message: str
) -> None:
    requests, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    first, last = (json.dumps(batch_request(number)).encode() for number in (0, 1))
    requests.write_bytes(b"\n".join([first, odd, last]))
    with ScriptedModelServer(echo) as server:
        for skipped in (0, 2):
            result = await run_batch(kind, server.url, requests, out)
            assert result == BatchResult(completed=2 - skipped, failed=1, skipped=skipped)
            (failure,) = read_lines(tmp_path / "out.errors.jsonl")
            assert failure["line"] == 2
            assert message in failure["error"]["message"]
    assert read_texts(out) == echoed_texts(0, 1)


@pytest.mark.parametrize("extra", [200, 500, 900])
async def test_a_deep_line_or_response_ends_no_batch(kind: str, tmp_path: Path, extra: int) -> None:
    """Near to what can be read, a request or a response may still count; what was written can be read back."""
    requests, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    nested = "[" * extra + "]" * extra
    text = json.dumps(batch_request(0)).replace('"text 0"}]', f'"text 0"}}], "option": {nested}')
    requests.write_text(f"{text}\n{json.dumps(batch_request(1))}\n")

    def respond(request: HttpRequest) -> ScriptedResponse:
        body = json.dumps(completion("text 0")).replace('"usage"', f'"deep": {nested}, "usage"').encode()
        return ScriptedResponse([body], length=len(body))

    with ScriptedModelServer(respond) as server:
        first = await run_batch(kind, server.url, requests, out)
        assert first.completed + first.failed == 2
        again = await run_batch(kind, server.url, requests, out)
    assert again.skipped == first.completed


async def test_odd_objects_of_an_iterable_fail_alone(kind: str, tmp_path: Path) -> None:
    endless: dict[str, Any] = {"model": MODEL, "messages": MESSAGES}
    endless["self"] = endless
    odd = [Odd(), {"body": Odd()}, endless, {**endless, "self": object()}, 5, None, b"{", "[", {"model": MODEL, 5: 5}]
    with ScriptedModelServer(echo) as server:
        requests = [*odd, json.dumps(batch_request(0)), json.dumps(batch_request(1)).encode(), "\n", b""]
        result = await run_batch(kind, server.url, requests, tmp_path / "out.jsonl")
    assert result == BatchResult(completed=2, failed=len(odd), skipped=0)
    assert read_texts(tmp_path / "out.jsonl") == echoed_texts(0, 1)


@pytest.mark.parametrize(
    ("routing", "model"),
    [
        (types.PathBasedRouting(), ".."),
        (types.HeaderBasedRouting(header_name="x-model"), "mod\u00e8le"),
        (types.HeaderBasedRouting(header_name="x-model"), "a\nb"),
    ],
)
async def test_a_model_that_cannot_be_routed_fails_alone(kind: str, tmp_path: Path, routing: Any, model: str) -> None:
    odd = {**batch_request(7), "body": {"model": model, "messages": MESSAGES}}
    with ScriptedModelServer(echo) as server:
        requests = [odd, batch_request(0), batch_request(1)]
        settings = {"routing": routing}
        result = await run_batch(kind, server.url, requests, tmp_path / "out.jsonl", settings=settings)
    assert result == BatchResult(completed=2, failed=1, skipped=0)
    assert "model: " in (result.first_failure or "")


async def test_a_line_that_is_too_long_fails_alone(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_LONGEST", 10_000)
    monkeypatch.setattr(source, "_BLOCK", 1000)
    requests = tmp_path / "in.jsonl"
    lines = [batch_request(0), "x" * 10_000, batch_request(1), batch_request(2, text="y" * 3000), "x" * 50_000]
    requests.write_text("\n".join(map(json.dumps, lines)))
    with ScriptedModelServer(echo) as server:
        result = await run_batch(kind, server.url, requests, tmp_path / "out.jsonl")
    assert (result.completed, result.failed) == (3, 2)
    assert [each["line"] for each in read_lines(tmp_path / "out.errors.jsonl")] == [2, 5]
    assert "longer than" in (result.first_failure or "")


@pytest.mark.parametrize("block", [1, 2, 3, 7, 1 << 18])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
async def test_files_in_utf_8_and_utf_16_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, block: int
) -> None:
    monkeypatch.setattr(source, "_BLOCK", block)
    requests, out, text = tmp_path / "in.jsonl", tmp_path / "out.jsonl", "\u00e9 \u2028 \u0a0a \u010d \U0001f5fc"
    lines = [{**batch_request(number), "custom_id": f"{number} {text}"} for number in range(2)]
    content = "\r\n\n".join(json.dumps(each, ensure_ascii=False) for each in lines).encode(encoding)
    requests.write_bytes(codecs.BOM_UTF16_BE + content if encoding == "utf-16-be" else content)
    with ScriptedModelServer(echo) as server:
        result = await run_batch("async", server.url, requests, out)
    assert result == BatchResult(2, 0, 0)
    assert read_texts(out) == {f"{number} {text}": f"text {number}" for number in range(2)}


@pytest.mark.parametrize("odd", [b"\x00", b"\x3d\xd8", b"\x00\xdc\x0a\x00"])
async def test_what_is_not_valid_in_utf_16_fails_alone(kind: str, tmp_path: Path, odd: bytes) -> None:
    requests = tmp_path / "in.jsonl"
    requests.write_bytes(f"{json.dumps(batch_request(0))}\n".encode("utf-16") + odd)
    with ScriptedModelServer(echo) as server:
        result = await run_batch(kind, server.url, requests, tmp_path / "out.jsonl")
    assert result == BatchResult(1, 1, 0)
    assert "line 2: the line is not valid UTF-8" in (result.first_failure or "")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-32"])
async def test_other_encodings_are_refused_by_name(kind: str, tmp_path: Path, encoding: str) -> None:
    requests = tmp_path / "in.jsonl"
    requests.write_bytes(json.dumps(batch_request(0)).encode(encoding))
    name = "UTF-16 without a byte order mark" if "16" in encoding else "UTF-32"
    with pytest.raises(errors.ConfigurationError, match=f"^requests: {requests} is in {name}; convert it to UTF-8"):
        await run_batch(kind, UNREACHABLE, requests, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


URLS = [
    ("/v1/chat/completions", "chat"),
    ("/chat/completions", "chat"),
    ("/v4/chat/completions", "chat"),
    ("/v1beta2/chat/completions/", "chat"),
    ("https://example.com/v1/chat/completions", "chat"),
    ("https://example.com/api/paas/v4/chat/completions?version=1", "chat"),
    ("http://example.com/chat/completions", "chat"),
    ("/v1/completions", "text"),
    ("/completions", "text"),
    ("/v2/completions", "text"),
    ("https://example.com/openai/v1/completions", "text"),
    ("/v1/embeddings", ""),
    ("/v1/responses", ""),
    ("/v1/chat", ""),
    ("/v1/chat/completions/x", ""),
    ("/foo/chat/completions", ""),
    ("https://example.com/v1/embeddings", ""),
    ("chat.completions", ""),
    ("", ""),
]


@pytest.mark.parametrize(("url", "meaning"), URLS)
async def test_the_urls_of_other_services_mean_the_same(tmp_path: Path, url: str, meaning: str) -> None:
    body = {"model": MODEL, "messages": MESSAGES, "prompt": "p"}
    with ScriptedModelServer(lambda _: json_response({"choices": []})) as server:
        result = await run_batch("async", server.url, [{"url": url, "body": body}], tmp_path / "out.jsonl")
        assert [each.path for each in server.requests] == {
            "chat": ["/v1/chat/completions"],
            "text": ["/v1/completions"],
            "": [],
        }[meaning]
    if not meaning:
        assert f"url: expected /v1/chat/completions or /v1/completions, got {url!r}" in (result.first_failure or "")


@pytest.mark.parametrize("depth", range(960, 1000, 4))
async def test_a_request_that_is_nested_as_deeply_as_can_be_read_ends_nothing(depth: int, tmp_path: Path) -> None:
    nested = f'"x":{"[" * depth}{"]" * depth},"y":1e16'
    good = json.dumps(batch_request(1)["body"])
    source = tmp_path / "in.jsonl"
    source.write_text(f"{good[:-1]},{nested}}}\n{good}\n")
    with ScriptedModelServer(echo) as server:
        result = await run_batch("async", server.url, source, tmp_path / "out.jsonl")
    assert result.completed + result.failed == 2
    assert result.completed >= 1

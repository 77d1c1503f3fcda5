"""One way to read a response: whole ones and streams, by `create`, by `stream`, by batches and in lists of models."""

import gzip
import json
import threading
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cwinference import Retry, errors
from cwinference.transports import _http, _http1_exchange
from cwinference.transports import completions as completion_transport
from tests.support.client_kinds import open_client
from tests.support.inference_kinds import MESSAGES, AnyInference, connected
from tests.support.scripted_model_server import (
    DONE,
    MODEL,
    HttpRequest,
    RequestHandler,
    ScriptedResponse,
    chunk_event,
    completion,
    endless_silence,
    event,
    json_response,
    stream_response,
)
from tests.support.scripted_server import Raw, ScriptedServer, http_response

TWICE = Retry(max_attempts=2, initial_backoff=0)
JSON = "application/json"
EVENTS = "text/event-stream"


async def create(inference: AnyInference, _: Path) -> str:
    return (await inference.chat()).text


async def stream(inference: AnyInference, _: Path) -> str:
    return "".join(chunk.text for chunk in await inference.read(inference.stream()))


async def list_models(inference: AnyInference, _: Path) -> str:
    models = await inference.run(lambda inference: inference.models.list())
    return str(models[0].id)


async def run_batch(inference: AnyInference, folder: Path) -> str:
    """Request one completion by a batch; return its text, or raise the error in the file of failures."""
    out = folder / "out.jsonl"
    requests = [{"model": MODEL, "messages": MESSAGES}]
    await inference.run(lambda inference: inference.batch(requests, out=out))
    text = out.read_text()
    if text:
        return str(json.loads(text)["response"]["body"]["choices"][0]["message"]["content"])
    failure = json.loads(out.with_name("out.errors.jsonl").read_text())
    kind = errors.CODES.get(failure["error"]["code"], errors.ProtocolError)
    raise kind(failure["error"]["message"], http_status=(failure["response"] or {}).get("status_code"))


Way = Callable[[AnyInference, Path], Awaitable[str]]
WHOLE: list[Way] = [create, run_batch, list_models]
WAYS: list[Way] = [*WHOLE, stream]

MODELS = {"object": "list", "data": [{"id": "Paris"}]}
EVENT_STREAM = chunk_event("Par") + chunk_event("is", "stop") + DONE


def body_for(request: HttpRequest) -> tuple[bytes, str]:
    """Return the body of a success, and its media type."""
    if request.verb == "GET":
        return json.dumps(MODELS).encode(), JSON
    if request.body.get("stream"):
        return EVENT_STREAM, EVENTS
    return json.dumps(completion("Paris")).encode(), JSON


def whole(body: bytes, kind: str = JSON, status: int = 200, **headers: str) -> ScriptedResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ScriptedResponse([body], status, {"content-type": kind, **named}, length=len(body))


def always(make: Callable[[], ScriptedResponse]) -> RequestHandler:
    """Return a handler that responds to each request alike."""
    return lambda _: make()


async def outcome(way: Way, inference: AnyInference, folder: Path) -> Any:
    with pytest.raises(errors.InferenceError) as caught:
        await way(inference, folder)
    return caught.value


# --- Errors: class, status and retries do not depend on the body


def broken_gzip(status: int) -> ScriptedResponse:
    return whole(b"{}", status=status, content_encoding="gzip")


def cut_gzip(status: int) -> ScriptedResponse:
    return whole(gzip.compress(b'{"message": "x"}')[:-12], status=status, content_encoding="gzip")


def gzip_with_junk(status: int) -> ScriptedResponse:
    return whole(gzip.compress(b"<html>") + b"junk", status=status, content_encoding="gzip")


def empty_gzip(status: int) -> ScriptedResponse:
    return whole(b"", status=status, content_encoding="gzip")


def gzip_bomb(status: int) -> ScriptedResponse:
    return whole(gzip.compress(bytes(8 << 20)), status=status, content_encoding="gzip")


def unknown_coding(status: int) -> ScriptedResponse:
    return whole(b"\x0b\x02\x80", status=status, content_encoding="br")


def cut_off(status: int) -> ScriptedResponse:
    return ScriptedResponse([b'{"error": '], status, {"content-type": JSON}, cut=True, length=1000)


def cut_off_between_chunks(status: int) -> ScriptedResponse:
    return ScriptedResponse([b'{"error": '], status, {"content-type": JSON}, cut=True)


def oversized(status: int) -> ScriptedResponse:
    return ScriptedResponse([b" " * 70_000] * 40, status, {"content-type": JSON})


def oversized_and_announced(status: int) -> ScriptedResponse:
    return ScriptedResponse([b" " * 70_000] * 40, status, {"content-type": JSON}, length=40 * 70_000)


def slow(status: int) -> ScriptedResponse:
    return ScriptedResponse(endless_silence(), status, {"content-type": JSON})


def event_stream(status: int) -> ScriptedResponse:
    return ScriptedResponse([EVENT_STREAM], status, {"content-type": EVENTS})


BODIES = [
    broken_gzip, cut_gzip, gzip_with_junk, empty_gzip, gzip_bomb, unknown_coding, cut_off, cut_off_between_chunks,
    oversized, oversized_and_announced, slow, event_stream,
]  # fmt: skip
STATUSES: list[tuple[int, type[errors.ApiError], int]] = [
    (400, errors.Internal, 1),
    (429, errors.Unavailable, 2),
    (503, errors.Unavailable, 2),
    (504, errors.Unavailable, 2),
]


@pytest.fixture
def _short_time_for_slow_errors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the bodies of errors take 0.05 s, if they are slow: others may come late on a busy machine.

    The rest of a body that is cut off would break the connection under the retry.
    """
    for module in (_http, _http1_exchange, completion_transport):
        if request.getfixturevalue("body") is slow:
            monkeypatch.setattr(module, "ERROR_SECONDS", 0.05)


@pytest.mark.usefixtures("_short_time_for_slow_errors")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("body", BODIES)
async def test_an_error_keeps_its_status_and_its_retries_whatever_its_body_is(
    kind: str, way: Way, body: Callable[[int], ScriptedResponse], tmp_path: Path
) -> None:
    for status, error_class, sent in STATUSES:
        settings: Any = {"retry": TWICE, "max_reply_bytes": 1_500_000}
        async with connected(kind, always(partial(body, status)), **settings) as (inference, server):
            folder = tmp_path / str(status)
            folder.mkdir()
            error = await outcome(way, inference, folder)
        assert type(error) is error_class
        assert error.http_status == status
        assert len(server.requests) == sent


@pytest.mark.usefixtures("_short_time_for_slow_errors")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("body", [cut_off, slow, broken_gzip])
async def test_a_retry_after_an_error_with_an_unreadable_body_succeeds(
    kind: str, way: Way, body: Callable[[int], ScriptedResponse], tmp_path: Path
) -> None:
    def respond(request: HttpRequest) -> ScriptedResponse:
        return body(503) if len(server.requests) == 1 else whole(*body_for(request))

    async with connected(kind, respond, retry=TWICE) as (inference, server):
        assert await way(inference, tmp_path) == "Paris"


async def test_an_error_that_is_cut_off_does_not_hide_the_status_of_the_next(kind: str) -> None:
    """After a success of an announced size, the next response is awaited whole, and its status is lost with it."""
    success = whole(json.dumps(completion("Paris")).encode())
    responses = [success, cut_off(503), cut_off(503), success, success]
    async with connected(kind, lambda _: responses.pop(), retry=TWICE) as (inference, _):
        await inference.chat()
        await inference.chat()
        with pytest.raises(errors.Unavailable):
            await inference.chat(retry=None)
        assert (await inference.chat()).text == "Paris"
    assert responses == []


@pytest.mark.parametrize("way", WAYS)
async def test_the_message_of_a_compressed_error_is_read(kind: str, way: Way, tmp_path: Path) -> None:
    body = gzip.compress(b'{"error": {"message": "no such model"}}')
    async with connected(kind, lambda _: whole(body, status=404, content_encoding="gzip")) as (inference, _):
        error = await outcome(way, inference, tmp_path)
    assert type(error) is errors.NotFound
    assert "no such model" in error.message


RAW_ERRORS: dict[str, bytes] = {
    "broken gzip": http_response(503, b"{}", {"content-encoding": "gzip"}),
    "unknown coding": http_response(503, b"{}", {"content-encoding": "br"}),
    "cut off": b"HTTP/1.1 503 x\r\ncontent-length: 100\r\n\r\n{",
    "bad chunks": b"HTTP/1.1 503 x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "oversized": http_response(503, b" " * 3_000_000, {"content-type": JSON}),
}


@pytest.mark.parametrize("body", RAW_ERRORS)
@pytest.mark.parametrize("client_kind", ["connect-sync", "connect-async", "rest-sync", "rest-async"])
async def test_errors_of_the_management_api_keep_their_status_too(client_kind: str, body: str) -> None:
    transport = client_kind.partition("-")[0]
    with ScriptedServer(transport, lambda _: Raw(RAW_ERRORS[body])) as server:
        settings = {**server.settings, "retry": TWICE, "max_reply_bytes": 1_500_000}
        async with open_client(client_kind, server.endpoint, **settings) as client:
            with pytest.raises(errors.Unavailable) as caught:
                await client.gateways.list()
    assert caught.value.http_status == 503
    assert len(server.received) == 2


@pytest.mark.parametrize("client_kind", ["connect-sync", "connect-async", "rest-sync", "rest-async"])
async def test_an_error_of_the_management_api_that_is_cut_off_is_asked_for_again(client_kind: str) -> None:
    """Its body says what it means: a 404 without it may be a proxy's."""
    transport = client_kind.partition("-")[0]
    body = b'{"code": "not_found", "message": "no such gateway"}'
    cut = b"HTTP/1.1 404 x\r\ncontent-length: %d\r\ncontent-type: application/json\r\n\r\n" % len(body)
    responses = [Raw(cut + body), Raw(cut + body[:20])]
    with ScriptedServer(transport, lambda _: responses.pop()) as server:
        async with open_client(client_kind, server.endpoint, **{**server.settings, "retry": TWICE}) as client:
            with pytest.raises(errors.NotFound, match="no such gateway"):
                await client.gateways.get("g-1")
            responses.append(Raw(cut + body[:20]))
            with pytest.raises(errors.Unavailable, match="the connection was lost") as caught:
                await client.gateways.get("g-1", retry=None)
    assert (caught.value.http_status, caught.value.method) == (404, "GetGateway")
    assert caught.value.headers["content-type"] == JSON


# --- Content codings


def members(body: bytes) -> bytes:
    """Return the body as several members of gzip, one of them empty."""
    return gzip.compress(body[:7]) + gzip.compress(b"") + gzip.compress(body[7:])


def twice(body: bytes) -> bytes:
    return gzip.compress(gzip.compress(body))


CODINGS: list[tuple[Mapping[str, str], Callable[[bytes], bytes]]] = [
    ({"content-encoding": "gzip"}, gzip.compress),
    ({"content-encoding": "GZIP"}, gzip.compress),
    ({"content-encoding": "x-gzip"}, gzip.compress),
    ({"content-encoding": " X-GZip , "}, gzip.compress),
    ({"content-encoding": "gzip"}, members),
    ({"content-encoding": "gzip, gzip"}, twice),
    ({"content-encoding": "gzip", "Content-Encoding": "x-gzip"}, twice),
    ({"content-encoding": "identity"}, bytes),
    ({"content-encoding": "identity, gzip"}, gzip.compress),
    ({"content-encoding": ""}, bytes),
    ({"content-encoding": "deflate"}, zlib.compress),
    ({"content-encoding": "Deflate,GZIP"}, lambda body: gzip.compress(zlib.compress(body))),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("headers", "encode"), CODINGS)
async def test_every_spelling_of_a_coding_is_undone(
    kind: str, way: Way, headers: Mapping[str, str], encode: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    def respond(request: HttpRequest) -> ScriptedResponse:
        body, media = body_for(request)
        body = encode(body)
        return ScriptedResponse([body], 200, {"content-type": media, **headers}, length=len(body))

    async with connected(kind, respond) as (inference, _):
        assert await way(inference, tmp_path) == "Paris"


@pytest.mark.parametrize("size", [1, 5, 64])
async def test_a_compressed_stream_may_be_cut_anywhere(kind: str, size: int) -> None:
    packed = members(EVENT_STREAM)
    pieces = [packed[start : start + size] for start in range(0, len(packed), size)]
    headers = {"content-type": EVENTS, "content-encoding": "gzip"}
    async with connected(kind, lambda _: ScriptedResponse(pieces, 200, headers)) as (inference, _):
        chunks = await inference.read(inference.stream())
    assert [chunk.text for chunk in chunks] == ["Par", "is"]


async def test_events_of_a_compressed_stream_arrive_as_they_are_flushed(kind: str) -> None:
    packer = zlib.compressobj(wbits=31)
    first = packer.compress(chunk_event("Par")) + packer.flush(zlib.Z_SYNC_FLUSH)
    received = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield first
        yield b""  # over HTTP/2 the server sends a piece with the next one
        assert received.wait(60)
        yield packer.compress(chunk_event("is") + DONE) + packer.flush()

    headers = {"content-type": EVENTS, "content-encoding": "gzip"}
    async with connected(kind, lambda _: ScriptedResponse(pieces(), 200, headers)) as (inference, _):
        stream = inference.stream()
        texts: list[str] = []
        if inference.is_async:
            async with stream:
                async for chunk in stream:
                    texts.append(chunk.text)
                    received.set()
        else:

            def read() -> None:
                with stream:
                    for chunk in stream:
                        texts.append(chunk.text)
                        received.set()

            await inference.run(lambda _: read())
    assert texts == ["Par", "is"]


WRONG_CODINGS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", bytes),
    ("gzip", lambda body: gzip.compress(body)[:-9]),
    ("gzip", lambda body: gzip.compress(body) + b"junk"),
    ("gzip", lambda body: gzip.compress(body) + b"\x1f"),
    ("gzip", lambda body: gzip.compress(body)[:-8] + bytes(8)),
    ("gzip, gzip", gzip.compress),
    ("deflate", lambda body: zlib.compress(body) + zlib.compress(b"")),
    ("br", bytes),
    ("zstd", bytes),
    ("gzip, br", gzip.compress),
    ("gzip, gzip, gzip, gzip", lambda body: twice(twice(body))),
]


@pytest.mark.parametrize("way", WHOLE)
@pytest.mark.parametrize(("coding", "encode"), WRONG_CODINGS)
async def test_a_success_in_a_wrong_coding_is_a_protocol_error_and_not_retried(
    kind: str, way: Way, coding: str, encode: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    def respond(request: HttpRequest) -> ScriptedResponse:
        return whole(encode(body_for(request)[0]), content_encoding=coding)

    async with connected(kind, respond, retry=TWICE) as (inference, server):
        error = await outcome(way, inference, tmp_path)
    assert type(error) is errors.ProtocolError
    assert len(server.requests) == 1


@pytest.mark.parametrize("way", WHOLE)
async def test_a_success_with_a_coding_of_nothing_is_an_empty_body(kind: str, way: Way, tmp_path: Path) -> None:
    async with connected(kind, lambda _: whole(b"", content_encoding="gzip")) as (inference, _):
        error = await outcome(way, inference, tmp_path)
    assert type(error) is errors.ProtocolError
    assert "not JSON (0 bytes)" in str(error)


@pytest.mark.parametrize("coding", ["br", "gzip, zstd"])
async def test_a_stream_in_an_unknown_coding_is_a_protocol_error(kind: str, coding: str) -> None:
    headers = {"content-type": EVENTS, "content-encoding": coding}
    response = ScriptedResponse([EVENT_STREAM], 200, headers)
    async with connected(kind, lambda _: response, retry=TWICE) as (inference, server):
        with pytest.raises(errors.ProtocolError, match="which was not requested"):
            await inference.read(inference.stream())
        assert inference.wrapped.stats().in_flight == 0
    assert len(server.requests) == 1


async def test_a_compressed_stream_that_breaks_off_is_interrupted_and_keeps_its_text(kind: str) -> None:
    packer = zlib.compressobj(wbits=31)
    half = packer.compress(chunk_event("Par")) + packer.flush(zlib.Z_SYNC_FLUSH)
    headers = {"content-type": EVENTS, "content-encoding": "gzip"}
    async with connected(kind, lambda _: ScriptedResponse([half], 200, headers)) as (inference, _):
        with pytest.raises(errors.StreamInterrupted) as caught:
            await inference.read(inference.stream())
    assert caught.value.partial_text == "Par"


async def test_after_the_end_mark_a_compressed_stream_need_not_end(kind: str) -> None:
    packer = zlib.compressobj(wbits=31)
    events = packer.compress(EVENT_STREAM) + packer.flush(zlib.Z_SYNC_FLUSH)
    headers = {"content-type": EVENTS, "content-encoding": "gzip"}
    for rest in (b"", b"junk"):
        async with connected(kind, always(partial(ScriptedResponse, [events + rest], 200, headers))) as (inference, _):
            chunks = await inference.read(inference.stream())
        assert [chunk.text for chunk in chunks] == ["Par", "is"]


BOMB = gzip.compress(bytes(128 << 20), 1)


@pytest.mark.parametrize("mode", ["create", "stream"])
@pytest.mark.parametrize("layers", [1, 2])
async def test_a_bomb_is_rejected_before_it_fills_the_memory(kind: str, mode: str, layers: int) -> None:
    bomb = BOMB if layers == 1 else gzip.compress(BOMB)
    media = JSON if mode == "create" else EVENTS
    response = ScriptedResponse([bomb], 200, {"content-type": media, "content-encoding": ", ".join(["gzip"] * layers)})
    async with connected(kind, lambda _: response, max_reply_bytes=1 << 20) as (inference, _):
        tracemalloc.start()
        with pytest.raises(errors.ProtocolError):
            await (inference.chat() if mode == "create" else inference.read(inference.stream()))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 60 << 20


# --- Any 2xx is a success, and an error in it wins


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", [200, 201, 202, 203, 206, 299])
async def test_any_2xx_is_a_success(kind: str, way: Way, status: int, tmp_path: Path) -> None:
    def respond(request: HttpRequest) -> ScriptedResponse:
        return whole(*body_for(request), status)

    async with connected(kind, respond, retry=None) as (inference, _):
        assert await way(inference, tmp_path) == "Paris"
        assert inference.wrapped.stats().done == 1


FOUND: list[tuple[Any, type[errors.ApiError], str]] = [
    ({"message": "busy", "code": 503}, errors.Unavailable, "busy"),
    ({"message": "busy", "code": "503"}, errors.Unavailable, "busy"),
    ({"message": "slow down", "type": "rate_limit_error"}, errors.ResourceExhausted, "slow down"),
    ({"message": "no", "type": "invalid_request_error", "code": "model_not_found"}, errors.InvalidArgument, "no"),
    ({"message": "bad", "type": "BadRequestError", "param": None, "code": 400}, errors.InvalidArgument, "bad"),
    ({"message": "x", "status": 500}, errors.Internal, "x"),
    ({"message": "x", "status_code": 429}, errors.ResourceExhausted, "x"),
    ({"message": None, "code": 500}, errors.Internal, '{"message": null, "code": 500}'),
    ({"odd": 1}, errors.Unknown, '{"odd": 1}'),
    ("CUDA error", errors.Unknown, "CUDA error"),
    (["a"], errors.Unknown, '["a"]'),
    (True, errors.Unknown, "true"),
]


@pytest.mark.parametrize(("found", "error_class", "text"), FOUND)
@pytest.mark.parametrize("choices", ["none", "empty", "some"])
async def test_an_error_in_a_success_is_that_error_for_whole_responses_and_streams(
    kind: str, found: Any, error_class: type[errors.ApiError], text: str, choices: str, tmp_path: Path
) -> None:
    value: dict[str, Any] = {"error": found, "data": []}
    if choices != "none":
        value["choices"] = [] if choices == "empty" else completion()["choices"]

    def framed(request: HttpRequest) -> ScriptedResponse:
        is_stream = request.body is not None and request.body.get("stream")
        return stream_response(event(value), DONE) if is_stream else json_response(value)

    for handler in (framed, lambda _: json_response(value)):
        async with connected(kind, handler, retry=TWICE) as (inference, server):
            for number, way in enumerate(WAYS):
                folder = tmp_path / f"{handler is framed}-{number}"
                folder.mkdir()
                error = await outcome(way, inference, folder)
                assert type(error) is error_class
                assert text in error.message
                assert error.http_status == 200
            stats = inference.wrapped.stats()
        assert len(server.requests) == len(WAYS)
        assert (stats.done, stats.failed, stats.in_flight) == (0, len(WAYS), 0)


@pytest.mark.parametrize("nothing", [None, "", {}, [], False, 0, {"message": "", "code": None}])
async def test_an_empty_error_is_none(kind: str, nothing: Any, tmp_path: Path) -> None:
    def respond(request: HttpRequest) -> ScriptedResponse:
        if request.verb == "GET":
            return json_response({**MODELS, "error": nothing})
        if request.body.get("stream"):
            return stream_response(chunk_event("Paris", error=nothing), DONE)
        return json_response(completion("Paris", error=nothing))

    async with connected(kind, respond) as (inference, _):
        for number, way in enumerate(WAYS):
            folder = tmp_path / str(number)
            folder.mkdir()
            assert await way(inference, folder) == "Paris"


async def test_a_byte_order_mark_is_skipped(kind: str, tmp_path: Path) -> None:
    def respond(request: HttpRequest) -> ScriptedResponse:
        body, media = body_for(request)
        return whole(b"\xef\xbb\xbf" + body, media)

    async with connected(kind, respond) as (inference, _):
        for number, way in enumerate(WAYS):
            folder = tmp_path / str(number)
            folder.mkdir()
            assert await way(inference, folder) == "Paris"


# --- Errors within streams

UNFRAMED = b'{"error": {"message": "out of memory", "code": 500}}'
PRETTY = json.dumps(json.loads(UNFRAMED), indent=2).encode()


@pytest.mark.parametrize("error", [UNFRAMED, PRETTY, UNFRAMED + b" trailing"])
@pytest.mark.parametrize(
    "after", [[], [b"\n"], [b"\n\n", DONE], [b"\n: keep-alive\n\nid: 4\n\n", DONE], [b"\n\n", chunk_event("no")]]
)
async def test_an_unframed_error_ends_a_stream(kind: str, error: bytes, after: list[bytes]) -> None:
    async with connected(kind, lambda _: stream_response(chunk_event("Par"), error, *after)) as (inference, _):
        stream = inference.stream()
        with pytest.raises(errors.Internal, match="out of memory"):
            await inference.read(stream)
    assert stream.text.startswith("Par")


async def test_an_unframed_error_is_raised_before_the_server_hangs_up(kind: str) -> None:
    response = stream_response(chunk_event("Par"), UNFRAMED + b"\n", after=endless_silence())
    async with connected(kind, lambda _: response) as (inference, server):
        with pytest.raises(errors.Internal, match="out of memory"):
            await inference.read(inference.stream(idle_timeout=30))
        assert server.was_left()


@pytest.mark.parametrize(
    "last", [b"data: " + UNFRAMED, b"data: " + UNFRAMED + b"\n", b"event: error\ndata: out of memory"]
)
async def test_an_error_without_its_empty_line_is_raised_at_the_end_of_a_stream(kind: str, last: bytes) -> None:
    async with connected(kind, lambda _: stream_response(chunk_event("Par"), last)) as (inference, _):
        with pytest.raises(errors.ApiError, match="out of memory"):
            await inference.read(inference.stream())


@pytest.mark.parametrize("rest", [b"{", b"{}\n", b'{"a": 1}\n\n', b"{nonsense}\n"])
async def test_other_lines_outside_of_events_are_ignored(kind: str, rest: bytes) -> None:
    async with connected(kind, lambda _: stream_response(chunk_event("Par"), rest, b"\n\n", DONE)) as (inference, _):
        chunks = await inference.read(inference.stream())
    assert [chunk.text for chunk in chunks] == ["Par"]


async def test_an_error_in_place_of_a_stream_is_not_retried(kind: str) -> None:
    value = {"error": {"message": "overloaded", "code": 503}}
    async with connected(kind, lambda _: json_response(value), retry=TWICE) as (inference, server):
        with pytest.raises(errors.Unavailable, match="overloaded") as caught:
            await inference.read(inference.stream())
    assert (caught.value.http_status, caught.value.attempts, len(server.requests)) == (200, 1, 1)

"""Completions over https: HTTP/2 if the server offers it, and only to a server with a trusted certificate."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from cwinference import TLS, errors
from cwinference.inference import AsyncInference, Inference
from tests.support import certificates
from tests.support.inference_kinds import AnyInference
from tests.support.scripted_model_server import (
    DONE,
    HttpRequest,
    ScriptedModelServer,
    ScriptedResponse,
    chunk_event,
    completion,
    json_response,
    stream_response,
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificates.make(tmp_path_factory.mktemp("tls"))


def context(files: tuple[Path, Path], *protocols: str) -> ssl.SSLContext:
    result = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    result.load_cert_chain(*files)
    result.set_alpn_protocols(list(protocols))
    return result


def https_url(server: ScriptedModelServer) -> str:
    return server.url.replace("http://127.0.0.1", "https://localhost")


def respond(request: HttpRequest) -> ScriptedResponse:
    if request.body.get("stream"):
        return stream_response(chunk_event("Paris", "stop"), DONE)
    return json_response(completion())


@pytest.mark.parametrize("kind", [Inference, AsyncInference])
@pytest.mark.parametrize("version", [1, 2])
async def test_the_http_version_is_negotiated(kind: Any, version: int, files: tuple[Path, Path]) -> None:
    protocols = ["h2", "http/1.1"] if version == 2 else ["http/1.1"]
    with ScriptedModelServer(respond, version, context(files, *protocols)) as server:
        inference = AnyInference(kind(https_url(server), token="t", tls=TLS(ca=files[0])))
        assert (await inference.chat()).text == "Paris"
        assert [chunk.text for chunk in await inference.read(inference.stream())] == ["Paris"]
        await inference.close()
    assert {":method" in each.headers for each in server.requests} == {version == 2}


@pytest.mark.parametrize("kind", [Inference, AsyncInference])
async def test_an_untrusted_certificate_fails_the_call_before_the_token_is_sent(
    kind: Any, files: tuple[Path, Path]
) -> None:
    with ScriptedModelServer(respond, 1, context(files, "http/1.1")) as server:
        inference = AnyInference(kind(https_url(server), token="t"))
        with pytest.raises(errors.Unavailable) as caught:
            await inference.chat()
        with pytest.raises(errors.Unavailable):
            await inference.read(inference.stream())
        await inference.close()
    assert (caught.value.attempts, caught.value.retryable, server.requests) == (1, False, [])


@pytest.mark.parametrize("kind", [Inference, AsyncInference])
async def test_one_of_several_servers_may_have_an_untrusted_certificate(kind: Any, files: tuple[Path, Path]) -> None:
    with (
        ScriptedModelServer(respond, 1, context(files, "http/1.1")) as untrusted,
        ScriptedModelServer(respond) as other,
    ):
        inference = AnyInference(kind([https_url(untrusted), other.url], token="t"))
        for _ in range(10):
            assert (await inference.chat()).text == "Paris"
        await inference.close()
        both = AnyInference(kind([https_url(untrusted), https_url(untrusted).replace("localhost", "127.0.0.1")]))
        with pytest.raises(errors.Unavailable, match="certificate") as caught:
            await both.chat()
        assert caught.value.attempts == 2
        await both.close()
    assert untrusted.requests == []

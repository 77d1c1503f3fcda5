"""Completions over https: HTTP/2 where the server offers it, and only to whom the certificates name."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from cwinference import TLS, errors
from cwinference.inference import AsyncInference, Inference
from tests.support import certificates
from tests.support.inference_kinds import Front
from tests.support.scripted_model_server import DONE, Asked, ModelServer, Reply, completion, piece, plain, streamed


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificates.make(tmp_path_factory.mktemp("tls"))


def context(files: tuple[Path, Path], *protocols: str) -> ssl.SSLContext:
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(*files)
    found.set_alpn_protocols(list(protocols))
    return found


def secured(server: ModelServer) -> str:
    return server.url.replace("http://127.0.0.1", "https://localhost")


def answer(got: Asked) -> Reply:
    return streamed(piece("Paris", "stop"), DONE) if got.body.get("stream") else plain(completion())


@pytest.mark.parametrize("kind", [Inference, AsyncInference])
@pytest.mark.parametrize("version", [1, 2])
async def test_the_version_is_what_both_speak(kind: Any, version: int, files: tuple[Path, Path]) -> None:
    offered = ["h2", "http/1.1"] if version == 2 else ["http/1.1"]
    with ModelServer(answer, version, context(files, *offered)) as server:
        front = Front(
            kind(server.url.replace("http://127.0.0.1", "https://localhost"), token="t", tls=TLS(ca=files[0]))
        )
        assert (await front.chat()).text == "Paris"
        assert [chunk.text for chunk in await front.read(front.stream())] == ["Paris"]
        await front.do(_close) if front.awaits else front.inference.close()
    assert {":method" in each.headers for each in server.asked} == {version == 2}


@pytest.mark.parametrize("kind", [Inference, AsyncInference])
async def test_a_certificate_that_nobody_trusts_ends_the_call_before_the_token_is_sent(
    kind: Any, files: tuple[Path, Path]
) -> None:
    with ModelServer(answer, 1, context(files, "http/1.1")) as server:
        front = Front(kind(secured(server), token="t"))
        with pytest.raises(errors.Unavailable) as caught:
            await front.chat()
        with pytest.raises(errors.Unavailable):
            await front.read(front.stream())
        await front.do(_close) if front.awaits else front.inference.close()
    assert (caught.value.attempts, caught.value.permanent, server.asked) == (1, True, [])


async def _close(inference: Any) -> None:
    await inference.close()

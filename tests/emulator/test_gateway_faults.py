"""Injected faults below a gateway's endpoint, and what clients get that request completions."""

import http.client
import json
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from cwinference.transports import _pool
from tests.support.inference_kinds import open_inference
from tests.support.ready_gateways import MODEL, ready_gateway


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_errors_have_openais_form_and_keep_the_connection_open(size: int) -> None:
    with ready_gateway() as ready:
        ready.emulator.faults.add("error", path="/gateway/*/completions", code="resource_exhausted", message="too fast")
        connection = http.client.HTTPConnection(str(urlsplit(ready.endpoint).netloc), timeout=60)
        for _ in range(2):
            connection.request("POST", urlsplit(ready.endpoint).path + "/v1/chat/completions", b" " * size)
            response = connection.getresponse()
            error = json.loads(response.read())["error"]
            assert (response.status, error["message"], error["code"]) == (429, "too fast", "resource_exhausted")
            assert not response.will_close
        connection.close()


@pytest.mark.parametrize("kind", ["sync-2", "async-2"])
@pytest.mark.parametrize("form", ["complete", "streamed"])
async def test_completions_replace_a_half_open_connection(
    kind: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pool, "SILENT_SECONDS", 0.5)

    async def request(seconds: float) -> None:
        if form == "complete":
            await inference.chat(timeout=seconds)
        else:
            await inference.read(inference.stream(first_token_timeout=seconds))

    with ready_gateway() as ready:
        async with open_inference(kind, ready.endpoint, ready.emulator.token, retry=None) as inference:
            await request(30)
            ready.emulator.faults.add("half_open", nth=1)
            with pytest.raises(TimeoutError):
                await request(0.2)
            for attempt in range(20):  # a busy machine needs more attempts, and longer ones
                with suppress(TimeoutError):
                    await request(0.2 * (attempt + 1))
                    break
            else:
                pytest.fail("the half-open connection is still in use")


@pytest.mark.parametrize("stream", [False, True])
def test_a_duplicate_completion_gets_a_response(stream: bool) -> None:
    with ready_gateway() as ready, ready.client.inference(ready.gateway, timeout=60) as inference:
        twice = ready.emulator.faults.add("duplicate", path="/gateway/*")
        arguments: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
        if stream:
            with inference.chat.completions.stream(**arguments) as chunks:
                text = "".join(each.text for each in chunks)
        else:
            text = inference.chat.completions.create(**arguments).text
        assert 'that end in "Hi"' in text
        assert twice.happened == 1

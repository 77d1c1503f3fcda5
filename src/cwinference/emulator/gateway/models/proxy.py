"""A model on another server: requests are forwarded to it, and its responses are returned as they are."""

import asyncio
import http.client
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import nullcontext
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from ....errors import ConfigurationError
from ..openai_request import GatewayError, ModelRequest
from ..response import ResponseWriter, encode_json
from .upstream import UpstreamError, UpstreamResponse, post

_START_TIMEOUT = 10.0
_FORWARDED_HEADERS = ("retry-after", "retry-after-ms", "x-should-retry")
"""Headers of the server's responses that matter to clients."""

_log = logging.getLogger("cwinference.emulator")


class ModelProxy:
    """Forwards requests to an OpenAI-compatible server.

    A request for a model that the server does not have uses its first one, so any deployment works with any server.
    """

    def __init__(self, url: str, *, key: str | None = None, max_parallel: int | None = None) -> None:
        """Create a proxy; nothing is connected before `start`.

        Args:
            url: the server's address, with or without `/v1`. If it needs an API key: `http://<key>@<host>`.
            key: the API key, if it is not in the URL.
            max_parallel: how many requests the server handles at once; more wait here. None: no limit.

        Raises:
            ConfigurationError: the URL does not have this form.
        """
        parts = _parse_url(url)
        user, _, host = parts.netloc.rpartition("@")
        self._url = f"{parts.scheme}://{host}{parts.path.rstrip('/').removesuffix('/v1')}/v1"
        self._headers = {"content-type": "application/json"}
        if key or user:
            self._headers["authorization"] = f"Bearer {key or unquote(user)}"
        self._slots = nullcontext() if max_parallel is None else asyncio.Semaphore(max_parallel)
        self._names: list[str] = []
        """Names of the server's models; empty when it lists none."""

    def __repr__(self) -> str:
        return f"ModelProxy({self._url})"

    def start(self) -> None:
        """Ask the server for its models. Raises ConfigurationError if it does not respond."""
        parts = urlsplit(self._url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.netloc, timeout=_START_TIMEOUT)
        try:
            connection.request("GET", f"{parts.path}/models", headers=self._headers)
            response = connection.getresponse()
            self._names = _model_names(response.status, response.read())
            if not self._names:
                text = "model: %s/models lists no models (HTTP %d): requests keep the names of the deployments' models"
                _log.warning(text, self._url, response.status)
        except (OSError, http.client.HTTPException) as error:
            raise ConfigurationError(
                f"model: no server responds at {self._url}: {error or type(error).__name__}"
            ) from None
        finally:
            connection.close()

    def close(self) -> None:
        """Do nothing: each connection is closed with its request."""

    async def complete(self, request: ModelRequest, response: ResponseWriter) -> None:
        """Forward a request. If the server breaks off a stream, it ends with an error event, and without `[DONE]`.

        When the client disconnects, this is canceled, at whichever `await`. That releases the slot and leaves the block
        of `post`, which closes the connection to the server, so that it stops generating.
        """
        known = request.model in self._names or not self._names
        body = request.body if known else {**request.body, "model": self._names[0]}
        async with self._slots:
            try:
                async with post(f"{self._url}/{request.route}", self._headers, encode_json(body)) as upstream:
                    await _forward(upstream, response, None if known else request.model)
            except UpstreamError as error:
                await _report(GatewayError(502, f"The model server failed: {error}", code="bad_gateway"), response)


def _parse_url(url: str) -> Any:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if not parts.hostname or parts.password or parts.query or parts.fragment:
        raise ConfigurationError(
            "model: expected http://<host>:<port> or http://<key>@<host>:<port>, and nothing else in it"
        )
    return parts


def _model_names(status: int, body: bytes) -> list[str]:
    try:
        return [str(each["id"]) for each in cast(list[Any], json.loads(body)["data"])] if status == 200 else []
    except (ValueError, LookupError, TypeError):
        return []


async def _forward(upstream: UpstreamResponse, response: ResponseWriter, name: str | None) -> None:
    """Send a response as it arrives. `name`, if given, replaces the name of the model in it."""
    content_type = upstream.headers.get("content-type", "text/plain")
    response.headers.update({each: upstream.headers[each] for each in _FORWARDED_HEADERS if each in upstream.headers})
    if content_type.startswith("text/event-stream"):
        async for piece in upstream.body if name is None else _rename_in_events(upstream.body, name):
            await response.write(piece)
        await response.end()
    else:
        body = b"".join([piece async for piece in upstream.body])
        await response.send(upstream.status, _rename(body, name), content_type)


async def _report(error: GatewayError, response: ResponseWriter) -> None:
    """Raise an error, or send it as an event: once a stream has begun, its status can no longer be changed."""
    if not response.started:
        raise error
    await response.event(error.body)
    await response.end()


async def _rename_in_events(pieces: AsyncIterator[bytes], name: str) -> AsyncIterator[bytes]:
    """Give the lines of a stream of events, with another name of the model in their data."""
    # Pieces end anywhere, so the last, incomplete line of each is kept for the next.
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            field, colon, value = line.partition(b":")
            yield (b"data: " + _rename(value.strip(), name) if field == b"data" and colon else line) + b"\n"
    yield rest


def _rename(data: bytes, name: str | None) -> bytes:
    """Return a JSON object with another name of its model; anything else as it is."""
    if name is None or b'"model"' not in data:
        return data
    try:
        body = json.loads(data)
    except ValueError:
        return data
    return encode_json({**cast(Mapping[str, Any], body), "model": name}) if isinstance(body, dict) else data

"""Another server's model: requests go on to it, its answers come back as they are."""

import asyncio
import http.client
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import nullcontext
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from ....errors import ConfigurationError
from ..openai_request import Problem, Request
from ..response import Reply, encoded
from .upstream import Lost, Response, post

_START_SECONDS = 10.0
_PASSED_ON = ("retry-after", "retry-after-ms", "x-should-retry")
"""Headers of the server's answers that matter to clients."""


_log = logging.getLogger("cwinference.emulator")


class Proxy:
    """Any OpenAI-compatible server; one that wants a key finds it in its URL, `http://<key>@<host>`.

    A model that it does not know is asked for by the name of its first one.
    """

    def __init__(self, url: str, *, key: str | None = None, at_once: int | None = None) -> None:
        parts = _checked(url)
        user, _, host = parts.netloc.rpartition("@")
        self._url = f"{parts.scheme}://{host}{parts.path.rstrip('/').removesuffix('/v1')}/v1"
        self._headers = {"content-type": "application/json"}
        if key or user:
            self._headers["authorization"] = f"Bearer {key or unquote(user)}"
        self._room = nullcontext() if at_once is None else asyncio.Semaphore(at_once)
        """Keeps requests beyond what the server takes at once waiting here."""
        self._names: list[str] = []
        """Of the server's models; empty when it lists none."""

    def __repr__(self) -> str:
        return f"Proxy({self._url})"

    def start(self) -> None:
        """Ask the server for its models. Raises ConfigurationError when it is down."""
        parts = urlsplit(self._url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.netloc, timeout=_START_SECONDS)
        try:
            connection.request("GET", f"{parts.path}/models", headers=self._headers)
            response = connection.getresponse()
            self._names = _names(response.status, response.read())
            if not self._names:
                text = "model: %s/models lists no models (HTTP %d): the server is asked for each deployment's own"
                _log.warning(text, self._url, response.status)
        except (OSError, http.client.HTTPException) as error:
            raise ConfigurationError(
                f"model: no server answers at {self._url}: {error or type(error).__name__}"
            ) from None
        finally:
            connection.close()

    def close(self) -> None:
        """Connections end with their exchanges."""

    async def answer(self, request: Request, reply: Reply) -> None:
        """Pass it on. A stream that breaks off ends with an event that holds an error, and without its end mark."""
        known = request.model in self._names or not self._names
        body = request.body if known else {**request.body, "model": self._names[0]}
        async with self._room:
            try:
                async with post(f"{self._url}/{request.route}", self._headers, encoded(body)) as response:
                    await _pass_on(response, reply, None if known else request.model)
            except Lost as error:
                await _tell(Problem(502, f"The model server failed: {error}", code="bad_gateway"), reply)


def _checked(url: str) -> Any:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if not parts.hostname or parts.password or parts.query or parts.fragment:
        raise ConfigurationError("model: expected http://<host>:<port> or http://<key>@<host>:<port>, and no more")
    return parts


def _names(status: int, body: bytes) -> list[str]:
    try:
        return [str(each["id"]) for each in cast(list[Any], json.loads(body)["data"])] if status == 200 else []
    except (ValueError, LookupError, TypeError):
        return []


async def _pass_on(response: Response, reply: Reply, name: str | None) -> None:
    """Send what comes; `name`, if given, replaces the name of the model in it."""
    content_type = response.headers.get("content-type", "text/plain")
    reply.headers.update({name: response.headers[name] for name in _PASSED_ON if name in response.headers})
    if content_type.startswith("text/event-stream"):
        async for piece in response.body if name is None else _renamed_events(response.body, name):
            await reply.write(piece)
        await reply.end()
    else:
        body = b"".join([piece async for piece in response.body])
        await reply.whole(response.status, _renamed(body, name), content_type)


async def _tell(problem: Problem, reply: Reply) -> None:
    if not reply.started:
        raise problem
    await reply.event(problem.body)
    await reply.end()


async def _renamed_events(pieces: AsyncIterator[bytes], name: str) -> AsyncIterator[bytes]:
    """The same events, line by line."""
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            field, colon, value = line.partition(b":")
            yield (b"data: " + _renamed(value.strip(), name) if field == b"data" and colon else line) + b"\n"
    yield rest


def _renamed(data: bytes, name: str | None) -> bytes:
    """A JSON object with another name of its model; anything else as it is."""
    if name is None or b'"model"' not in data:
        return data
    try:
        body = json.loads(data)
    except ValueError:
        return data
    return encoded({**cast(Mapping[str, Any], body), "model": name}) if isinstance(body, dict) else data

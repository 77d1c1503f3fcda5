"""One HTTP exchange over pyqwest, bounded in size and time, with our errors.

Connect, REST and completions are built on it; only it and `completions.py` import pyqwest. Redirects are never
followed: a token must not travel to another host. pyqwest inflates without a bound, so what comes compressed is
inflated here. Its threads do not survive a fork, where a call would hang for ever, so a forked child is refused.
"""

import atexit
import os
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import pyqwest

from .. import errors
from ..auth import Metadata
from ..config import USER_AGENT, Settings
from ._gzip import check_size, inflate
from ._interruptible import Opening, aside
from ._pool import Lane, Pool
from ._stream_ends import Endings
from ._time_limit import Deadline
from .base import UNUSABLE_TLS, is_over, tls_advice

Headers = Mapping[str, str]
T = TypeVar("T")

_ENGINE_PROCESS: list[int] = []
"""The process in which pyqwest was first put to work; it cannot be used in a forked child of that one."""

_OF_URL = re.compile(r" for url \(\S*\)")
"""Where pyqwest's text names the URL, whose words say nothing of the cause."""

_EXIT_SECONDS = 0.01
"""How long the exit of a process waits for pyqwest's threads: one that still lets go of an answer which was not read to
its end would abort the process. A quarter of such exits did."""

_CODES_OF_RESETS: Mapping[int, type[errors.ApiError]] = {
    pyqwest.StreamErrorCode.REFUSED_STREAM: errors.Unavailable,
    pyqwest.StreamErrorCode.CANCEL: errors.Cancelled,
    pyqwest.StreamErrorCode.ENHANCE_YOUR_CALM: errors.ResourceExhausted,
    pyqwest.StreamErrorCode.INADEQUATE_SECURITY: errors.PermissionDenied,
}


class Answer:
    """A whole HTTP answer, inflated."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: pyqwest.Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class _Line(NamedTuple):
    """A blocking connection: pyqwest's transport, and its client, which alone takes a time limit."""

    transport: pyqwest.SyncHTTPTransport
    client: pyqwest.SyncClient


class SyncHttp:
    """HTTP for threads."""

    def __init__(self, settings: Settings, default_version: int) -> None:
        self._limit = settings.max_reply_bytes
        self._options = transport_options(settings, default_version)
        self._pool = Pool(self._connect)

    def fetch(self, verb: str, url: str, headers: Metadata, content: bytes | None, timeout: float | None) -> Answer:
        """Do one exchange. `timeout` in seconds; None for no limit."""
        refuse_after_fork()
        lane, began = self._pool.take(), time.monotonic()
        try:
            stream = lane.connection.client.stream
            # The headers are made in the call: as a local of ours they would show the token in a traceback.
            opening = Opening(lambda: stream(verb, url, pyqwest.Headers(headers), content, timeout=timeout).__enter__())
            return aside(lambda: self._whole(opening, lane, began), opening.give_up)
        except errors.InferenceError:
            raise
        except Exception as error:
            raise translate(error, timeout, time.monotonic() - began) from None
        finally:
            self._give(lane, began)

    def close(self) -> None:
        if [os.getpid()] == _ENGINE_PROCESS:
            for line in self._pool.take_all():
                line.transport.close()

    def _give(self, lane: Lane[_Line], began: float) -> None:
        spare = self._pool.give(lane, began)
        if spare is not None:
            spare.transport.close()

    def _whole(self, opening: Opening[pyqwest.SyncResponse], lane: Lane[_Line], began: float) -> Answer:
        with opening.enter() as response:
            lane.answered = began
            return _answer(response.status, response.headers, self._read(response), self._limit)

    def _read(self, response: pyqwest.SyncResponse) -> bytes:
        announced_size(response.headers, self._limit)
        chunks, size = list[Any](), 0
        for chunk in response.content:
            size += len(chunk)
            check_size(size, self._limit)
            chunks.append(chunk)
        return b"".join(chunks)

    def _connect(self) -> _Line:
        transport = _made(lambda: pyqwest.SyncHTTPTransport(**self._options))
        return _Line(transport, pyqwest.SyncClient(transport))


class AsyncHttp:
    """HTTP for event loops; pyqwest's own threads serve all of them."""

    def __init__(self, settings: Settings, default_version: int) -> None:
        self._limit = settings.max_reply_bytes
        self._options = transport_options(settings, default_version)
        self._pool = Pool(self._connect)
        self._endings = Endings()

    async def fetch(
        self, verb: str, url: str, headers: Metadata, content: bytes | None, timeout: float | None
    ) -> Answer:
        """Do one exchange. `timeout` in seconds; None for no limit."""
        limit = Deadline(timeout)
        refuse_after_fork()
        lane, began = self._pool.take(), time.monotonic()
        try:
            with limit:
                response = await lane.connection.execute(pyqwest.Request(verb, url, pyqwest.Headers(headers), content))
                lane.answered = began
                return _answer(response.status, response.headers, await self._read(response), self._limit)
        except TimeoutError as error:
            raise deadline_exceeded(timeout) if limit.expired else translate(error, timeout) from None
        except errors.InferenceError:
            raise
        except Exception as error:
            raise translate(error, timeout, time.monotonic() - began) from None
        finally:
            if (spare := self._pool.give(lane, began)) is not None:
                await spare.aclose()

    async def close(self) -> None:
        self._endings.clear()
        if [os.getpid()] == _ENGINE_PROCESS:
            for transport in self._pool.take_all():
                await transport.aclose()

    async def _read(self, response: pyqwest.Response) -> bytes:
        try:
            announced = announced_size(response.headers, self._limit)
            chunks, size, streams = list[Any](), 0, response.http_version != pyqwest.HTTPVersion.HTTP1
            skip = not streams or self._endings.may_skip()
            began = complete = time.monotonic()
            async for chunk in response.content:
                size += len(chunk)
                check_size(size, self._limit)
                chunks.append(chunk)
                if size == announced and chunk:
                    if skip and streams:
                        self._endings.keep(response)
                    if skip:
                        break
                    complete = time.monotonic()
            if size == announced and not skip:
                self._endings.learn(end=time.monotonic() - complete, body=complete - began)
            return b"".join(chunks)
        except BaseException:
            await response.aclose()
            raise

    def _connect(self) -> pyqwest.HTTPTransport:
        return _made(lambda: pyqwest.HTTPTransport(**self._options))


def _made(make: Callable[[], T]) -> T:
    """A transport of pyqwest's, which reads certificates and key only now. The key is no local of ours."""
    engage()
    try:
        return make()
    except RuntimeError as error:
        raise errors.ConfigurationError(f"{UNUSABLE_TLS}: {error}") from None


def _answer(status: int, headers: pyqwest.Headers, body: bytes, limit: int) -> Answer:
    encoding = headers.get("content-encoding", "")
    return Answer(status, headers, inflate(body, encoding, limit) if encoding else body)


def request_headers(metadata: Metadata, **more: str) -> Metadata:
    """The headers of a request: the token, who we are, and more by name with `_` for `-`.

    They become pyqwest's own only where they are handed over, because those show the token in their repr.
    """
    return (*metadata, ("user-agent", USER_AGENT), *((name.replace("_", "-"), value) for name, value in more.items()))


def transport_options(settings: Settings, default_version: int) -> dict[str, Any]:
    """pyqwest's settings from ours. `default_version` is spoken on plain http:// when none is forced."""
    pem = settings.certificates
    version = settings.http_version
    if version is None and not settings.endpoint.secure:
        version = 2 if default_version == 2 else 1
    versions = {1: pyqwest.HTTPVersion.HTTP1, 2: pyqwest.HTTPVersion.HTTP2, None: None}
    return {
        "tls_ca_cert": pem.ca,
        "tls_include_system_certs": pem.ca is None,
        "tls_cert": pem.cert,
        "tls_key": pem.key,
        "http_version": versions[version],
        "proxy": _proxy(settings),
        "follow_redirects": False,
        "enable_gzip": False,
        "enable_brotli": False,
        "enable_zstd": False,
        "enable_otel": False,
        "use_system_dns": True,
    }


def _proxy(settings: Settings) -> pyqwest.Proxy | None:
    """The proxy; for loopback one that no host goes through, which also keeps the environment's from being used."""
    if settings.endpoint.loopback:
        return pyqwest.Proxy("http://127.0.0.1:9", no_proxy="127.0.0.0/8,::1,localhost")
    return None if settings.proxy is None else pyqwest.Proxy(settings.proxy)


def engage() -> None:
    """Note that pyqwest is put to work in this process."""
    if not _ENGINE_PROCESS:
        _ENGINE_PROCESS.append(os.getpid())
        atexit.register(time.sleep, _EXIT_SECONDS)


def refuse_after_fork() -> None:
    """Raise in a forked child of the process in which pyqwest was put to work."""
    if _ENGINE_PROCESS and _ENGINE_PROCESS[0] != os.getpid():
        raise errors.ConfigurationError(
            "this process was forked after its parent had used HTTP (Connect, REST or completions), whose threads do "
            "not survive a fork; fork first, use multiprocessing's 'spawn', or use transport='grpc'"
        )


def announced_size(headers: pyqwest.Headers, limit: int) -> int | None:
    """The content-length, refused when it is over the limit; None when there is none."""
    text = headers.get("content-length", "")
    if not text.isdecimal():
        return None
    size = int(text[:20])
    check_size(size, limit)
    return size


def deadline_exceeded(timeout: float | None) -> errors.DeadlineExceeded:
    """What a time-out of ours is told as."""
    return errors.DeadlineExceeded("no answer in time" if timeout is None else f"no answer within {timeout:.3g} s")


def translate(error: Exception, timeout: float | None, seconds: float = 0.0) -> errors.ApiError:
    """pyqwest's error, or Python's own, as ours, `seconds` after the exchange began."""
    text = str(error) or type(error).__name__
    if isinstance(error, pyqwest.StreamError):
        if error.code == pyqwest.StreamErrorCode.CANCEL and is_over(timeout, seconds):
            return deadline_exceeded(timeout)
        kind = _CODES_OF_RESETS.get(error.code, errors.Internal)
        refused = error.code == pyqwest.StreamErrorCode.REFUSED_STREAM
        return kind(f"the server reset the stream: {text}", unprocessed=refused, turned_away=refused)
    if isinstance(error, ConnectionError):
        cause = _OF_URL.sub("", text)
        advice = tls_advice(cause)
        tls = bool(advice) or "certificate" in cause.lower() or "tls" in cause.lower()
        return errors.Unavailable(f"no connection: {text}{advice}", unprocessed=not tls, permanent=tls)
    if isinstance(error, TimeoutError):
        return deadline_exceeded(timeout)
    if isinstance(error, pyqwest.ReadError | pyqwest.WriteError | pyqwest.RemoteProtocolError):
        return errors.Unavailable(f"the connection was lost: {text}")
    return errors.Internal(f"{type(error).__name__}: {text}")

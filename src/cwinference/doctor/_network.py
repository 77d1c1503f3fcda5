"""Name resolution, proxies and certificates on the way to the API, by Python's own sockets.

Each transport library has a resolver and a TLS of its own, which do not say what they saw. So this examines the way
itself, by the client's settings; whether a transport gets through is seen by its calls. The client's certificate is not
presented: its key would have to be written to a file.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from .._calls.flow import RunFunction
from ..config import Settings

T = TypeVar("T")

_MOST_HEAD = 16 * 1024
"""How much of a proxy's response is read, in bytes."""


@dataclass(frozen=True)
class Handshake:
    """What a TLS handshake showed of the server."""

    subject: str
    issuer: str
    expires: datetime
    version: str
    alpn: str
    chain: int | None
    """How many certificates the verified chain has; None before Python 3.13, which cannot tell."""


def work_on_thread(work: Callable[[], T], seconds: float) -> RunFunction:
    """Return a step that does blocking work on a thread. Raises TimeoutError after `seconds`; the thread is left then.

    It is a daemon, so that a resolver which hangs keeps no process from exiting.
    """
    return RunFunction(
        lambda: _start(work).result(seconds), lambda: asyncio.wait_for(asyncio.wrap_future(_start(work)), seconds)
    )


def _start(work: Callable[[], T]) -> "Future[T]":
    outcome: Future[T] = Future()
    outcome.set_running_or_notify_cancel()
    threading.Thread(target=_do, args=(work, outcome), name="cwinference doctor", daemon=True).start()
    return outcome


def _do(work: Callable[[], Any], outcome: "Future[Any]") -> None:
    try:
        outcome.set_result(work())
    except BaseException as error:
        outcome.set_exception(error)


def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def connect(settings: Settings, seconds: float) -> Handshake | None:
    """Connect to the endpoint, directly or through the proxy, and shake hands; None over http://. Raises OSError.

    `seconds` limits each step. Only http:// proxies are understood.
    """
    endpoint, proxy = settings.endpoint, settings.proxy
    target = endpoint if proxy is None else proxy
    with socket.create_connection((target.host, target.port), timeout=seconds) as connection:
        if not endpoint.secure:
            return None
        if proxy is not None:
            _open_tunnel(connection, settings)
        with _tls_context(settings).wrap_socket(connection, server_hostname=endpoint.host) as secured:
            return _shown(secured)


def _open_tunnel(connection: socket.socket, settings: Settings) -> None:
    proxy, authority = settings.proxy, settings.endpoint.authority
    head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n"
    if proxy is not None and proxy.authorization is not None:
        head += f"Proxy-Authorization: {proxy.authorization.reveal()}\r\n"
    connection.sendall(f"{head}\r\n".encode("latin-1"))
    received = b""
    while b"\r\n\r\n" not in received and len(received) < _MOST_HEAD:
        data = connection.recv(1)  # what follows the head belongs to TLS
        if not data:
            break
        received += data
    status = received.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
    if len(status) < 2 or not status[1].startswith("2"):
        raise ProxyRefusal(status[1] if len(status) > 1 and status[1].isdigit() else "no HTTP")


class ProxyRefusal(OSError):
    """A proxy opened no tunnel. Its text is the HTTP status."""


def _tls_context(settings: Settings) -> ssl.SSLContext:
    ca = settings.certificates.ca
    context = ssl.create_default_context(cadata=None if ca is None else ca.decode("ascii", "replace"))
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def _shown(secured: ssl.SSLSocket) -> Handshake:
    certificate = cast(dict[str, Any], secured.getpeercert() or {})
    chain: Any = getattr(secured, "get_verified_chain", None)
    return Handshake(
        subject=_common_name(certificate.get("subject", ())),
        issuer=_common_name(certificate.get("issuer", ())),
        expires=datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC),
        version=secured.version() or "",
        alpn=secured.selected_alpn_protocol() or "",
        chain=None if chain is None else len(chain()),
    )


def _common_name(name: Any) -> str:
    """Return the common name of a distinguished name, or else its organization."""
    parts = {key: value for group in name for key, value in group}
    return str(parts.get("commonName") or parts.get("organizationName") or "")

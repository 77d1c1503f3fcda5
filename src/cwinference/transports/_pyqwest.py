"""What is particular to pyqwest: its settings, its life in a process, and its errors as ours.

Redirects are never followed: a token must not travel to another host. pyqwest decompresses without a limit, so that is
switched off and done in `_content_coding.py`.
"""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard, TypeVar

import pyqwest

from .. import errors
from .._retry_rules import Hint
from .._signals import from_signal_handler
from ..config import Settings
from ._process_exit import wait_at_exit
from ._tls import UNUSABLE_TLS, tls_advice
from .base import has_timed_out

T = TypeVar("T")

_PROCESS_OF_THREADS: list[int] = []
"""The process in which pyqwest has started its threads. They do not survive a fork, where a call would hang forever."""

_OF_PARENT: list[object] = []
"""In a forked child: open responses of its parent, and their connections.

Closing or releasing one waits for a lock. A thread of pyqwest may have held it when the process was forked, and nobody
releases it here.
"""

_URL = re.compile(r" for url \(\S*\)")
"""The part of pyqwest's text that names the URL, whose words say nothing about the cause."""

_NOT_CONNECTED = re.compile(
    r"(?:Request failed: )?error sending request for url \((\w+://[^/\s)]+)\S*\): "
    r"(?:client error \(Connect\): )?(?:tcp connect error: )?"
)
"""How pyqwest's text begins if there is no connection; the group is where it would lead. The cause comes after it."""
_OS_ERROR = re.compile(r" \(os error \d+\)")

_CODES_OF_RESETS: Mapping[int, type[errors.ApiError]] = {
    pyqwest.StreamErrorCode.REFUSED_STREAM: errors.Unavailable,
    pyqwest.StreamErrorCode.CANCEL: errors.Cancelled,
    pyqwest.StreamErrorCode.ENHANCE_YOUR_CALM: errors.ResourceExhausted,
    pyqwest.StreamErrorCode.INADEQUATE_SECURITY: errors.PermissionDenied,
}


def new_transport(make: Callable[[], T]) -> T:
    """Return a transport of pyqwest. It parses certificates and key only now; the key is not a local variable of ours,
    which a traceback would show."""
    note_use()
    try:
        return make()
    except (RuntimeError, ValueError) as error:
        if from_signal_handler(error):
            raise
        raise errors.ConfigurationError(f"{UNUSABLE_TLS}: {error}") from None


def transport_options(settings: Settings, default_version: int) -> dict[str, Any]:
    """Return pyqwest's settings for ours. `default_version` is used for plain http:// if none is forced; proxies that
    forward requests take HTTP/1.1 only."""
    pem = settings.certificates
    version = settings.http_version
    if version is None and not settings.endpoint.secure:
        version = 2 if default_version == 2 and settings.proxy is None else 1
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


def _proxy(settings: Settings) -> pyqwest.Proxy:
    """Return the proxy that was chosen.

    Without any, pyqwest would look into the environment. So for a direct connection it gets one for the other scheme,
    which it never uses, because redirects are not followed.
    """
    proxy = settings.proxy
    if proxy is None:
        return pyqwest.Proxy("http://127.0.0.1:9", scheme="http" if settings.endpoint.secure else "https")
    try:
        return pyqwest.Proxy(proxy.url, auth=None if proxy.credentials is None else proxy.credentials.reveal())
    except ValueError:
        raise errors.ConfigurationError(f"{proxy.source}: the proxy's host {proxy.host!r} is not valid") from None


def note_use() -> None:
    """Note that pyqwest starts its threads in this process."""
    if not _PROCESS_OF_THREADS:
        _PROCESS_OF_THREADS.append(os.getpid())
        wait_at_exit()


def is_usable() -> bool:
    """Return whether pyqwest's threads run in this process, so that its connections can be closed."""
    return [os.getpid()] == _PROCESS_OF_THREADS


def refuse_after_fork() -> None:
    """Raise ConfigurationError in a forked child of the process in which pyqwest has started its threads."""
    if _is_forked():
        raise errors.ConfigurationError(
            "this process was forked after its parent had used HTTP (Connect, REST or completions), whose threads do "
            "not survive a fork; fork first, use multiprocessing's 'spawn', or use transport='grpc'"
        )


def leave_to_parent(*opened: object) -> bool:
    """Return whether this is a forked child, which must not close what its parent has opened, but keep it alive."""
    if not _is_forked():
        return False
    _OF_PARENT.extend(opened)
    return True


def _is_forked() -> bool:
    return bool(_PROCESS_OF_THREADS) and _PROCESS_OF_THREADS[0] != os.getpid()


def no_response(timeout: float | None) -> errors.DeadlineExceeded:
    """Return the error of a timeout of ours."""
    return errors.DeadlineExceeded("no response in time" if timeout is None else f"no response within {timeout:.3g} s")


_UNREADABLE = re.compile(
    r"message head is too large|invalid .* parsed|invalid chunk|chunk \w+ .*over limit|stream error detected: "
    r"|^(?!Error reading).*connection error detected: (?!detected excessive load)",
    re.IGNORECASE,
)
"""In texts of pyqwest: what came from the server is no HTTP, or more than can be read. Sending it again cannot help.

`detected` is said of what its HTTP/2 engine found, `received` of what the other side complained about. An error of the
connection ends all responses on it: one that had begun was most likely read well, and is only lost. The engine also
counts the frames that arrive for streams that were canceled, and calls too many of them an excessive load.
"""
_UNPROXIED = "proxy authorization required"
_NO_SUCH_NAME = re.compile(r"dns error.*(not known|no such host|no address associated)|invalid dns name", re.IGNORECASE)


def is_of_engine(error: BaseException) -> TypeGuard[Exception]:
    """Return whether pyqwest raised it, with an exception of its own or one of Python's. All others pass untouched."""
    module = type(error).__module__.partition(".")[0]
    return isinstance(error, Exception) and module in ("builtins", "pyqwest") and not from_signal_handler(error)


def translate(error: Exception, timeout: float | None, seconds: float = 0.0) -> errors.ApiError | errors.ProtocolError:
    """Return an error of pyqwest, or Python's own, as ours. `seconds` is how long the exchange took."""
    text = str(error) or type(error).__name__
    cause = _URL.sub("", text)
    if _UNREADABLE.search(cause):
        return errors.ProtocolError(f"the response cannot be read: {cause}")
    if isinstance(error, pyqwest.StreamError):
        return _reset(error, text, timeout, seconds)
    if isinstance(error, ConnectionError):
        advice = tls_advice(cause)
        is_tls = bool(advice) or "certificate" in cause.lower() or "tls" in cause.lower()
        hint = Hint.UNTRUSTED if is_tls else _hint_of_connecting(cause)
        return errors.with_hint(errors.Unavailable(f"{_no_connection(text)}{advice}"), hint)
    if isinstance(error, TimeoutError):
        return no_response(timeout)
    if isinstance(error, pyqwest.ReadError | pyqwest.WriteError | pyqwest.RemoteProtocolError):
        return errors.with_hint(errors.Unavailable(f"the connection was lost: {text}"), Hint.LOST)
    return errors.Internal(f"{type(error).__name__}: {text}")


def _hint_of_connecting(cause: str) -> Hint:
    """Return what is known of a connection that could not be made. A proxy's other refusals all have one text."""
    if _UNPROXIED in cause:
        return Hint.UNPROXIED
    return Hint.NO_SUCH_NAME if _NO_SUCH_NAME.search(cause) else Hint.NOT_SENT


def _no_connection(text: str) -> str:
    """Return pyqwest's text of a connection that could not be made, without what only its authors need to know."""
    begin = _NOT_CONNECTED.match(text)
    if begin is None:
        return f"no connection: {text}"
    return f"no connection to {begin[1]}: {_OS_ERROR.sub('', text[begin.end() :])}"


def is_early_end(error: BaseException) -> bool:
    """Return whether an exchange that failed was given up by us, which resets its stream over HTTP/2.

    Other failures are the server's: it has reset the stream, or the connection is lost.
    """
    lost = isinstance(error, pyqwest.StreamError | ConnectionError | pyqwest.ReadError | pyqwest.WriteError)
    return not (lost and is_of_engine(error))


def _reset(error: pyqwest.StreamError, text: str, timeout: float | None, seconds: float) -> errors.ApiError:
    """Return the error of a stream that the server reset; Connect's protocol names the codes."""
    if error.code == pyqwest.StreamErrorCode.CANCEL and has_timed_out(timeout, seconds):
        return no_response(timeout)
    kind = _CODES_OF_RESETS.get(error.code, errors.Internal)
    refused = error.code == pyqwest.StreamErrorCode.REFUSED_STREAM
    return errors.with_hint(kind(f"the server reset the stream: {text}"), Hint.REFUSED if refused else Hint.NONE)

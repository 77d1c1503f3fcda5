"""Settings of a client: the argument, else the environment, else the default. Only this file reads the environment."""

import os
import re
import stat
import sys
import warnings
from dataclasses import dataclass, fields
from functools import lru_cache
from io import FileIO
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from ._arguments import check_count, check_http_version
from ._hosts import GatewayHosts, ascii_host, authority, check_gateway_hosts, is_host, is_loopback, parts_of_url
from ._proxies import NO_PROXY_VARIABLES, PROXY_VARIABLES, Proxies, Proxy, parse_proxy
from ._secrets import Secret
from ._signals import from_signal_handler
from ._text import reason_of, redacted
from ._version import __version__
from .auth import HiddenSource, TokenSource, hidden
from .errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_ENDPOINT = "https://api.coreweave.com"
TOKEN_VARIABLES = ("COREWEAVE_API_TOKEN", "CW_API_TOKEN")
ENDPOINT_VARIABLES = ("COREWEAVE_API_ENDPOINT", "CW_BASE_URL")
WANDB_KEY_VARIABLES = ("WANDB_API_KEY",)
MAX_REPLY_BYTES = 64 * 1024 * 1024

TransportName: TypeAlias = Literal["grpc", "connect", "rest"]
Codec: TypeAlias = Literal["proto", "json"]
HttpVersion: TypeAlias = Literal[1, 2]

USER_AGENT = f"cwinference/{__version__} python/{'.'.join(map(str, sys.version_info[:3]))}"


@dataclass(frozen=True, repr=False)
class TLS:
    """How connections over https are secured, the same for every transport and for completions.

    Files are read when a client is made; a pipe can be read by one client only.

    Args:
        ca: certificate authorities to trust instead of the usual ones: a PEM file's path, or PEM bytes. None: those of
            SSL_CERT_FILE if it is set, else the usual ones.
        cert: client certificate for mutual TLS: a PEM file's path, or PEM bytes. Needs `key`.
        key: its private key: a PEM file's path, or PEM bytes.
    """

    ca: str | os.PathLike[str] | bytes | None = None
    cert: str | os.PathLike[str] | bytes | None = None
    key: str | os.PathLike[str] | bytes | None = None

    def __repr__(self) -> str:
        """Show paths only: what was given in place of a certificate may be a key."""
        shown = (f"{each.name}={_shown_path(getattr(self, each.name))}" for each in fields(self))
        return f"TLS({', '.join(shown)})"


def _shown_path(source: object) -> str:
    is_content = isinstance(source, bytes) or (isinstance(source, str) and "\n" in source)
    return "..." if is_content else repr(source)


class Certificates(NamedTuple):
    """The contents of the files that a `TLS` names."""

    ca: bytes | None = None
    cert: bytes | None = None
    key: bytes | None = None

    def __repr__(self) -> str:
        return "Certificates(...)"


class Endpoint(NamedTuple):
    """The URL of a server, in parts."""

    scheme: str
    host: str
    port: int
    path: str = ""
    """A prefix of every path, without a trailing slash."""

    @property
    def secure(self) -> bool:
        return self.scheme == "https"

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)

    @property
    def authority(self) -> str:
        return authority(self.host, self.port)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


class Settings(NamedTuple):
    """Everything that a transport needs to reach the API."""

    endpoint: Endpoint
    transport: TransportName = "grpc"
    codec: Codec = "proto"
    http_version: HttpVersion | None = None
    certificates: Certificates = Certificates()
    proxies: Proxies = Proxies()
    max_reply_bytes: int = MAX_REPLY_BYTES
    gateway_hosts: GatewayHosts = GatewayHosts()

    @property
    def proxy(self) -> Proxy | None:
        """The proxy that leads to the endpoint; None for a direct connection.

        Raises ConfigurationError if there is one that cannot be used: connecting directly instead might be forbidden.
        """
        endpoint = self.endpoint
        proxy = self.proxies.to(endpoint.scheme, endpoint.host, endpoint.port)
        if proxy is None:
            return None
        if self.transport == "grpc" and proxy.scheme != "http":
            problem = f"{proxy.source}: gRPC can use http:// proxies only, not {proxy.scheme}://"
            raise ConfigurationError(
                f"{problem}; transport='connect' and transport='rest' can use this one", for_command=problem
            )
        forwards = self.transport != "grpc" and not endpoint.secure and proxy.scheme in ("http", "https")
        if forwards and self.http_version == 2:
            raise ConfigurationError(
                f"http_version: the proxy ({proxy.source}) takes http:// requests in HTTP/1.1 only; omit http_version"
            )
        return proxy

    def for_rest(self) -> "Settings":
        """Return the settings for REST on the same endpoint, for calls that may travel only as JSON."""
        version = None if self.transport == "grpc" else self.http_version
        return self._replace(transport="rest", codec="json", http_version=version)


def resolve(
    *,
    endpoint: str | None,
    transport: str,
    codec: str,
    http_version: int | None,
    tls: TLS | None,
    proxy: str | None,
    max_reply_bytes: int,
    allow_plaintext: bool,
    gateway_hosts: "Iterable[str] | None" = None,
) -> Settings:
    """Check every argument and fill in what was omitted."""
    if transport not in ("grpc", "connect", "rest"):
        raise ConfigurationError(f"transport: expected 'grpc', 'connect' or 'rest', got {transport!r}")
    if codec not in ("proto", "json"):
        raise ConfigurationError(f"codec: expected 'proto' or 'json', got {codec!r}")
    if codec == "json" and transport == "grpc":
        raise ConfigurationError("codec: 'json' needs transport='connect'; gRPC speaks 'proto' only")
    version = check_http_version(http_version)
    if transport == "grpc" and http_version == 1:
        raise ConfigurationError("http_version: gRPC needs HTTP/2")
    _warn_of_tracing()
    found = resolve_endpoint(endpoint, allow_plaintext=allow_plaintext)
    settings = Settings(
        endpoint=found,
        transport=transport,  # type: ignore[arg-type]
        codec=codec,  # type: ignore[arg-type]
        http_version=version,
        certificates=read_certificates(tls),
        proxies=read_proxies(proxy),
        max_reply_bytes=check_count(max_reply_bytes, "max_reply_bytes"),
        gateway_hosts=GatewayHosts(check_gateway_hosts(gateway_hosts), found.host),
    )
    return with_usable_proxy(settings)


def with_usable_proxy(settings: Settings) -> Settings:
    """Return the settings. Raises ConfigurationError if the proxy that leads to their endpoint cannot be used."""
    _ = settings.proxy
    return settings


def resolve_token(token: TokenSource | None, *, otherwise: str = "pass token=...") -> HiddenSource:
    """Return the token from the argument, else the environment; raise a ConfigurationError if there is none."""
    if isinstance(token, str) and token.startswith(("http://", "https://")):
        raise ConfigurationError("token: this is a URL; pass the API's URL as endpoint=...")
    found = token if token is not None else _first_set(TOKEN_VARIABLES)
    if found is None:
        raise ConfigurationError(f"token: none was given; {otherwise} or set {' or '.join(TOKEN_VARIABLES)}")
    return hidden(found)


def origin_of_token(token: TokenSource | None) -> str:
    """Return where a token comes from that is a string: the argument, or the name of a variable."""
    if token is not None:
        return "the argument token="
    return next((name for name in TOKEN_VARIABLES if os.environ.get(name)), "nowhere")


def resolve_wandb_key(token: TokenSource | None) -> HiddenSource:
    """Return the credential of a gateway with W&B auth: the argument, else the environment; never a CoreWeave token."""
    found = token if token is not None else _first_set(WANDB_KEY_VARIABLES)
    if found is None:
        raise ConfigurationError(
            "token: this gateway needs a W&B key; pass token=... or set WANDB_API_KEY",
            for_command="this gateway needs a W&B key; set WANDB_API_KEY",
        )
    return hidden(found)


def secret_variable(name: str) -> str | None:
    """Return a variable that a stack names in place of a secret; None if it is not set, or empty."""
    return _first_set((name,))


def endpoint_variable() -> str | None:
    """Return the endpoint in the environment; None if there is none."""
    return _first_set(ENDPOINT_VARIABLES)


def resolve_endpoint(endpoint: str | None, *, allow_plaintext: bool = False) -> Endpoint:
    """Return the endpoint from the argument, else the environment, else the public one."""
    text = endpoint if endpoint is not None else endpoint_variable() or DEFAULT_ENDPOINT
    found = parse_endpoint(text, argument="endpoint", allow_plaintext=allow_plaintext)
    if "v1alpha1" in found.path.split("/"):
        raise ConfigurationError("endpoint: omit /v1alpha1, which the client adds itself")
    return found


def parse_endpoint(text: str, *, argument: str, allow_plaintext: bool = False) -> Endpoint:
    """Parse a URL, and refuse one to which a token must not be sent."""
    if not isinstance(text, str):
        raise ConfigurationError(f"{argument}: expected a URL as a string, got {type(text).__name__}")
    if set("@?#") & set(text):
        raise ConfigurationError(f"{argument}: a URL with user, password, query or fragment is not accepted")
    try:
        scheme, name, port, path = parts_of_url(text.strip())
        host = ascii_host(name)
    except ValueError:
        raise ConfigurationError(f"{argument}: not a URL: {redacted(text)!r}") from None
    if scheme not in ("http", "https") or not is_host(host):
        raise ConfigurationError(
            f"{argument}: expected https://<host> (http:// for loopback only), got {redacted(text)!r}"
        )
    default_port = 443 if scheme == "https" else 80
    found = Endpoint(scheme, host, port or default_port, path.rstrip("/"))
    if not found.secure and not found.loopback:
        if not allow_plaintext:
            problem = f"{argument}: http:// would send the token unencrypted to {found.host}; use https://"
            raise ConfigurationError(
                f"{problem}, or allow_plaintext=True on a network that you trust", for_command=problem
            )
        _warn(f"the token is sent unencrypted to {found.host}")
    return found


def read_certificates(tls: TLS | None) -> Certificates:
    """Read the PEM files. Raises ConfigurationError if one is missing or unreadable."""
    tls = TLS() if tls is None else tls
    if not isinstance(tls, TLS):
        raise ConfigurationError(f"tls: expected a TLS or None, got {type(tls).__name__}")
    if (tls.cert is None) != (tls.key is None):
        raise ConfigurationError("tls: cert and key must be given together")
    ca = tls.ca if tls.ca is not None else os.environ.get("SSL_CERT_FILE") or None
    return Certificates(
        ca=_pem(ca, "tls.ca", "CERTIFICATE"),
        cert=_pem(tls.cert, "tls.cert", "CERTIFICATE"),
        key=_pem(tls.key, "tls.key", "PRIVATE KEY"),
    )


def read_proxies(proxy: str | None) -> Proxies:
    """Return the proxy of the argument; without one, those that the environment names now."""
    if proxy is not None:
        return Proxies(given=parse_proxy(proxy, "proxy"))
    variables = {name: Secret(os.environ[name]) for name in PROXY_VARIABLES if os.environ.get(name, "").strip()}
    if "REQUEST_METHOD" in os.environ:  # in a CGI program, this one is the `Proxy` header of a request
        variables.pop("HTTP_PROXY", None)
    return Proxies(variables=variables, exempt=_first_set(NO_PROXY_VARIABLES) or "")


def set_default_variable(name: str, value: str) -> None:
    """Set a variable for libraries that read it, unless it is set."""
    os.environ.setdefault(name, value)


def ray_address() -> str | None:
    """Return where RAY_ADDRESS says that a cluster is."""
    return os.environ.get("RAY_ADDRESS") or None


def forces_color() -> bool:
    """Return whether colors are wanted although the output is no terminal."""
    return bool(os.environ.get("FORCE_COLOR"))


def _pem(source: str | os.PathLike[str] | bytes | None, argument: str, kind: str) -> bytes | None:
    if source is None or isinstance(source, bytes):
        data = source
    elif not isinstance(source, str | os.PathLike):
        raise ConfigurationError(f"{argument}: expected a path or PEM bytes, got {type(source).__name__}")
    elif "\n" in os.fspath(source):
        raise ConfigurationError(f"{argument}: expected a path or PEM bytes, got lines of text; encode() them")
    else:
        path = os.fspath(source)
        try:
            status = os.stat(path)  # noqa: PTH116 - pathlib takes 4 ms to load, and SSL_CERT_FILE is often set
            is_regular = stat.S_ISREG(status.st_mode)  # a pipe, for example, gives its content only once
            data = _kept(path, status.st_mtime_ns) if is_regular else _content(path)
        except (OSError, ValueError) as error:
            if from_signal_handler(error):  # a pipe may make this wait
                raise
            raise ConfigurationError(f"{argument}: {source}: {reason_of(error)}") from None
    if data is not None and f"{kind}-----".encode() not in data:
        raise ConfigurationError(f"{argument}: contains no {kind} in PEM format")
    return data


@lru_cache(8)
def _kept(path: str, changed: int) -> bytes:
    """Return a file's bytes, shared by all clients until it changes."""
    return _content(path)


def _content(path: str) -> bytes:
    with FileIO(path) as file:
        return file.readall()


def _first_set(variables: tuple[str, ...]) -> str | None:
    return next((value for name in variables if (value := os.environ.get(name))), None)


def _warn_of_tracing() -> None:
    if _is_traced("api", os.environ.get("GRPC_TRACE", "")):
        _warn("GRPC_TRACE with 'api', 'all' or a pattern such as '*' makes gRPC print the token; use 'http' instead")


def _is_traced(name: str, switches: str) -> bool:
    """Return whether GRPC_TRACE switches a tracer on: the last pattern that matches counts; `-` switches off.

    As in gRPC, white space belongs to a pattern, and only `*` and `?` have a meaning in it.
    """
    traced = False
    for switch in switches.split(","):
        pattern = re.escape(switch.removeprefix("-")).replace(r"\*", ".*").replace(r"\?", ".")
        if pattern == "all" or re.fullmatch(pattern, name):
            traced = not switch.startswith("-")
    return traced


def _warn(text: str) -> None:
    """Warn, naming the line that called the library."""
    frame, depth = sys._getframe(), 1  # pyright: ignore[reportPrivateUsage]
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("cwinference."):
        frame, depth = frame.f_back, depth + 1
    warnings.warn(text, stacklevel=depth)

"""What the way to the server says: the endpoint, its name, the proxy, and the certificates."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

from .. import errors
from .._calls.flow import Flow
from .._hosts import address_of
from .._proxies import Proxy
from .._text import one_line
from ..config import Settings
from ._network import Handshake, ProxyRefusal, connect, resolve, work_on_thread
from ._report import Finding

_SOON = timedelta(days=14)
_TLS_ADVICE = {
    10: "the certificate has expired: renew it on the server, and check this machine's clock",
    18: "trust its authority with tls=TLS(ca=...), or --ca",
    19: "trust its authority with tls=TLS(ca=...), or --ca",
    20: "trust its authority with tls=TLS(ca=...), or --ca",
    62: "the certificate is of another host: is this the right endpoint?",
    64: "the certificate is of another host: is this the right endpoint?",
}
"""What to do, by OpenSSL's codes of failed verifications."""
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST")
"""OpenSSL's reasons when the other side sends something else than TLS."""


def network_findings(settings: Settings, seconds: float) -> Flow[list[Finding]]:
    """Examine the way to the server, each step limited in time; return what was found."""
    found = [*_of_endpoint(settings)]
    try:
        proxy = settings.proxy
    except errors.ConfigurationError as error:
        return [*found, Finding("error", "network", str(error), "change the proxy, or the transport")]
    found.append(_of_route(proxy))
    host, port = (settings.endpoint.host, settings.endpoint.port) if proxy is None else (proxy.host, proxy.port)
    name = yield from _of_name(host, port, seconds)
    found += name
    if all(each.level != "error" for each in name):
        found += yield from _of_connection(settings, proxy, seconds)
    return found


def _of_endpoint(settings: Settings) -> Iterator[Finding]:
    endpoint = settings.endpoint
    if not endpoint.secure and not endpoint.loopback:
        text = f"the endpoint is {endpoint.url}: the token travels unencrypted"
        yield Finding("warning", "network", text, "use https://, unless you trust the whole network")
    else:
        yield Finding("ok", "network", f"the endpoint is {endpoint.url}", details={"endpoint": endpoint.url})


def _of_route(proxy: Proxy | None) -> Finding:
    if proxy is None:
        return Finding("ok", "network", "the route is direct, without a proxy", details={"proxy": None})
    source = "the argument proxy=" if proxy.source == "proxy" else f"the variable {proxy.source}"
    text = f"the route leads through the proxy {proxy.url}, named by {source}"
    if proxy.credentials is not None:
        text += ", with a password"
    return Finding("ok", "network", text, details={"proxy": proxy.url, "source": proxy.source})


def _of_name(host: str, port: int, seconds: float) -> Flow[list[Finding]]:
    if address_of(host) is not None:
        return []
    advice = "check the endpoint (or the proxy), the resolver, and whether a VPN is needed"
    try:
        addresses = yield work_on_thread(partial(resolve, host, port), seconds)
    except TimeoutError:
        return [Finding("error", "network", f"{host} was not resolved within {seconds:g} s", advice)]
    except (OSError, UnicodeError) as error:
        return [Finding("error", "network", f"{host} does not resolve: {_reason(error)}", advice)]
    shown = ", ".join(addresses[:3]) + (f" and {len(addresses) - 3} more" if len(addresses) > 3 else "")
    return [
        Finding("ok", "network", f"{host} resolves to {shown}", details={"host": host, "addresses": list(addresses)})
    ]


def _of_connection(settings: Settings, proxy: Proxy | None, seconds: float) -> Flow[list[Finding]]:
    if proxy is not None and proxy.scheme != "http":
        text = f"certificates are not examined through a {proxy.scheme}:// proxy; the transports below check them"
        return [Finding("note", "network", text)]
    target = settings.endpoint.authority if proxy is None else f"the proxy {proxy.authority}"
    try:
        handshake = yield work_on_thread(partial(connect, settings, seconds), seconds * 2)
    except ssl.SSLCertVerificationError as error:
        advice = _TLS_ADVICE.get(error.verify_code, "check the certificate of the server, and the authorities of tls=")
        return [
            Finding("error", "network", f"the certificate is not trusted: {one_line(error.verify_message)}", advice)
        ]
    except ssl.SSLError as error:
        if settings.certificates.cert is not None:
            text = "the server's certificate could not be examined without presenting the client's"
            return [Finding("note", "network", text, "see below whether the transports get through")]
        if error.reason in _NO_TLS:
            text = f"{target} does not speak TLS ({error.reason})"
            return [Finding("error", "network", text, "is the endpoint http://?")]
        advice = "does the server speak TLS at this port, and does it want a client certificate (tls=TLS(cert=, key=))?"
        return [Finding("error", "network", f"the TLS handshake fails: {error.reason or 'no reason given'}", advice)]
    except ProxyRefusal as error:
        advice = "check its user and password, and whether it allows this host"
        return [Finding("error", "network", f"the proxy opens no tunnel: {error}", advice)]
    except TimeoutError:
        advice = "a firewall may swallow it, or the server is overloaded"
        return [Finding("error", "network", f"no connection to {target} within {seconds:g} s", advice)]
    except (OSError, ValueError) as error:
        advice = "check host and port, and that the server runs"
        return [Finding("error", "network", f"no connection to {target}: {_reason(error)}", advice)]
    if handshake is None:
        return [Finding("ok", "network", f"{target} accepts connections")]
    return [_of_certificate(settings, handshake)]


def _of_certificate(settings: Settings, handshake: Handshake) -> Finding:
    left = handshake.expires - datetime.now(UTC)
    authorities = (
        "the usual authorities" if settings.certificates.ca is None else "the authorities of tls= or SSL_CERT_FILE"
    )
    chain = "" if handshake.chain is None else f", in a chain of {handshake.chain}"
    text = (
        f"{handshake.version} with a certificate of {handshake.subject} by {handshake.issuer}{chain}, trusted through "
        f"{authorities}, valid until {handshake.expires:%Y-%m-%d}; ALPN: {handshake.alpn or 'none'}"
    )
    details = {
        "subject": handshake.subject,
        "issuer": handshake.issuer,
        "expires": handshake.expires.isoformat(),
        "tls": handshake.version,
        "alpn": handshake.alpn or None,
        "chain": handshake.chain,
    }
    if left < _SOON:
        advice = f"it expires in {max(0, left.days)} days: renew it on the server"
        return Finding("warning", "network", text, advice, details)
    if handshake.alpn != "h2":
        return Finding(
            "warning", "network", text, "gRPC needs HTTP/2, which the server does not offer by ALPN", details
        )
    return Finding("ok", "network", text, details=details)


def _reason(error: Exception) -> str:
    return one_line(getattr(error, "strerror", None) or str(error) or type(error).__name__)

"""How gRPC is configured for the proxy that we chose.

Its own option `grpc.http_proxy` will not do: the variable no_proxy, which gRPC reads by itself, overrules it. So its
proxies are switched off, and a channel connects to the proxy as if that were the server. The options below make it ask
there for a tunnel first; they are those by which gRPC passes on its own choice of a proxy.
"""

from typing import Any

from ..config import Settings


def proxy_options(settings: Settings) -> list[tuple[str, Any]]:
    """Return the options of a channel that reaches the endpoint through the proxy, or directly."""
    options: list[tuple[str, Any]] = [
        ("grpc.enable_http_proxy", 0),
        # Another variable names a proxy for single addresses; for none of them, this says.
        ("grpc.address_http_proxy_enabled_addresses", ""),
    ]
    proxy = settings.proxy
    if proxy is not None:
        options.append(("grpc.http_connect_server", settings.endpoint.authority))
        options.append(("grpc.default_authority", settings.endpoint.authority))
        if proxy.authorization is not None:
            header = f"Proxy-Authorization:{proxy.authorization.reveal()}"
            options.append(("grpc.http_connect_headers", header))
    return options

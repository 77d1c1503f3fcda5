"""Where a completion goes: the URL and headers by the gateway's routing, and which token may travel there."""

from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import quote, urlsplit

from .. import types
from ..config import Endpoint, parse_endpoint
from ..errors import ConfigurationError
from ..status import State, name_of, state_text

Routing: TypeAlias = types.BodyBasedRouting | types.HeaderBasedRouting | types.PathBasedRouting

_HEADER_NAME = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass(frozen=True)
class Route:
    """One gateway's address and its way to tell models apart."""

    endpoint: Endpoint
    url: str
    """Where the paths of the API begin, without `/v1` and without a slash at its end."""
    header: str | None = None
    """Name of the header that carries the model; None: it is not routed by header."""
    by_path: bool = False
    """Whether the model is the first segment of the path."""

    def base_url(self, model: str | None) -> str:
        """The URL that OpenAI-compatible clients want: up to and with `/v1`."""
        if not self.by_path:
            return f"{self.url}/v1"
        if model is None:
            raise ConfigurationError("model: this gateway routes by path, so its URLs need model=...")
        if model in (".", ".."):
            raise ConfigurationError(f"model: {model!r} would lead to another path")
        return f"{self.url}/{quote(model, safe='')}/v1"

    def headers(self, model: str | None) -> tuple[tuple[str, str], ...]:
        """The headers that routing needs."""
        if self.header is None or model is None:
            return ()
        if not model.isascii() or not model.isprintable():
            raise ConfigurationError("model: this gateway routes by header, so its name must be printable ASCII")
        return ((self.header, model),)


def route_to(base_url: str, routing: Routing | None, *, argument: str = "base_url", plaintext: bool = False) -> Route:
    """The route to an address. Raises ConfigurationError when a token may not be sent there."""
    endpoint = parse_endpoint(base_url, argument=argument, allow_plaintext=plaintext)
    url = base_url.strip().rstrip("/").removesuffix("/v1").rstrip("/")
    if isinstance(routing, types.HeaderBasedRouting):
        if not is_header_name(routing.header_name):
            raise ConfigurationError(f"routing: {routing.header_name!r} is no name of a header")
        return Route(endpoint, url, header=routing.header_name)
    if routing is not None and not isinstance(routing, types.BodyBasedRouting | types.PathBasedRouting):
        raise ConfigurationError(f"routing: expected a message such as BodyBasedRouting, got {type(routing).__name__}")
    return Route(endpoint, url, by_path=isinstance(routing, types.PathBasedRouting))


def route_of(gateway: types.Gateway, endpoint: str | None, *, plaintext: bool = False) -> Route:
    """The route to a gateway, by its first endpoint or by one of its own that the caller names."""
    own = list(gateway.status.endpoints)
    if State.of(gateway) not in (State.READY, State.UPDATING) or not own:
        raise ConfigurationError(
            f"gateway: {name_of(gateway)} is {state_text(gateway)} and serves nothing yet; "
            "wait for it with client.gateways.wait(id)"
        )
    field = gateway.spec.WhichOneof("routing")
    routing: Routing | None = getattr(gateway.spec, field) if field else None
    chosen = _with_scheme(own[0] if endpoint is None else endpoint)
    route = route_to(chosen, routing, argument="endpoint", plaintext=plaintext)
    hosts = [*map(_host, own), *(name.lower() for name in gateway.spec.endpoint_configuration.additional_dns)]
    if route.endpoint.host not in hosts:
        raise ConfigurationError(f"endpoint: {route.endpoint.host} is not of this gateway; it has {', '.join(hosts)}")
    return route


def is_header_name(text: str) -> bool:
    """Whether HTTP allows it as the name of a header."""
    return bool(text) and set(text) <= _HEADER_NAME


def _host(url: str) -> str:
    return (urlsplit(_with_scheme(url)).hostname or "").lower()


def _with_scheme(url: str) -> str:
    return url if "//" in url else f"https://{url}"

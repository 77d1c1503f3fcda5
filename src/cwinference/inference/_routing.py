"""Where a completion goes: the URL and headers by the gateway's routing, and whether a token may be sent there."""

from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import quote, urlsplit

from .. import types
from .._hosts import normal_host
from ..config import Endpoint, parse_endpoint
from ..errors import ConfigurationError
from ..status import State, name_of, state_text

Routing: TypeAlias = types.BodyBasedRouting | types.HeaderBasedRouting | types.PathBasedRouting

_HEADER_NAME = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass(frozen=True)
class Route:
    """The address of a model server, and how a request names its model."""

    endpoint: Endpoint
    url: str
    """The URL of the API, without `/v1` and without a trailing slash."""
    header: str | None = None
    """The header that names the model; None if it is not routed by header."""
    by_path: bool = False
    """Whether the first segment of the path names the model."""
    base: str | None = field(init=False)
    """What `base_url` returns, if it is the same for all models."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", None if self.by_path else f"{self.url}/v1")

    def base_url(self, model: str | None) -> str:
        """Return the URL for OpenAI-compatible clients, up to and including `/v1`."""
        if self.base is not None:
            return self.base
        if model is None:
            raise ConfigurationError("model: this gateway routes by path, so its URLs need model=...")
        if model in (".", ".."):
            raise ConfigurationError(f"model: {model!r} would lead to another path")
        return f"{self.url}/{quote(model, safe='')}/v1"

    def headers(self, model: str | None) -> tuple[tuple[str, str], ...]:
        """Return the headers that routing needs."""
        if self.header is None or model is None:
            return ()
        if not model.isascii() or not model.isprintable():
            raise ConfigurationError("model: this gateway routes by header, so its name must be printable ASCII")
        return ((self.header, model),)


def route_to(
    base_url: str, routing: Routing | None, *, argument: str = "base_url", allow_plaintext: bool = False
) -> Route:
    """Return the route to an address. Raises ConfigurationError if a token must not be sent there."""
    endpoint = parse_endpoint(base_url, argument=argument, allow_plaintext=allow_plaintext)
    url = base_url.strip().rstrip("/").removesuffix("/v1").rstrip("/")
    if isinstance(routing, types.HeaderBasedRouting):
        if not is_header_name(routing.header_name):
            raise ConfigurationError(f"routing: {routing.header_name!r} is not a valid header name")
        return Route(endpoint, url, header=routing.header_name)
    if routing is not None and not isinstance(routing, types.BodyBasedRouting | types.PathBasedRouting):
        raise ConfigurationError(f"routing: expected a message such as BodyBasedRouting, got {type(routing).__name__}")
    return Route(endpoint, url, by_path=isinstance(routing, types.PathBasedRouting))


def route_of(gateway: types.Gateway, endpoint: str | None, *, allow_plaintext: bool = False) -> Route:
    """Return the route to a gateway: by its first endpoint, or by another one of its own.

    A host that is not the gateway's own is refused, since it would get the token.
    """
    own = list(gateway.status.endpoints)
    if State.of(gateway) not in (State.READY, State.UPDATING) or not own:
        raise ConfigurationError(
            f"gateway: {name_of(gateway)} is {state_text(gateway)} and does not serve yet; "
            "wait for it with client.gateways.wait(id)"
        )
    field = gateway.spec.WhichOneof("routing")
    routing: Routing | None = getattr(gateway.spec, field) if field else None
    chosen = _with_scheme(own[0] if endpoint is None else endpoint)
    route = route_to(chosen, routing, argument="endpoint", allow_plaintext=allow_plaintext)
    hosts = [*map(_host, own), *map(normal_host, gateway.spec.endpoint_configuration.additional_dns)]
    if normal_host(route.endpoint.host) not in hosts:
        raise ConfigurationError(
            f"endpoint {route.endpoint.host} does not belong to this gateway (it has {', '.join(hosts)})"
        )
    return route


def is_header_name(text: str) -> bool:
    """Return whether HTTP allows it as the name of a header."""
    return bool(text) and set(text) <= _HEADER_NAME


def _host(url: str) -> str:
    return normal_host(urlsplit(_with_scheme(url)).hostname or "")


def _with_scheme(url: str) -> str:
    return url if "//" in url else f"https://{url}"

"""`Emulator`: settings in, a running server out. Here the parts meet: state, rules, tokens, protocols, server."""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from .. import errors
from .._wire.methods import METHODS
from .api.emulated_api import EmulatedApi
from .api.journal import Journal
from .behavior import Behavior, Fate
from .clock import Clock
from .config import Config, load
from .faults.faults import Faults
from .faults.middleware import FaultLayer
from .gateway.app import Completions
from .gateway.models import engine
from .interfaces import Caller
from .protocols.app import Front
from .protocols.service import Service
from .rules.checker import RuleSet, check
from .tokens import ADMIN_TOKEN, ORGANIZATION, TOKEN_FORM, VIEWER_TOKEN, Tokens, is_token

if TYPE_CHECKING:
    from .server import Server


class Emulator:
    """The whole API on one port, on a thread of its own, for as long as a `with` block lasts.

    One port speaks gRPC, gRPC-Web, Connect and REST, and the gateways' OpenAI-compatible routes.

    Args:
        host: address to listen on.
        port: port to listen on; 0: any free one.
        ready_after: seconds from a create to READY. With 0 the reply still tells CREATING, and the next look READY.
        token: the token with the role Inference Admin.
        viewer_token: the token with the role Inference Viewer.
        tls_cert: certificate in PEM, to serve https; needs `tls_key`.
        tls_key: its private key in PEM.
        public_url: what the gateways' endpoints begin with; None: this emulator's own address.
        model: what answers completions: "demo", a path to a GGUF file, or the URL of an OpenAI-compatible server;
            None: a built-in generator of text, which says that it is one.
        state: file that keeps all resources over a restart; None: they are gone with the emulator.
        config: TOML file with tokens, parameters, behaviour, fates and faults; arguments win over it.
        rules: which validation rules hold: "published", or "current" with what is known to have changed since.
        behaviour: all other settings of how resources live; what config and arguments say wins over it.
        clock: what time it is; a `Clock(running=False)` stands still until the test moves it.

    Raises:
        ConfigurationError: a setting is wrong, a file cannot be used, or the port is taken; or hypercorn is missing,
            which comes with `pip install cwinference[emulator]`. Raised when the block is entered.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        ready_after: float | None = None,
        token: str | None = None,
        viewer_token: str | None = None,
        tls_cert: str | os.PathLike[str] | None = None,
        tls_key: str | os.PathLike[str] | None = None,
        public_url: str | None = None,
        model: str | None = None,
        state: str | os.PathLike[str] | None = None,
        config: str | os.PathLike[str] | None = None,
        rules: RuleSet | None = None,
        behaviour: Behavior | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.token = _check_token(token, "token", ADMIN_TOKEN)
        """Token with the role Inference Admin."""
        self.viewer_token = _check_token(viewer_token, "viewer_token", VIEWER_TOKEN)
        """Token with the role Inference Viewer, of the same organization."""
        if self.token == self.viewer_token:
            raise errors.ConfigurationError("viewer_token: is the same as token; give another")
        self.clock = clock or Clock()
        """The emulator's time; `clock.advance(seconds)` lets it pass."""
        self.faults = Faults()
        """What goes wrong on purpose: `faults.add("error", method="CreateGateway", nth=1)`."""
        self._address = host, port
        self._tls = tls_cert, tls_key
        self._public_url = _check_url(public_url)
        self._engine = engine(model)
        self._state = state
        self._config = Config() if config is None else load(config)
        self._callers = {**self._config.tokens, **self._own_callers()}
        for number, table in enumerate(self._config.faults, 1):
            self.faults.add_table(table, f"config: faults[{number}]")
        self.fates: dict[str, Fate] = dict(self._config.fates)
        """Bad ends in store, by id or name of a resource, or by identity of a hot-load: `fates["front"] = Fate()`."""
        self._behaviour = _behaviour(behaviour, self._config, ready_after=ready_after, rules=rules)
        self._parts = ExitStack()
        self._api: EmulatedApi | None = None
        self._server: Server | None = None

    def __repr__(self) -> str:
        return f"Emulator({self.endpoint if self._server else 'not running'})"

    @property
    def endpoint(self) -> str:
        """Where it listens, as a client takes it: `http://127.0.0.1:<port>`."""
        if self._server is None:
            raise RuntimeError("the emulator is not running: use it in a `with` block")
        scheme = "http" if self._tls[0] is None else "https"
        return f"{scheme}://{_reachable(self._server.host)}:{self._server.port}"

    def start(self) -> None:
        """Begin to serve, as entering a `with` block does; with a model, once that is loaded."""
        if self._server is not None:
            raise RuntimeError("the emulator is running already")
        with ExitStack() as parts:
            parts.callback(self._forget)
            self._api = self._open_api(parts)
            self._engine.start()
            parts.callback(self._engine.close)
            self._server = self._open_server(parts, self._api)
            self._api.public_url = self._public_url or self.endpoint
            self._server.start()
            self._parts = parts.pop_all()

    def close(self) -> None:
        """Stop serving, as leaving the block does. A second time it does nothing."""
        self._parts.close()

    def _own_callers(self) -> Mapping[str, Caller]:
        """Of the two tokens that every emulator has. Raises ConfigurationError when the file gives one to others."""
        admin, viewer = Caller(ORGANIZATION), Caller(ORGANIZATION, admin=False)
        own = {"token": (self.token, admin), "viewer_token": (self.viewer_token, viewer)}
        for argument, (token, caller) in own.items():
            if self._config.tokens.get(token, caller) != caller:
                raise errors.ConfigurationError(f"{argument}: config gives this token to somebody else; give another")
        return dict(own.values())

    def _forget(self) -> None:
        self._server = self._api = None

    def _open_api(self, parts: ExitStack) -> EmulatedApi:
        api = EmulatedApi(
            behaviour=self._behaviour,
            clock=self.clock,
            check=partial(check, rules=self._behaviour.rules),
            parameters=self._config.parameters,
            fates=self.fates,
            journal=None if self._state is None else Journal(self._state),
        )
        parts.callback(api.close)
        return api

    def _open_server(self, parts: ExitStack, api: EmulatedApi) -> "Server":
        tokens = Tokens(self._callers)
        completions = Completions(api, lambda deployment: self._engine, tokens.caller)
        front = Front(Service(api, tokens), METHODS.values(), completions)
        app = FaultLayer(front, self.faults, front.method_of)
        host, port = self._address
        server: Server = _server_module().Server(app, host=host, port=port, tls=self._certificate())
        parts.callback(server.stop)
        return server

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _certificate(self) -> Any:
        cert, key = self._tls
        if (cert is None) != (key is None):
            raise errors.ConfigurationError("tls_cert, tls_key: they go together")
        return None if cert is None or key is None else _server_module().Certificate(cert, key)


def _server_module() -> Any:
    """The module that needs hypercorn."""
    try:
        from . import server
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("h11", "h2", "hypercorn"):
            raise
        raise errors.ConfigurationError("the emulator needs hypercorn: pip install 'cwinference[emulator]'") from None
    return server


def _behaviour(given: Behavior | None, config: Config, **arguments: Any) -> Behavior:
    settings = {name: value for name, value in arguments.items() if value is not None}
    return replace(given or Behavior(), **{**config.behaviour, **settings})


def _check_token(token: str | None, argument: str, default: str) -> str:
    if token is None:
        return default
    if not is_token(token):
        raise errors.ConfigurationError(f"{argument}: {TOKEN_FORM}")
    return token


def _check_url(url: str | None) -> str | None:
    if url is not None and not _is_base(url):
        raise errors.ConfigurationError(f"public_url: expected http://<host>[:<port>] or https://..., got {url!r}")
    return url


def _is_base(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    is_plain = url.isascii() and url.isprintable() and not {" ", "?", "#", "@"} & {*url}
    return is_plain and parts.scheme in ("http", "https") and parts.hostname is not None


def _reachable(host: str) -> str:
    """An address for clients of this machine: that of a server which listens on all addresses is none."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    return f"[{host}]" if ":" in host else host

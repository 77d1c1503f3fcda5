"""`Emulator`: checks the settings, puts the parts together (state, rules, tokens, protocols, server), and runs them."""

import os
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from .. import errors
from .._calls.signatures import checks_keywords
from .._extras import missing
from .._hosts import is_loopback
from .._wire.methods import METHODS
from ..stacks import Stack
from .admin.app import AdminRoutes
from .admin.controls import Controls
from .admin.request_log import RequestLog
from .api.emulated_api import EmulatedApi
from .api.journal import Journal
from .behavior import Behavior, DriftKind, Fate, Fates
from .clock import EmulatorClock
from .config import Config, load
from .faults.faults import Faults
from .faults.middleware import FaultMiddleware
from .gateway.app import CompletionsApp
from .gateway.models import ModelFunction, TextModel, create_model
from .gateway.models.pace import Pace
from .interfaces import Api, Caller
from .page.app import Page, page_url
from .protocols.app import ProtocolRouter
from .protocols.asgi import App
from .protocols.drift import Drift
from .protocols.origins import OwnOriginsOnly, check_origins, own_hosts
from .protocols.service import Service
from .recording.api import RecordedApi, ReplayedApi
from .recording.model import RecordedModel, ReplayedModel
from .recording.tape import Recorder, Tape
from .rules.checker import RuleSet, check
from .seeding import apply_stack
from .tokens import ADMIN_TOKEN, EXPECTED_TOKEN, ORGANIZATION, VIEWER_TOKEN, Tokens, is_token

if TYPE_CHECKING:
    from .server import Server

_PACKAGES_OF_THE_EXTRA = ("h11", "h2", "hypercorn", "hyperframe")


class Emulator:
    """A server that emulates the whole CoreWeave Inference API on one port, on a thread of its own.

    It speaks gRPC, gRPC-Web, Connect and REST, and serves the OpenAI-compatible routes of the gateways created in it.
    It runs while a `with` block lasts, or from `start` to `close`:

        with Emulator() as emulator:
            client = Client(emulator.token, endpoint=emulator.endpoint)

    It needs the extra `emulator`: `pip install '.[emulator]'` in a checkout.
    """

    @checks_keywords("Emulator")
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
        model: str | ModelFunction | None = None,
        first_token: float = 0.0,
        tokens_per_second: float | None = None,
        jitter: float = 0.0,
        state: str | os.PathLike[str] | None = None,
        config: str | os.PathLike[str] | None = None,
        rules: RuleSet | None = None,
        drift: bool | Collection[DriftKind] | None = None,
        behavior: Behavior | None = None,
        clock: EmulatorClock | None = None,
        admin: bool | None = None,
        cors_origins: Collection[str] = (),
        seed: Stack | str | os.PathLike[str] | None = None,
        record: str | os.PathLike[str] | None = None,
        replay: str | os.PathLike[str] | None = None,
    ) -> None:
        """Configure an emulator. It starts to listen in `start`, or when its `with` block is entered.

        Args:
            host: name or address to listen on ("127.0.0.1").
            port: port to listen on. 0: any free one (0).
            ready_after: seconds from the creation of a resource until it is READY. With 0 the response to the create
                still says CREATING, and the next poll returns READY. None: that of `config` or `behavior`, or else 0.
            token: the token with the role Inference Admin. None: "CW-SECRET-emulator-admin".
            viewer_token: the token with the role Inference Viewer. None: "CW-SECRET-emulator-viewer".
            tls_cert: path of a certificate (chain) in PEM, to serve https; needs `tls_key`. None: serve plain http.
            tls_key: path of its private key in PEM, without a passphrase.
            public_url: URL at which clients reach the emulator, such as "https://models.example.com"; the endpoints of
                gateways begin with it. Requests for other hosts than this one, the address it listens on and those of
                the loopback interface are refused, so that no web page can drive it. None: the address it listens on.
            model: what generates completions: "demo", a small real model that runs in llama.cpp; the path of a GGUF
                file that runs in llama.cpp; the URL of an OpenAI-compatible server; or a function that makes them. The
                function gets the body of a request, as a mapping, and returns the text, a list of its pieces, or a
                mapping with any of `content`, `tool_calls` (a list of mappings with `name` and `arguments`) and
                `finish_reason`. It may be async; what it raises becomes an error response with status 500. None: a
                built-in text generator, which says in its text that it is not a model.
            first_token: seconds until the first token of a completion (0.0).
            tokens_per_second: how many tokens of a completion follow in a second. None: all at once.
            jitter: by which part of it, from 0 to 1, each pause is longer or shorter at most (0.0); by chance, and the
                same for requests with the same `seed`. These three are for the built-in text generator and functions.
            state: path of a file that keeps all resources across restarts; it is created if it does not exist. None:
                they are lost when the emulator stops.
            config: path of a TOML file with tokens, parameters, behavior, fates and faults. None: no file.
            rules: which validation rules apply to requests: "published", those of the published API definitions, or
                "current", with the changes known to have been made since. None: those of `config` or `behavior`, or
                else "published".
            drift: how responses differ from those that this release knows, as a newer service's might: any of
                "new_fields", "moved_numbers" and "new_enum_values", or True for all of them. `doctor.examine` finds
                them. None: as `config` or `behavior` say, or else not at all.
            behavior: all other settings of how resources behave. The `[behavior]` of `config` overrides its fields,
                and `ready_after`, `rules` and `drift` override both. None: the defaults of `Behavior`.
            clock: the time that resources live by. `EmulatorClock(running=False)` stands still until the test advances
                it. None: a clock that follows real time.
            admin: whether the admin routes below `/_emulator/` are there, with which any program that has `token` can
                reset the emulator, read and replace its state, set faults and fates, and see the last requests. None:
                if it can only be reached from this machine, as far as `host` and `public_url` show. `health` and
                `ready` are always there, and need no token. The same goes for the page at `/`, which shows and changes
                by these routes what there is, in a browser.
            cors_origins: origins whose web pages may use the emulator, such as "https://app.example.com"; "*" allows
                all of them. Browsers then let them call the API, the gateways and the admin routes. Empty: no pages
                of other origins.
            seed: a `Stack`, or the path of a file with one, as `cwinference apply` takes it: what there is when the
                emulator is ready, and again after `POST /_emulator/reset` with `keep_seed`. It is READY at once, unless
                a fate says otherwise, and has the same ids each time, so that the URLs of gateways stay the same. If
                `state` has it already, only what differs is changed. None: nothing.
            record: path of a file to which all calls of the API and all completions are appended, as lines of JSON with
                request and response; secrets are masked. None: no file.
            replay: path of such a file: requests that are in it get the responses in it, by whatever protocol they
                come, and completions by whatever gateway; creates match also with another id. Several responses to one
                request come in their order. All other requests are served as usual, and recorded if `record` is given,
                which may be the same file. None: no file.

        Raises:
            ConfigurationError: a setting or something in the `config` file is wrong. `start` raises it too: when the
                port is taken, when the state file, the certificate or the model cannot be used, or when a package of
                the extra `emulator` is missing.
        """
        self._token = _check_token(token, "token", ADMIN_TOKEN)
        self._viewer_token = _check_token(viewer_token, "viewer_token", VIEWER_TOKEN)
        if self._token == self._viewer_token:
            raise errors.ConfigurationError("viewer_token: is the same as token; use two different ones")
        self._clock = clock or EmulatorClock()
        self._faults = Faults()
        self._address = host, port
        self._tls = tls_cert, tls_key
        self._public_url = _check_url(public_url)
        self._model = create_model(model, Pace(first_token, tokens_per_second, jitter))
        self._seed = seed if seed is None or isinstance(seed, Stack) else Stack.load(seed)
        self._recording = record, replay
        self._cors_origins = check_origins(cors_origins)
        self._admin = _is_local(host, public_url) if admin is None else admin
        self._state = state
        self._config = Config() if config is None else load(config)
        self._callers = {**self._config.tokens, **self._default_callers()}
        for number, table in enumerate(self._config.faults, 1):
            self._faults.add_table(table, f"config: faults[{number}]")
        self._fates = Fates(self._config.fates)
        self._behavior = _merge_behavior(behavior, self._config, ready_after=ready_after, rules=rules, drift=drift)
        self._running_parts = ExitStack()
        self._api: EmulatedApi | None = None
        self._server: Server | None = None
        self._controls: Controls | None = None

    def __repr__(self) -> str:
        return f"Emulator({self.endpoint if self._server else 'not running'})"

    @property
    def endpoint(self) -> str:
        """The URL at which it listens, in the form that a client takes: `http://127.0.0.1:<port>`.

        Raises:
            RuntimeError: the emulator is not running.
        """
        if self._server is None:
            raise RuntimeError("the emulator is not running: use it in a `with` block")
        scheme = "http" if self._tls[0] is None else "https"
        return f"{scheme}://{_reachable_host(self._server.host)}:{self._server.port}"

    @property
    def page_url(self) -> str | None:
        """The URL at which a browser shows its page, with the token in the fragment; None if `admin` says no.

        Raises:
            RuntimeError: the emulator is not running.
        """
        endpoint = self.endpoint
        return page_url(self._public_url or endpoint, self._token) if self._admin else None

    @property
    def token(self) -> str:
        """The token with the role Inference Admin, which may call every method."""
        return self._token

    @property
    def viewer_token(self) -> str:
        """The token with the role Inference Viewer, which may only read. It belongs to the same organization."""
        return self._viewer_token

    @property
    def faults(self) -> Faults:
        """The faults to inject, which may change while it runs: `faults.add("error", method="CreateGateway", nth=1)`.

        See `help(Faults)` for the kinds of faults and how to select the calls that they affect.
        """
        return self._faults

    @property
    def fates(self) -> dict[str, Fate]:
        """The failures planned for resources, which may change while it runs: `fates["my-gateway"] = Fate()`.

        Keys are the id or the name of a resource, or the identity of a hot-load. A fate takes effect when a create or
        an update of the resource would otherwise complete; remove it from the dict to let the next one succeed. With
        `strikes_after` it takes effect later, when the resource has been READY for that many seconds.
        """
        return self._fates

    @property
    def clock(self) -> EmulatorClock:
        """The time that resources live by. `clock.advance(seconds)` moves it forward at once."""
        return self._clock

    def start(self) -> None:
        """Start serving, as entering a `with` block does. Returns when it accepts connections and a model is loaded.

        Raises:
            ConfigurationError: a setting turned out to be unusable, or a package of the extra `emulator` is missing.
            RuntimeError: the emulator is already running.
        """
        if self._server is not None:
            raise RuntimeError("the emulator is already running")
        with ExitStack() as parts:
            parts.callback(self._forget_parts)
            self._api = self._open_api(parts)
            api, model = self._with_recording(parts, self._api)
            model.start()
            parts.callback(model.close)
            app, controls = self._assemble(self._api, api, model)
            self._server = self._open_server(parts, app)
            self._api.public_url = self._public_url or self.endpoint
            if self._seed is not None:
                apply_stack(self._seed, self._api, Tokens(self._callers), self._token)
                self._api.settle()
            self._server.start()
            controls.become_ready()
            self._controls = controls
            self._running_parts = parts.pop_all()

    def close(self) -> None:
        """Stop serving, as leaving the `with` block does. Closing it again does nothing."""
        self._running_parts.close()

    def reset(self, *, keep_seed: bool = False) -> None:
        """Empty the emulator: resources, faults, fates and the log of requests.

        Args:
            keep_seed: return to the state that it started with instead, with its `seed`, and with the faults and fates
                of that time (False).

        Raises:
            RuntimeError: the emulator is not running.
        """
        if self._controls is None:
            raise RuntimeError("the emulator is not running: use it in a `with` block")
        self._controls.reset(keep_seed=keep_seed)

    def _default_callers(self) -> Mapping[str, Caller]:
        """Return the callers of `token` and `viewer_token`.

        Raises ConfigurationError if the config file assigns one of the two to somebody else.
        """
        admin, viewer = Caller(ORGANIZATION), Caller(ORGANIZATION, admin=False)
        own = {"token": (self._token, admin), "viewer_token": (self._viewer_token, viewer)}
        for argument, (token, caller) in own.items():
            if self._config.tokens.get(token, caller) != caller:
                raise errors.ConfigurationError(
                    f"{argument}: config assigns this token to another organization or role; use a different one"
                )
        return dict(own.values())

    def _forget_parts(self) -> None:
        self._server = self._api = self._controls = None

    def _open_api(self, parts: ExitStack) -> EmulatedApi:
        api = EmulatedApi(
            behavior=self._behavior,
            clock=self._clock,
            check=partial(check, rules=self._behavior.rules),
            parameters=self._config.parameters,
            fates=self._fates,
            journal=None if self._state is None else Journal(self._state),
        )
        parts.callback(api.close)
        return api

    def _with_recording(self, parts: ExitStack, api: Api) -> tuple[Api, TextModel]:
        """Return the API and the model, with what records and replays them around it."""
        model, (record, replay) = self._model, self._recording
        tape = None if replay is None else Tape.read(replay)
        if record is not None:
            recorder = Recorder(record)
            parts.callback(recorder.close)
            api, model = RecordedApi(api, recorder), RecordedModel(model, recorder)
        return (api, model) if tape is None else (ReplayedApi(api, tape), ReplayedModel(model, tape))

    def _assemble(self, state: EmulatedApi, api: Api, model: TextModel) -> tuple[App, Controls]:
        """Return the application, from the inside outward, and what its admin routes do."""
        tokens = Tokens(self._callers)
        completions = CompletionsApp(state, lambda deployment: model, tokens.caller)
        service = Service(api, tokens, Drift(self._behavior.drift_kinds))
        router = ProtocolRouter(service, METHODS.values(), completions)
        log = RequestLog(FaultMiddleware(router, self._faults, router.method_of))
        controls = Controls(state, self._faults, self._fates, log, router.method_of)
        admin = AdminRoutes(log, controls, tokens.caller, Caller(ORGANIZATION), is_open=self._admin)
        hosts = own_hosts(self._address[0], self._public_url)
        page = Page(admin, is_open=self._admin)
        return OwnOriginsOnly(page, hosts, self._cors_origins), controls

    def _open_server(self, parts: ExitStack, app: App) -> "Server":
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
            raise errors.ConfigurationError("tls_cert, tls_key: expected both or neither of them")
        return None if cert is None or key is None else _server_module().Certificate(cert, key)


def _server_module() -> ModuleType:
    """Import the one module that needs the packages of the extra, only now that an emulator is started."""
    try:
        from . import server
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _PACKAGES_OF_THE_EXTRA:
            raise
        raise errors.ConfigurationError(missing("the emulator", package, "emulator")) from None
    return server


def _merge_behavior(given: Behavior | None, config: Config, **arguments: Any) -> Behavior:
    settings = {name: value for name, value in arguments.items() if value is not None}
    return replace(given or Behavior(), **{**config.behavior, **settings})


def _check_token(token: str | None, argument: str, default: str) -> str:
    if token is None:
        return default
    if not is_token(token):
        raise errors.ConfigurationError(f"{argument}: expected {EXPECTED_TOKEN}")
    return token


def _check_url(url: str | None) -> str | None:
    if url is not None and not _is_base_url(url):
        raise errors.ConfigurationError(f"public_url: expected http://<host>[:<port>] or https://..., got {url!r}")
    return url


def _is_local(host: str, public_url: str | None) -> bool:
    """Return whether only this machine can reach the emulator, as far as its settings show."""
    public = None if public_url is None else urlsplit(public_url).hostname or ""
    return is_loopback(host) and (public is None or is_loopback(public))


def _is_base_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    is_plain = url.isascii() and url.isprintable() and not {" ", "?", "#", "@"} & {*url}
    return is_plain and parts.scheme in ("http", "https") and parts.hostname is not None


def _reachable_host(host: str) -> str:
    """Return a host that clients on this machine can connect to: wildcard addresses are only good for listening."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    return f"[{host}]" if ":" in host else host

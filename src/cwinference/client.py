"""`Client` and `AsyncClient`: settings in, resources out."""

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar

from . import resources, types
from ._arguments import UNSET, check_timeout
from ._calls.attempts import Context, OnCall
from ._calls.clock import Clock
from ._calls.closing import AsyncClosing, Closing
from ._calls.drivers import AsyncDriver, SyncDriver
from ._calls.observation import observer_of
from ._calls.operation import Mode, group, operation
from ._calls.session import ClientSession
from ._calls.signatures import checks_keywords
from ._gevent import check_gevent
from .auth import TokenCredentials, TokenSource
from .config import (
    MAX_REPLY_BYTES,
    TLS,
    Codec,
    HttpVersion,
    Settings,
    TransportName,
    origin_of_token,
    resolve,
    resolve_token,
)
from .errors import ApiError, ConfigurationError, ProtocolError
from .following._declarations import cache, watch
from .following._kinds import KINDS, Kind, check_kinds
from .retry import Budget, Retry, check_retry
from .transports.factory import open_async, open_sync

if TYPE_CHECKING:
    from ._calls.flow import Flow
    from ._telemetry.telemetry import Telemetry
    from .following._cache_core import CacheCore
    from .following._following import Following, ResourceSource
    from .inference import AsyncInference, Inference, Limit
    from .resources import CapacityClaims, Deployments, Gateways, HotLoads
    from .rollout import Gate, Rollout
    from .stacks import Plan, PlanStep, Stack

InferenceT = TypeVar("InferenceT", "Inference", "AsyncInference")


class BaseClient(Generic[Mode, InferenceT]):
    """What both clients have in common: settings, and the resources that share them."""

    gateways: "Gateways[Mode]" = group(lambda: resources.Gateways)
    """Gateways: the public entry points to deployed models."""
    deployments: "Deployments[Mode]" = group(lambda: resources.Deployments)
    """Deployments: models that run on GPUs behind one or more gateways."""
    capacity_claims: "CapacityClaims[Mode]" = group(lambda: resources.CapacityClaims)
    """Capacity claims: GPU instances reserved for the organization's deployments."""
    hot_loads: "HotLoads[Mode]" = group(lambda: resources.HotLoads)
    """Hot-loads: new weights loaded into the running replicas of a deployment."""

    @checks_keywords("Client")
    def __init__(
        self,
        token: TokenSource | None = None,
        *,
        endpoint: str | None = None,
        transport: TransportName = "grpc",
        codec: Codec = "proto",
        http_version: HttpVersion | None = None,
        timeout: float | None = 30.0,
        retry: Retry | None = Retry(),  # noqa: B008 - frozen
        tls: TLS | None = None,
        proxy: str | None = None,
        max_reply_bytes: int = MAX_REPLY_BYTES,
        allow_plaintext: bool = False,
        gateway_hosts: Iterable[str] | None = None,
        on_call: OnCall | None = None,
        telemetry: "Telemetry | None" = None,
        clock: Clock | None = None,
    ) -> None:
        """Create a client. Nothing connects before the first call.

        Close it, or use it in a `with` block (`async with` for `AsyncClient`), to release its connections.

        Args:
            token: the token; a callable that returns it, called again when the server says UNAUTHENTICATED (for
                `AsyncClient` it may be async); or `auth.from_file(path)`, `auth.from_command([...])`. None:
                COREWEAVE_API_TOKEN, else CW_API_TOKEN.
            endpoint: URL of the API. None: COREWEAVE_API_ENDPOINT, else CW_BASE_URL, else https://api.coreweave.com.
            transport: "grpc", "connect" or "rest".
            codec: "proto" or "json", for Connect.
            http_version: 1 or 2 forces it. None: by ALPN over https; over http, 2 for Connect and 1 for REST.
            timeout: seconds for a whole call: queueing, token, all attempts and pauses (30). None for no limit.
            retry: how failures are retried, as a `Retry`; None turns retries off.
            tls: certificate authorities and client certificate, as a `TLS`. None: the usual authorities.
            proxy: URL of a proxy, which wins over the environment's, NO_PROXY included; never used for loopback. gRPC
                can use http:// only, the others https:// and socks5:// too. None: what HTTPS_PROXY, HTTP_PROXY,
                ALL_PROXY and NO_PROXY say now.
            max_reply_bytes: size of the largest response accepted, in bytes (64 MiB); a larger one raises
                ProtocolError.
            allow_plaintext: allow http:// beyond loopback, which sends the token unencrypted.
            gateway_hosts: the hosts to which a gateway's own response may direct completions, and so the token, such as
                `["*.example.com"]` for all names below example.com; others raise ConfigurationError. None: all hosts,
                but no loopback or private addresses unless the API's own endpoint is one.
            on_call: called after each call as `on_call(method, code, attempts, seconds)`, for metrics; code is "ok",
                an error's code, "protocol_error", "canceled", or "error" for anything else (a token source failed).
            telemetry: what reports calls to OpenTelemetry, as a `Telemetry`, for `client.inference(...)` too. None:
                nothing does, unless the program was started by `opentelemetry-instrument`.
            clock: time and randomness, for tests.

        Raises:
            ConfigurationError: a setting is missing or wrong.
        """
        check_gevent()
        settings = resolve(
            endpoint=endpoint,
            transport=transport,
            codec=codec,
            http_version=http_version,
            tls=tls,
            proxy=proxy,
            max_reply_bytes=max_reply_bytes,
            allow_plaintext=allow_plaintext,
            gateway_hosts=gateway_hosts,
        )
        self._owns_session = True
        self._session = self._new_session(settings)
        self._driver: Mode = self._new_driver(
            Context(
                timeout=check_timeout(timeout),
                retry=check_retry(retry),
                credentials=TokenCredentials(resolve_token(token), origin_of_token(token)),
                budget=Budget(),
                clock=clock or Clock(),
                on_call=on_call,
                session=self._session,
                observer=observer_of(telemetry),
            )
        )

    @checks_keywords("client.with_options")
    def with_options(self, *, timeout: float | None = UNSET, retry: Retry | None = UNSET) -> Self:
        """Return a copy with another default timeout or retry, on the same connections. Closing it does nothing.

        Args:
            timeout: seconds for a whole call; None for no limit. By default this client's.
            retry: how failures are retried; None for not at all. By default this client's.

        Raises:
            ConfigurationError: an option is wrong.
        """
        context = self._driver.context
        copy = object.__new__(type(self))
        copy._owns_session = False
        copy._session = self._session
        copy._driver = copy._new_driver(
            context.replace(
                timeout=context.timeout if timeout is UNSET else check_timeout(timeout),
                retry=context.retry if retry is UNSET else check_retry(retry),
            )
        )
        return copy

    @watch
    def watch(
        self,
        *,
        kinds: Collection[Kind] = KINDS,
        interval: tuple[float, float] = (1.0, 30.0),
        relist: float = 300.0,
        on_error: Callable[[ApiError | ProtocolError], object] | None = None,
    ) -> "Following[types.Gateway | types.Deployment | types.CapacityClaim]":
        """Return an endless iterator over what changes in gateways, deployments and capacity claims.

        It works as `client.deployments.watch` does, with one "synced" for each kind.

        Args:
            kinds: which kinds to watch: "gateway", "deployment", "capacity_claim" (all three).
            interval: seconds between two polls: the shortest, while anything is CREATING, UPDATING or DELETING, and the
                longest, to which it backs off when nothing moves (1, 30). Each kind has a pace of its own.
            relist: seconds between two lists of everything, which find removals that nothing else shows (300).
            on_error: called with each transient failure, after the client's own retries have given up.

        Raises:
            ConfigurationError: an argument is wrong, or the client is closed.
            ApiError, ProtocolError: at a step, a failure that will not pass, such as PermissionDenied.
        """
        from .following._following import following

        return following(self._sources(kinds), self._driver.context, interval, relist, on_error)

    @cache
    def cache(
        self,
        *,
        kinds: Collection[Kind] = KINDS,
        interval: tuple[float, float] = (1.0, 30.0),
        relist: float = 300.0,
        on_error: Callable[[ApiError | ProtocolError], object] | None = None,
    ) -> "CacheCore":
        """Return a cache: views of gateways, deployments and claims that are kept up to date, for many readers.

        Use it in a `with` block (`async with` on `AsyncClient`). For as long as that lasts, one thread (one task) polls
        as `watch` does. `cache.deployments`, `cache.gateways` and `cache.capacity_claims` are read-only mappings by id
        that never change: ask for them again to see what is new.

        Args:
            kinds: which kinds to keep: "gateway", "deployment", "capacity_claim" (all three).
            interval: seconds between two polls: the shortest, while anything is CREATING, UPDATING or DELETING, and the
                longest, to which it backs off when nothing moves (1, 30). Each kind has a pace of its own.
            relist: seconds between two lists of everything, which find removals that nothing else shows (300).
            on_error: called with each transient failure, after the client's own retries have given up. Polling goes on
                after others too; `cache.error` is the last one.

        Raises:
            ConfigurationError: an argument is wrong, or the client is closed.
        """
        from .following._cache_core import CacheCore
        from .following._following import following

        return CacheCore(following(self._sources(kinds), self._driver.context, interval, relist, on_error))

    @operation
    def plan(
        self,
        stack: "Stack",
        prune: str | None = None,
        *,
        secrets: bool = False,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> "Flow[Plan]":
        """Compare a stack with what exists, and return what would have to be done. It only reads.

        Only what the stack says is compared, as by `ensure`. Claims come first, then gateways, then deployments: those
        that get less traffic last, when others are there to take it. Deletions come at the end.

        Args:
            stack: what should be, from `Stack.load` or `Stack.parse`.
            prune: a prefix, such as "team-a-": gateways, deployments and claims whose names begin with it are deleted
                if the stack does not have them. None: nothing is deleted.
            secrets: write secrets that no read returns, although nothing shows whether they have changed.
            timeout: seconds for all reads together, including retries; None for no limit. By default the client's for
                each.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: an argument is wrong; or the stack names a gateway that neither it nor the API has, or
                lacks what is required to create something.
        """
        from .stacks._operations import plan

        return plan(self._groups, stack, prune, secrets, timeout, retry)

    @operation
    def apply(
        self,
        plan: "Plan",
        wait: bool = True,
        on_step: "Callable[[PlanStep], object] | None" = None,
        *,
        on_change: "Callable[[types.Gateway | types.Deployment | types.CapacityClaim], object] | None" = None,
        allow_replace: bool = False,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> "Flow[Sequence[PlanStep]]":
        """Do what a plan says, and return its steps, with the ids of what was created.

        First it reads again all that the plan depends on, and does nothing if any of that has changed, apart from its
        status. Each write is preceded by a read of what it is based on. If a step fails, the error says what was done
        and what was not (`steps_done`, `steps_left`): plan again, and apply that.

        Args:
            plan: from `client.plan` or `Plan.from_json`.
            wait: return when all that the stack describes is READY, and what was deleted is gone; gateways wait for
                claims, and deployments for gateways. With False it returns when everything is written, and waits only
                where a step needs it: until a deployment is READY to which others of its model leave their traffic,
                until the deployments of a gateway are gone that is to be deleted, and until an old resource is gone
                whose name is to be used again.
            on_step: a plain function that is called with each step when it is written.
            on_change: called with each resource that is awaited, when it is first read and whenever it has changed.
            allow_replace: do "replace" steps too: the deployment is deleted, and created anew when it is gone.
            timeout: seconds for everything together, including waits; None for no limit. By default the client's for
                each call, and those of `wait` and `wait_deleted` for each wait.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: the plan has a step that is refused, or a "replace" step without `allow_replace`; or a
                secret is missing. Nothing was changed.
            PlanOutdated: something has changed since the plan was made. Nothing was changed.
            FailedPrecondition: a deployment to be changed or deleted has a hot-load in progress; nothing was changed,
                unless it has begun meanwhile. Or the service refuses a step.
            Conflict: somebody else has changed a resource while the plan was being applied.
            ResourceFailed, WaitTimeout: as `wait` raises them.
        """
        from .stacks._operations import apply

        return apply(self._groups, plan, wait, on_step, on_change, allow_replace, timeout, retry)

    @operation
    def export(
        self,
        names: Iterable[str] | None = None,
        *,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> "Flow[Stack]":
        """Return what exists as a stack, without secrets, and without what is being deleted.

        Args:
            names: only the gateways, deployments and claims of these names. None: all.
            timeout: seconds for all reads together, including retries; None for no limit. By default the client's for
                each.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: `names` is no list of names.
            NotFound: nothing has one of the names.
        """
        from .stacks._operations import export

        return export(self._groups, names, timeout, retry)

    def _sources(self, kinds: Collection[Kind]) -> "list[ResourceSource[Any]]":
        return [self._groups[kind]._source() for kind in check_kinds(kinds)]

    @property
    def _groups(self) -> dict[Kind, Any]:
        return {"gateway": self.gateways, "deployment": self.deployments, "capacity_claim": self.capacity_claims}

    @checks_keywords("client.inference")
    def inference(
        self,
        gateway: types.Gateway | str | Sequence[types.Gateway | str],
        *,
        token: TokenSource | None = None,
        endpoint: str | None = None,
        timeout: float | None = 600.0,
        retry: Retry | None = UNSET,
        limit: "Limit" = 1000,
        hedge_after: float | None = None,
        weights: bool = False,
        http_version: HttpVersion | None = UNSET,
        allow_plaintext: bool = False,
    ) -> InferenceT:
        """Return an `Inference` (`AsyncInference` for `AsyncClient`), which requests completions of a gateway's models.

        It uses this client's settings and connections. This does no I/O.

        Args:
            gateway: its message, or its id, which is read at the first request. Or a list of gateways with the same
                models: each request goes to the less loaded of two picked at random, and is retried at another one; see
                `Inference`. Each gets the credential that its own auth requires.
            token: a credential for completions. None: this client's token for CoreWeave auth; WANDB_API_KEY for
                Weights & Biases auth.
            endpoint: another one of the gateway's own endpoints. None: its first.
            timeout: seconds for a whole completion: queueing, token, all attempts and pauses, reading (600). None for
                no limit.
            retry: how failures before the response are retried; None for not at all. By default this client's.
            limit: how many requests are in flight at most (1,000); further ones wait in a queue, in order. "auto": as
                many as the gateway is found to take.
            hedge_after: with several gateways, seconds after which a request without a response is sent to a second one
                too, for at most 5 % of the requests. None: never.
            weights: say in `completion.weights` and `stream.weights` which snapshot the model had before and after the
                request. While requests are made, the hot-loads of the gateway's deployments are read every 2 s for it,
                on a thread or in a task of its own, which no request waits for.
            http_version: 1 or 2 forces it, on connections of its own. By default this client's.
            allow_plaintext: allow an http:// endpoint beyond loopback, which sends the token unencrypted.

        Raises:
            ConfigurationError: an argument is wrong, or the gateway's message has no endpoint that may get the token.
        """
        return self._inference_class()._of_gateway(  # pyright: ignore[reportPrivateUsage]
            self._session,
            self._driver.context,
            gateway,
            token=token,
            endpoint=endpoint,
            timeout=timeout,
            retry=retry,
            limit=limit,
            hedge_after=hedge_after,
            weights=weights,
            http_version=http_version,
            allow_plaintext=allow_plaintext,
        )

    @checks_keywords("client.rollout")
    def rollout(
        self,
        new: str,
        *,
        replaces: str,
        journal: "str | os.PathLike[str]",
        steps: Sequence[float] = (1, 5, 25, 100),
        soak: float = 60.0,
        gate: "Gate | None" = None,
        patience: float = 600.0,
    ) -> "Rollout[Mode]":
        """Return a rollout, which moves a model's traffic to another deployment step by step. This sends nothing.

        `rollout.run()` does it, `rollout.revert()` goes back. Both deployments have to serve the same model on the same
        gateway, and to be READY when it begins. A step sets their weights so that the new one gets at most its share of
        what both have together, and at least weight 1, and waits until the API shows that. If other deployments serve
        the model too, the sum of the two stays as it is, and a step that whole weights with this sum cannot show is
        skipped; otherwise the sum may change until the last step, which restores it. A change of one of the two by
        somebody else stops the rollout with `Conflict`.

        Args:
            new: name or id of the deployment that is to get the traffic.
            replaces: name or id of the deployment that has it.
            journal: path of a file that does not exist yet. It records what is needed to go on or to revert.
                It contains no secrets. Keep it for as long as you may want to revert.
            steps: the shares of the new one in percent, ascending (1, 5, 25, 100); the last one is 100.
            soak: seconds to let pass after each step before the gate is asked (60).
            gate: a function of a `Step` that returns "pass", "fail", which reverts, or "wait", which lets another soak
                pass; see `cwinference.gates`. On `AsyncClient` it may be async. None: `gates.ready()`.
            patience: seconds for which a gate may say "wait" in one step (600), then the rollout is paused; and for
                which a deployment may be in ERROR before it counts as failed.

        Raises:
            ConfigurationError: an argument is wrong, or the journal exists already.
        """
        from .rollout._rollout import planned

        return planned(
            self._driver,
            new,
            replaces=replaces,
            steps=steps,
            soak=soak,
            gate=gate,
            journal=journal,
            patience=patience,
        )

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"{name}({self._session})" if hasattr(self, "_session") else f"<{name}, not made>"

    def __getstate__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} cannot be pickled or copied, since it has connections; "
            "make one in each worker process"
        )

    def _new_session(self, settings: Settings) -> ClientSession[Any]:
        raise NotImplementedError

    def _new_driver(self, context: Context) -> Mode:
        raise NotImplementedError

    def _inference_class(self) -> type[InferenceT]:
        raise NotImplementedError


class Client(Closing, BaseClient[SyncDriver, "Inference"]):
    """Synchronous client of the CoreWeave Inference API; safe to share between threads.

    `client.gateways`, `client.deployments`, `client.capacity_claims` and `client.hot_loads` manage the API's resources;
    `client.inference(gateway)` requests completions. `help(Client.gateways)` and so on say what they do.
    """

    def close(self) -> None:
        """Release all connections. No more calls can be made. A call in flight completes, or over gRPC fails."""
        if self._owns_session:
            for transport in self._session.take_all():
                transport.close()

    def _new_session(self, settings: Settings) -> ClientSession[Any]:
        return ClientSession(settings, open_sync)

    def _new_driver(self, context: Context) -> SyncDriver:
        if context.credentials.may_be_async:
            raise ConfigurationError("token: an async callable needs AsyncClient")
        return SyncDriver(context)

    def _inference_class(self) -> "type[Inference]":
        from .inference import Inference

        return Inference


class AsyncClient(AsyncClosing, BaseClient[AsyncDriver, "AsyncInference"]):
    """Asyncio client of the CoreWeave Inference API; may be shared between event loops.

    `client.gateways`, `client.deployments`, `client.capacity_claims` and `client.hot_loads` manage the API's resources;
    `client.inference(gateway)` requests completions. `help(AsyncClient.gateways)` and so on say what they do.
    """

    async def close(self) -> None:
        """Release all connections. No more calls can be made. A call in flight completes, or over gRPC fails."""
        if self._owns_session:
            for transport in self._session.take_all():
                await transport.close()

    def _new_session(self, settings: Settings) -> ClientSession[Any]:
        return ClientSession(settings, open_async)

    def _new_driver(self, context: Context) -> AsyncDriver:
        return AsyncDriver(context)

    def _inference_class(self) -> "type[AsyncInference]":
        from .inference import AsyncInference

        return AsyncInference

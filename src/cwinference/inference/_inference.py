"""`Inference` and `AsyncInference`: completions of a gateway, or of any server of the same kind."""

import os
from typing import TYPE_CHECKING, Any, cast

from .._calls.closing import AsyncClosing, Closing
from .._calls.drivers import AsyncDriver, SyncDriver
from .._calls.session import Session
from ..errors import ConfigurationError
from ..transports.completions import AsyncCompletionTransport, SyncCompletionTransport
from ._base import SETTINGS, BaseInference
from ._model_server import Front
from ._openai import openai_client
from ._session import AsyncInferenceSession, Connections, SyncInferenceSession
from .batch.runner import CONCURRENCY, Batch, BatchResult, Requests, run_on_loop, run_on_threads

if TYPE_CHECKING:
    import openai


class Inference(Closing, BaseInference[SyncDriver]):
    """Completions of deployed models, blocking; may be used by many threads at once."""

    _open_engine = SyncCompletionTransport

    def _driver_of(self, front: Front, connections: Connections[Any], management: Session[Any] | None) -> SyncDriver:
        if front.context.credentials.may_be_async:
            raise ConfigurationError("token: an async callable needs AsyncInference")
        session = SyncInferenceSession(connections, front.gate, front.counters, management)
        return SyncDriver(cast(Any, session), front.context)

    def openai(self, model: str | None = None, **options: Any) -> "openai.OpenAI":
        """The openai package's client for this gateway, with its URL, token and headers; needs the extra `openai`.

        `model` is needed where the path or a header names it. `options` go to `openai.OpenAI` and win over ours.
        """
        return cast("openai.OpenAI", openai_client(self._front, model, options, awaits=False))

    def batch(
        self,
        requests: Requests,
        *,
        out: str | os.PathLike[str],
        concurrency: int = CONCURRENCY,
        ordered: bool = False,
        progress: bool | None = None,
        keep_going: bool = False,
    ) -> BatchResult:
        """Ask for many completions and write each answer once into a JSONL file, going on where an earlier run stopped.

        Args:
            requests: a JSONL file, or an iterable: bodies, or OpenAI's batch form with `custom_id`, `url` and `body`.
                `custom_id`, otherwise the number of the line, is the key by which an answer is known.
            out: the file of answers, which is appended to. Failures go to `OUT.errors.jsonl`; the next run tries them
                again.
            concurrency: how many requests are in flight (64), at most the `limit` of this `Inference`.
            ordered: write the answers of this run in the order of the requests.
            progress: show a progress bar (needs the extra `batch`); None: on a terminal.
            keep_going: go on however many requests fail. Otherwise the run ends, and its result says `gave_up`, when
                100 of them, or twice `concurrency` if that is more, have failed with no answer in between.

        Returns:
            The counts of this run. `failed` is 0 when everything is answered.

        Raises:
            ConfigurationError: a file cannot be used, or the gateway's answer rules every request out.
            Unauthenticated, PermissionDenied: every request would meet it; what was answered before is in the file.
            ApiError: the gateway could not be read.
        """
        batch = Batch(
            requests,
            out,
            concurrency=concurrency,
            limit=self._front.gate.limit,
            ordered=ordered,
            progress=progress,
            keep_going=keep_going,
        )
        return run_on_threads(batch, self._driver.bind(self._front.verbatim))

    def close(self) -> None:
        """Release its connections; those of a client's are the client's to close. Requests in flight end."""
        if self._owner:
            for engine in self._connections.take_all():
                engine.close()


class AsyncInference(AsyncClosing, BaseInference[AsyncDriver]):
    """Completions of deployed models, for asyncio; may be used from several event loops."""

    _open_engine = AsyncCompletionTransport

    def _driver_of(self, front: Front, connections: Connections[Any], management: Session[Any] | None) -> AsyncDriver:
        session = AsyncInferenceSession(connections, front.gate, front.counters, management)
        return AsyncDriver(cast(Any, session), front.context)

    def openai(self, model: str | None = None, **options: Any) -> "openai.AsyncOpenAI":
        """The openai package's client for this gateway, with its URL, token and headers; needs the extra `openai`.

        `model` is needed where the path or a header names it. `options` go to `openai.AsyncOpenAI` and win over ours.
        """
        return cast("openai.AsyncOpenAI", openai_client(self._front, model, options, awaits=True))

    async def batch(
        self,
        requests: Requests,
        *,
        out: str | os.PathLike[str],
        concurrency: int = CONCURRENCY,
        ordered: bool = False,
        progress: bool | None = None,
        keep_going: bool = False,
    ) -> BatchResult:
        batch = Batch(
            requests,
            out,
            concurrency=concurrency,
            limit=self._front.gate.limit,
            ordered=ordered,
            progress=progress,
            keep_going=keep_going,
        )
        return await run_on_loop(batch, self._driver.bind(self._front.verbatim))

    async def close(self) -> None:
        """Release its connections; those of a client's are the client's to close. Requests in flight end."""
        if self._owner:
            for engine in self._connections.take_all():
                await engine.close()


for _kind in (Inference, AsyncInference):
    _kind.__doc__ = f"{_kind.__doc__}\n{SETTINGS}"
AsyncInference.batch.__doc__ = Inference.batch.__doc__

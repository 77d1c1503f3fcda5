"""The callables for `Dataset.map_batches`: rows of requests become rows of completions."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from .._arguments import check_count
from ..auth import TokenSource
from ..config import TLS, TransportName
from ..errors import ConfigurationError, InferenceError, ProtocolError
from ..inference._model_server import CheckedBody
from ..inference._request import CompletionRequest
from ..inference.batch.lines import completion_line, failure_line, kept_body
from ..inference.batch.requests import completion_of, completion_request, fields_of
from ..retry import Retry
from . import _usage as usage
from ._limit import SharedLimit
from ._prepared import fields_of_row, request_in
from ._ray import ray_module
from ._sharing import Done
from ._target import Target
from ._worker import Outcome, Worker


class Completions:
    """Requests completions for the rows of a dataset: give it to `Dataset.map_batches` of Ray Data.

    Each row is a request: the members of a body as columns (`model`, `messages`, ...), or OpenAI's batch format with
    `body` (an object, or its JSON) and `url`. The result has three columns: `custom_id` as it was (null if there was
    none), `response` and `error`. The last two are JSON, and one of them is null. `response` is
    `{"status_code": 200, "body": {...}}`, and `error` is `{"code": ..., "message": ...}`. A failed request becomes a
    row with an error, and never ends the pipeline.

    Each worker creates its own client, and has several batches in flight.
    """

    def __init__(
        self,
        *,
        gateway: str | Sequence[str] | None = None,
        base_url: str | Sequence[str] | None = None,
        token: TokenSource | None = None,
        concurrency: int | SharedLimit = 64,
        timeout: float | None = 600.0,
        retry: Retry | None = Retry(),  # noqa: B008 - frozen
        endpoint: str | None = None,
        transport: TransportName | None = None,
        tls: TLS | None = None,
        allow_plaintext: bool = False,
    ) -> None:
        """Create one in a worker; Ray does that, with `fn_constructor_kwargs`.

        Args:
            gateway: name or id of a gateway, which each worker reads, or several. Or give `base_url`.
            base_url: URL of an OpenAI-compatible server, or several of servers with the same models.
            token: a token source that can be pickled, as returned by `auth.from_file` and `auth.from_command`; the
                workers call it. A string is refused, because Ray would log it. None: for a gateway, the token in the
                environment of the workers, as for `AsyncClient`; for a URL, no token is sent.
            concurrency: how many requests are in flight in this worker at most (64); or a `SharedLimit` for all
                workers together, which can also find out how many the server takes.
            timeout: seconds for a whole request (600), all attempts included. None for no limit.
            retry: how failures before the response are retried; None turns retries off.
            endpoint: URL of the API from which the gateway is read. None: as for `AsyncClient`.
            transport: how the gateway is read: "rest" (default), "grpc" or "connect".
            tls: certificate authorities and client certificate, as paths.
            allow_plaintext: allow http:// beyond loopback, which sends the token unencrypted.

        Raises:
            ConfigurationError: an argument is wrong; or later, for a whole batch, the gateway cannot be used.
        """
        if str(concurrency) == "auto":
            raise ConfigurationError('concurrency: "auto" is for all workers together; give SharedLimit("auto")')
        if not isinstance(concurrency, SharedLimit):
            check_count(concurrency, "concurrency")
        target = Target(gateway, base_url, token, timeout, retry, endpoint, transport, tls, allow_plaintext)
        self._worker = Worker(target, concurrency)

    async def __call__(self, batch: Any) -> Any:
        """Return the completions of a batch, which may be of any of Ray's formats, as a table of pyarrow."""
        rows = [fields_of_row(row) for row in _rows_of(batch)]
        keys = [row.pop("custom_id", None) for row in rows]
        requests = [_request_or_error(row) for row in rows]
        asked = [each for each in requests if isinstance(each, CompletionRequest)]
        outcomes = iter(await self._worker.ask(asked))
        found = [each if isinstance(each, InferenceError) else next(outcomes) for each in requests]
        pairs = [_response_and_error(each) for each in found]
        columns = {
            "custom_id": [None if key is None else str(key) for key in keys],
            "response": [response for response, _ in pairs],
            "error": [error for _, error in pairs],
        }
        return _table(columns, dict.fromkeys(columns, "string"))


class CompletedLines:
    """Does the same for `batch`: prepared requests become lines of its files. Requests that were not sent have none."""

    def __init__(self, target: Target, concurrency: SharedLimit) -> None:
        self._worker = Worker(target, concurrency, may_end_run=True)

    async def __call__(self, batch: Any) -> Any:
        """Return the lines, and of each whether it is a completion, and its tokens."""
        rows = _rows_of(batch)
        good = [row for row in rows if not row["problem"]]
        outcomes = iter(await self._worker.ask([request_in(row["request"]) for row in good]))
        found = [ConfigurationError(row["problem"]) if row["problem"] else next(outcomes) for row in rows]
        lines = [_line(row, outcome) for row, outcome in zip(rows, found, strict=True) if outcome is not None]
        columns = dict(zip(_KINDS, zip(*lines, strict=True), strict=False)) if lines else dict.fromkeys(_KINDS, ())
        table = _table(columns, _KINDS)
        self._worker.note(Done(failed=len(rows) - len(good), tokens=usage.sum_of(table)))
        return table


_KINDS = {"line": "large_binary", "is_completed": "bool_", **dict.fromkeys(usage.COLUMNS, "int64")}


def _line(row: Mapping[str, Any], outcome: CheckedBody | InferenceError) -> tuple[Any, ...]:
    """Return the columns of a row, in the order of `_KINDS`."""
    if isinstance(outcome, CheckedBody):
        try:
            line = completion_line(row["custom_id"], outcome.content, row["digest"])
            return line, True, *usage.counts_of(outcome.usage)
        except ProtocolError as error:
            outcome = error
    return failure_line(row["custom_id"], row["line"], outcome), False, *usage.NONE


def _request_or_error(fields: dict[str, Any]) -> CompletionRequest | InferenceError:
    try:
        return completion_request(*completion_of(fields_of(fields)))
    except ConfigurationError as error:
        return error


def _response_and_error(outcome: Outcome) -> tuple[str | None, str | None]:
    """Return the columns `response` and `error` of a row. They are what the members of a line are."""
    if isinstance(outcome, CheckedBody):
        try:
            return f'{{"status_code":200,"body":{kept_body(outcome.content).decode()}}}', None
        except ProtocolError as error:
            outcome = error
    failure = json.loads(failure_line("", 0, outcome or InferenceError("not sent, because the run ended")))
    response = failure["response"]
    return None if response is None else json.dumps(response), json.dumps(failure["error"])


def _rows_of(batch: Any) -> list[dict[str, Any]]:
    """Return the rows of a batch: a table of pyarrow, a frame of pandas, or a dictionary of arrays."""
    if hasattr(batch, "to_pylist"):
        return cast(list[dict[str, Any]], batch.to_pylist())
    if hasattr(batch, "to_dict"):
        return cast(list[dict[str, Any]], batch.to_dict("records"))
    return [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]


def _table(columns: Mapping[str, Sequence[Any]], kinds: Mapping[str, str]) -> Any:
    arrow = ray_module("pyarrow")
    return arrow.table({name: arrow.array(values, getattr(arrow, kinds[name])()) for name, values in columns.items()})

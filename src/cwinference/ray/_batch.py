"""`batch`: many completions on a cluster, from files into a folder, each once, whoever dies in between.

A run has two parts. The first one finds out what is to be sent: it joins the requests with the completions that there
are, and keeps the rest in files. The second one reads those, requests completions, and writes. It has no joins, so Ray
repeats whatever part of it is lost with a worker or a node. What is lost with the first part has cost nothing.
"""

import logging
import os
from collections.abc import Sequence
from typing import NamedTuple
from uuid import uuid4

from .._arguments import check_count, check_flag
from .._text import one_line
from ..auth import TokenSource
from ..config import TLS, TransportName
from ..errors import InferenceError
from ..inference._auto_limiter import Limit, check_limit
from ..inference.batch.outcomes import BatchResult
from ..inference.batch.terms import Terms, check_terms
from ..retry import Retry
from ._completions import CompletedLines
from ._head_watch import HeadWatch
from ._limit import SharedLimit
from ._progress import ProgressThread
from ._ray import check_installed, connect, quiet_data, ray_module, spread, without_deprecations
from ._replaced import finish_replacing, remove_replaced
from ._sharing import GAVE_UP
from ._sink import Written, new_sink
from ._source import Requests, read_kept, read_requests
from ._store import Store
from ._target import Target
from ._todo import Finder, Todo
from ._usage import minus, plus, usage_of

log = logging.getLogger("cwinference.batch")

_ROUNDS = 5
"""How often a run is begun again, after Ray has failed to repeat what was lost."""
_FILES = 4000
"""About how many files a batch consists of at most, while that leaves enough rows for each."""
_AUTO_SHARE = 256
"""What a worker is expected to have in flight with "auto", for the size of files: at most 12 times as many."""
_CALLS = 3
"""How many blocks a worker has in progress: when one of them is nearly done, the next keeps its slots busy."""


def batch(
    requests: Requests,
    out_dir: str | os.PathLike[str],
    *,
    gateway: str | Sequence[str] | None = None,
    base_url: str | Sequence[str] | None = None,
    concurrency: Limit = 64,
    workers: int | None = None,
    token: TokenSource | None = None,
    timeout: float | None = 600.0,
    retry: Retry | None = Retry(),  # noqa: B008 - frozen
    endpoint: str | None = None,
    transport: TransportName | None = None,
    tls: TLS | None = None,
    allow_plaintext: bool = False,
    address: str | None = None,
    keep_going: bool = False,
    force: bool = False,
    shard: tuple[int, int] | None = None,
    progress: bool | None = None,
) -> BatchResult:
    """Request many completions on a cluster and write each once into a folder, continuing where an earlier run stopped.

    Files `completed-*.jsonl` in the folder contain lines like those of `Inference.batch`. Failures are in
    `failed-*.jsonl`, and are sent again by the next run. Files are always complete, so they can be read during a run:
    `ray.data.read_json(out_dir)` has the columns `custom_id`, `response` and `error`. Nodes, workers and the driver may
    die: whatever is not in the folder by then is requested again, by Ray or by the next run.

    Args:
        requests: JSONL or Parquet: a file, a folder, a pattern such as `in/*.jsonl`, or a list of these; or a Ray
            dataset. Each row is a request with a `custom_id`: a body, or OpenAI's batch format. A row that is not a
            valid request becomes a failure.
        out_dir: the folder, on a disk that all nodes share, or a URL that pyarrow supports, such as `s3://bucket/path`.
            It must be empty, or contain only what such a batch has written.
        gateway: name or id of a gateway, which each worker reads, or several. Or give `base_url`.
        base_url: URL of an OpenAI-compatible server, or several of servers with the same models.
        concurrency: how many requests are in flight at most, in all workers together (64). When the server responds
            with 429 or 503, all of them pause for as long as it asks, and continue with half as many for a while.
            "auto" finds out how many the server takes.
        workers: how many actors of Ray send requests. None: one for each node.
        token: a token source that can be pickled, as returned by `auth.from_file` and `auth.from_command`; the
            workers call it. A string is refused, because Ray would log it. None: for a gateway, the token in the
            environment of the workers, as for `AsyncClient`; for a URL, no token is sent.
        timeout: seconds for a whole request (600), all attempts included. None for no limit.
        retry: how failures before the response are retried; None turns retries off.
        endpoint: URL of the API from which the gateway is read. None: as for `AsyncClient`.
        transport: how the gateway is read: "rest" (default), "grpc" or "connect".
        tls: certificate authorities and client certificate, as paths.
        allow_plaintext: allow http:// beyond loopback, which sends the token unencrypted.
        address: address of a cluster, unless this process is already connected to one. None: RAY_ADDRESS, or a cluster
            on this machine; if there is none, one is started for this process.
        keep_going: continue however many requests fail. Otherwise the run ends, and its result has `gave_up`, when 100
            of them, or twice as many as are in flight, have failed without a success in between.
        force: continue with another server or shard than before, and send requests again that have changed since they
            were completed. Their new completions replace the earlier ones at the end of the run.
        shard: (k, n): send only the k-th of n parts of the requests, by their `custom_id`s. Each part needs an
            `out_dir` of its own; together, the files of all of them are those of the whole.
        progress: show on standard error how far it is, once it is known what there is to send: a bar if tqdm is
            installed (the extra `batch`), or else a line every ten seconds. None: if standard error is a terminal.

    Returns:
        The counts and the tokens of this run, and the tokens of all completions in the folder. `failed` is 0 if
        everything is completed.

    Raises:
        ConfigurationError: an argument is wrong, the extra `ray` is not installed, the folder cannot be used, or it has
            completions of other requests, servers or shards.
        Unauthenticated: the token was refused, even if only once; what was completed is in the folder.
        ApiError: the gateway could not be read.
        OSError: the folder could not be written.
    """
    target = Target(gateway, base_url, token, timeout, retry, endpoint, transport, tls, allow_plaintext)
    check_limit(concurrency, "concurrency")
    terms = check_terms(target.servers, shard, force=force, retry_failed=False)
    if workers is not None:
        check_count(workers, "workers")
    check_installed()
    store = Store(out_dir)
    shown = None if progress is None else check_flag(progress, "progress")
    options = _RunOptions(concurrency, workers, check_flag(keep_going, "keep_going"), shown, terms)
    is_own = connect(address)
    try:
        lock = store.open()
        try:
            with quiet_data(), HeadWatch():
                return _ClusterBatch(requests, store, target, options).run()
        finally:
            if lock is not None:
                lock.close()
    finally:
        if is_own:
            ray_module().shutdown()


class _RunOptions(NamedTuple):
    """How much is sent at once, when it is enough, and whether progress is shown."""

    concurrency: Limit
    workers: int | None
    keeps_going: bool
    shows_progress: bool | None
    terms: Terms


class _OutcomesLost(InferenceError):
    """Ray says that all is done, and some requests have no outcome."""


class _ClusterBatch:
    """The runs of one call of `batch`: one, unless Ray cannot repeat what was lost."""

    def __init__(self, requests: Requests, store: Store, target: Target, options: _RunOptions) -> None:
        self._requests = requests
        self._store = store
        self._target = target
        self._options = options
        self._nodes = _nodes()
        self._workers = options.workers or self._nodes
        self._first: Todo | None = None
        """What there was to do before the first round."""

    def run(self) -> BatchResult:
        """Run until everything has an outcome. Raises the error that ends the batch."""
        failure = ray_module("ray.exceptions").RayError
        for _ in range(_ROUNDS - 1):
            try:
                return self._run(uuid4().hex)
            except (_OutcomesLost, failure) as error:
                cause = _cause(error, self._store.name)
                if not isinstance(cause, _OutcomesLost | failure):
                    raise cause from None
                log.warning("%s; what has no outcome is sent again", one_line(str(cause).strip().partition("\n")[0]))
        return self._run(uuid4().hex)

    def _run(self, run: str) -> BatchResult:
        store, terms = self._store, self._options.terms
        store.refuse_others(terms)
        store.begin(run)
        finish_replacing(store, run, self._nodes)
        earlier = store.completed()
        store.note(run, terms, finished=False)
        requests = read_requests(self._requests, terms.shard)
        todo = Finder(store, run, self._nodes, terms.force).find(requests, earlier, self._rows)
        first = self._first = self._first or todo
        if todo.changes:
            store.note_replacing(run)
        written, stop, error = self._send(run, todo) if todo.missing else (Written(), "", None)
        done = written.done
        if not stop and done.completed + done.failed < todo.missing:
            raise _OutcomesLost("outcomes of requests are lost; run the batch again")
        if todo.changes:
            remove_replaced(store, run, earlier, self._nodes, has_ended=stop == "")
        store.note(run, terms, finished=stop == "")
        store.finish(run, earlier)
        if error is not None:
            raise error
        total = plus(done.tokens, todo.tokens)
        return BatchResult(
            completed=todo.completed + done.completed - first.completed,
            failed=done.failed,
            skipped=first.completed,
            first_failure=written.first_failure,
            failures=store.failures if done.failed else None,
            gave_up=stop == GAVE_UP,
            usage=usage_of(minus(total, first.tokens)),
            total_usage=usage_of(total),
        )

    def _rows(self, count: int) -> int:
        """Return how many rows a worker gets at once, and a file has: enough to keep it busy, few enough to lose."""
        concurrency = self._options.concurrency
        in_flight = _AUTO_SHARE if concurrency == "auto" else -(-int(concurrency) // self._workers)
        quarter_of_share = -(-count // (4 * self._workers))
        return max(-(-count // _FILES), min(4 * in_flight, quarter_of_share))

    def _send(self, run: str, todo: Todo) -> tuple[Written, str, Exception | None]:
        """Send what is missing; return what was written, why nothing more was sent, and the error if there was one."""
        ray = ray_module()
        limit = SharedLimit(self._options.concurrency)
        if not self._options.keeps_going:
            limit.keeper.give_up.remote()
        try:
            with ProgressThread(self._options.shows_progress, limit.keeper, self._first or todo, todo) as progress:
                written = self._write(run, limit)
                progress.finish(written.done)
            stop, error = ray.get(limit.keeper.outcome.remote())
        finally:
            ray.kill(limit.keeper)
        return written, stop, error

    def _write(self, run: str, limit: SharedLimit) -> Written:
        data = ray_module("ray.data")
        sink = new_sink(self._store, run)
        parts = self._store.parts(self._store.todo(run))
        requests = read_kept(parts, self._store.system)
        workers = min(self._workers, len(parts))
        with spread(workers) as placement:
            with without_deprecations():
                lines = requests.map_batches(
                    CompletedLines,
                    fn_constructor_kwargs={"target": self._target, "concurrency": limit},
                    batch_size=None,
                    batch_format="pyarrow",
                    compute=data.ActorPoolStrategy(size=workers, max_concurrent_calls_per_actor=_CALLS),
                    **placement,
                )
            lines.write_datasink(sink)
        written: Written = sink.written
        return written


def _nodes() -> int:
    """Return how many nodes there are that may get work."""
    nodes = [each for each in ray_module().nodes() if each["Alive"] and each["Resources"].get("CPU")]
    return max(1, len(nodes))


def _cause(error: Exception, folder: str) -> Exception:
    """Return what a task of Ray has raised; the error itself if Ray has lost something.

    Ray adds advice about its own settings to an OSError, if it can where that has its path. The path is the folder if
    the error has no words of its own: files are read by pyarrow, which names them.
    """
    while isinstance(cause := getattr(error, "cause", None), Exception):
        error = cause
    if not isinstance(error, OSError):
        return error
    if error.errno is None:
        return OSError(str(error).partition("\nFailed to ")[0])
    path = [folder] if error.strerror == os.strerror(error.errno) else []
    return OSError(error.errno, error.strerror, *path)

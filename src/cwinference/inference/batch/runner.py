"""Many completions at once, from a file or an iterable into a file: what both kinds of `Inference` share of it."""

import asyncio
import json
import os
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

from ..._calls.rpc import UNSET
from ..._text import one_line
from ...config import check_count
from ...errors import ApiError, ConfigurationError, InferenceError, PermissionDenied, Unauthenticated
from .._limiter import Limiter
from .._request import CHAT, TEXT, Prompt, check_model, checked
from .key_set import KeySet
from .progress_bar import Progress
from .result_files import WRITE_SECONDS, Ledger, answer_line, failure_line

Requests: TypeAlias = str | os.PathLike[str] | Iterable[Mapping[str, Any]]
"""A JSONL file's path, or requests: bodies, or OpenAI's batch form with `custom_id`, `url` and `body`."""

CONCURRENCY = 64
"""How many requests are in flight, unless the caller says otherwise."""

_URLS = {"/v1/chat/completions": CHAT, "/v1/completions": TEXT}
_AHEAD = 1000
"""How many answers are held back at most where the order is kept."""
_SAME_FOR_ALL = (ConfigurationError, Unauthenticated, PermissionDenied)
"""Errors that every other request would meet too."""
_IN_A_ROW = 100
"""After how many failures without an answer between them a batch ends, if not more are in flight."""


@dataclass(frozen=True)
class BatchResult:
    """What a run of a batch did.

    Attributes:
        answered: answers that this run wrote.
        failed: requests that failed; they are in the file of failures, and the next run tries them again.
        skipped: requests whose answers were there before.
        first_failure: the request that failed first, by its line, and why; None when none failed.
        failures: the file that holds them all; None when none failed.
        gave_up: whether so many failed in a row that the others were not asked; the next run asks them.
    """

    answered: int
    failed: int
    skipped: int
    first_failure: str | None = field(default=None, compare=False)
    failures: Path | None = field(default=None, compare=False)
    gave_up: bool = field(default=False, compare=False)


class Item(NamedTuple):
    """A request of a batch."""

    key: str
    line: int
    prompt: Prompt
    number: int
    """Its place among those that this run asks."""


class Batch:
    """A run: hands out requests, takes what became of them. May be used by many threads."""

    def __init__(
        self,
        requests: Requests,
        out: str | os.PathLike[str],
        *,
        concurrency: int,
        limit: int,
        ordered: bool,
        progress: bool | None,
        keep_going: bool,
    ) -> None:
        self.workers = min(check_count(concurrency, "concurrency"), limit)
        if not isinstance(out, str | os.PathLike) or not os.fspath(out):
            raise ConfigurationError(f"out: expected the path of a file, got {out!r}")
        source = _source(requests, Path(out))
        self.ledger = Ledger(Path(out))
        self.window = Limiter(max(_AHEAD, 2 * self.workers)) if ordered else None
        """Lets a request in only when not too many answers are held back."""
        self._items = self._to_ask(source)
        self._lock = threading.Lock()
        self._held: dict[int, bytes | None] = {}
        self._written = 0
        self._skipped = self._answered = self._failed = 0
        self._in_a_row = 0
        self._most_in_a_row = inf if keep_going else max(_IN_A_ROW, 2 * self.workers)
        self._first_failure: str | None = None
        self._stopped = self._gave_up = False
        self._progress = Progress(progress)

    def take(self) -> Item | None:
        """The next request; None when there is none."""
        with self._lock:
            return None if self._stopped else next(self._items, None)

    def answered(self, item: Item, answer: bytes) -> None:
        """Write an answer."""
        line = answer_line(item.key, answer)
        with self._lock:
            self._answered += 1
            self._in_a_row = 0
            self._write(item.number, line)

    def failed(self, item: Item, error: Exception) -> None:
        """Note a failure; raises it when every other request would meet it, and stops when it looks like that."""
        if not isinstance(error, InferenceError) or _same_for_all(error):
            self.stop()
            raise error
        with self._lock:
            self._note_failure(item.key, item.line, error)
            self._write(item.number, None)
            self._in_a_row += 1
            give_up = self._in_a_row >= self._most_in_a_row and not self._gave_up
            self._gave_up |= give_up
        if give_up:
            self.stop()

    def stop(self) -> None:
        """Hand out no more requests, and keep nobody waiting."""
        with self._lock:
            self._stopped = True
            for _ in range(self.workers if self.window is not None else 0):
                self.leave()

    def leave(self) -> None:
        """Let the next one in where the order is kept."""
        if self.window is not None:
            self.window.leave()

    def close(self) -> BatchResult:
        """Close the files; gives what was done."""
        self._progress.close()
        self.ledger.close()
        failures = self.ledger.errors if self._failed else None
        return BatchResult(self._answered, self._failed, self._skipped, self._first_failure, failures, self._gave_up)

    def _write(self, number: int, line: bytes | None) -> None:
        self._progress.step(self._answered, self._failed, self._skipped)
        if self.window is None:
            if line is not None:
                self.ledger.answer(line)
            return
        self._held[number] = line
        while self._written in self._held:
            held = self._held.pop(self._written)
            if held is not None:
                self.ledger.answer(held)
            self._written += 1
            self.leave()

    def _note_failure(self, key: str, line: int, error: InferenceError) -> None:
        self._failed += 1
        if self._first_failure is None:
            self._first_failure = f"line {line}: {one_line(str(error))}"
        self.ledger.failure(failure_line(key, line, error))

    def _to_ask(self, source: Iterator[tuple[int, Any]]) -> Iterator[Item]:
        """Those that were not answered before. What cannot be asked is a failure at once."""
        seen, before, number = KeySet(), self.ledger.answered, 0
        for line, value in source:
            key = str(line)
            try:
                fields = _fields(value)
                key = _key(fields, key)
                if not seen.add(key):
                    raise ConfigurationError(f"custom_id: {key!r} was there before; each may stand once")
                if before and key in before:
                    self._skipped += 1
                    continue
                prompt = _prompt(fields)
            except ConfigurationError as error:
                self._note_failure(key, line, error)
                continue
            yield Item(key, line, prompt, number)
            number += 1


def _same_for_all(error: InferenceError) -> bool:
    """Whether every other request would meet it too: among others, when the gateway cannot be read."""
    asked = not isinstance(error, ApiError) or error.method in (CHAT.name, TEXT.name)
    return isinstance(error, _SAME_FOR_ALL) or not asked


def _work(batch: Batch, ask: Callable[[Prompt], bytes]) -> None:
    while True:
        if batch.window is not None:
            batch.window.enter(None)
        item = batch.take()
        if item is None:
            return batch.leave()
        try:
            answer = ask(item.prompt)
        except Exception as error:
            batch.failed(item, error)
        else:
            batch.answered(item, answer)


async def _work_async(batch: Batch, ask: Callable[[Prompt], Awaitable[bytes]]) -> None:
    while True:
        if batch.window is not None:
            await batch.window.enter_async(None)
        item = batch.take()
        if item is None:
            return batch.leave()
        try:
            answer = await ask(item.prompt)
        except Exception as error:
            batch.failed(item, error)
        else:
            batch.answered(item, answer)


def run_on_threads(batch: Batch, ask: Callable[[Prompt], bytes]) -> BatchResult:
    """Do all of a batch on threads of its own; raises the first error that ends it."""
    found: list[BaseException] = []

    def run() -> None:
        try:
            _work(batch, ask)
        except BaseException as error:
            batch.stop()
            found.append(error)

    threads = [threading.Thread(target=run, name="cwinference batch", daemon=True) for _ in range(batch.workers)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(WRITE_SECONDS)
                batch.ledger.write()
    finally:
        batch.stop()
        result = batch.close()
    if found:
        raise found[0]
    return result


async def _keep_writing(batch: Batch) -> None:
    while True:
        await asyncio.sleep(WRITE_SECONDS)
        await asyncio.to_thread(batch.ledger.write)


async def run_on_loop(batch: Batch, ask: Callable[[Prompt], Awaitable[bytes]]) -> BatchResult:
    """Do all of a batch on the running loop; raises the first error that ends it."""
    writer: asyncio.Future[Any] = asyncio.ensure_future(_keep_writing(batch))
    work: asyncio.Future[Any] = asyncio.gather(*(_work_async(batch, ask) for _ in range(batch.workers)))
    try:
        await asyncio.wait([writer, work], return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            writer.result()
        await work
    finally:
        batch.stop()
        for each in (writer, work):
            each.cancel()
        await asyncio.gather(writer, work, return_exceptions=True)
        result = batch.close()
    return result


def _source(requests: Requests, out: Path) -> Iterator[tuple[int, Any]]:
    """Requests by the number of their line, from 1."""
    if isinstance(requests, Mapping):
        raise ConfigurationError("requests: expected a file or an iterable of requests; put a single one into a list")
    if not isinstance(requests, str | os.PathLike | Iterable):
        raise ConfigurationError(f"requests: expected a file or an iterable of requests, got {type(requests).__name__}")
    if not isinstance(requests, str | os.PathLike):
        return enumerate(requests, 1)
    path = Path(requests)
    if path.resolve() == out.resolve():
        raise ConfigurationError("out: it is the file of requests; use another one")
    try:
        path.open("rb").close()
    except OSError as error:
        raise ConfigurationError(f"requests: {path}: {error.strerror}") from None
    return _lines(path)


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line


def _fields(value: Any) -> dict[str, Any]:
    """A request as an object of its own."""
    if isinstance(value, bytes):
        try:
            value = json.loads(value)
        except ValueError:
            raise ConfigurationError("it is not JSON") from None
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"expected an object, got {type(value).__name__}")
    return dict(cast(Mapping[str, Any], value))


def _key(fields: dict[str, Any], otherwise: str) -> str:
    """The `custom_id`, which is taken out of the request."""
    key = fields.pop("custom_id", None)
    if key is not None and not isinstance(key, str):
        raise ConfigurationError(f"custom_id: expected a string, got {type(key).__name__}")
    return otherwise if key is None else key


def _prompt(request: dict[str, Any]) -> Prompt:
    body, url = (request["body"], request.get("url")) if "body" in request else (request, None)
    if not isinstance(body, Mapping):
        raise ConfigurationError(f"body: expected an object, got {type(body).__name__}")
    fields = dict(cast(Mapping[str, Any], body))
    method = _URLS.get(url) if url is not None else CHAT if "messages" in fields else TEXT
    if method is None:
        raise ConfigurationError(f"url: expected one of {', '.join(_URLS)}, got {url!r}")
    needed = "messages" if method is CHAT else "prompt"
    if needed not in fields:
        raise ConfigurationError(f"{needed}: it is missing")
    model = check_model(fields.get("model"))
    return Prompt(method, checked(fields, streamed=False), model=model, timeout=UNSET, retry=UNSET, headers=None)

"""The progress of a batch: a total where it can be known, rates, tokens, and when it will have ended."""

import sys
from pathlib import Path
from typing import Any

import pytest

from cwinference.inference import BatchProgress
from cwinference.inference.batch.progress import Meter
from cwinference.inference.batch.progress_bar import ProgressBar
from tests.support.batch_files import batch_request, echo
from tests.support.batch_runs import run_batch, write_requests
from tests.support.scripted_model_server import ScriptedModelServer


class Watch:
    """A clock that stands still until it is told to go on."""

    now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_rates_are_those_of_the_last_half_minute_and_tell_what_remains() -> None:
    watch = Watch()
    meter = Meter(watch)
    watch.now += 10
    first = meter.measure(100, 0, 50, 1000, 300, 2000)
    assert (first.rate, first.tokens_per_second, first.remaining) == (10, 200, 85)
    last = first
    for _ in range(60):
        watch.now += 1
        last = meter.measure(100, 5, 50, 1000, 300, 2000)
    assert (last.rate, last.tokens_per_second, last.remaining, last.seconds) == (0, 0, None, 70)
    assert meter.measure(1, 0, 0, None, 0, 0).remaining is None


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (BatchProgress(1, 0, 0, None, 1, 0, 0, 2.5, 0, None), "1 requests, 2.5/s"),
        (
            BatchProgress(7, 2, 1, 50, 60, 10, 20, 4, 99.6, 7500),
            "10 of 50 requests, 2 failed, 1 skipped, 4.0/s, 100 tokens/s, 2:05:00 left",
        ),
        (BatchProgress(7, 0, 0, 50, 60, 0, 0, 4, 0, 7), "7 of 50 requests, 4.0/s, 0:07 left"),
    ],
)
def test_progress_is_a_line(progress: BatchProgress, text: str) -> None:
    assert str(progress) == text


@pytest.mark.parametrize("is_file", [True, False])
async def test_a_function_gets_the_progress(kind: str, tmp_path: Path, is_file: bool) -> None:
    requests: Any = [*map(batch_request, range(5))]
    source = write_requests(tmp_path / "in.jsonl", requests) if is_file else requests
    seen: list[BatchProgress] = []
    with ScriptedModelServer(echo) as server:
        await run_batch(kind, server.url, source, tmp_path / "out.jsonl", progress=seen.append)
    last = seen[-1]
    assert (last.completed, last.failed, last.skipped, last.total) == (5, 0, 0, 5)
    assert last.completion_tokens > 0
    assert last.prompt_tokens > 0


async def test_a_function_that_fails_ends_the_batch(kind: str, tmp_path: Path) -> None:
    def fail(_: BatchProgress) -> None:
        raise ZeroDivisionError

    with ScriptedModelServer(echo) as server, pytest.raises(ZeroDivisionError):
        await run_batch(kind, server.url, map(batch_request, range(5)), tmp_path / "out.jsonl", progress=fail)


@pytest.mark.parametrize(
    ("content", "lines"),
    [("", 0), ("a", 1), ("a\n", 1), ("a\n\nb\n", 2), ("a\nb\n\n\n\nc", 3), ("\n\na\n", 1), ("\n", 0)],
)
def test_lines_of_a_file_are_counted_without_blank_ones(tmp_path: Path, content: str, lines: int) -> None:
    from cwinference.inference.batch.source import Source
    from tests.support.waiting import wait_until

    (tmp_path / "in.jsonl").write_text(content)
    source = Source(tmp_path / "in.jsonl")
    source.open()
    source.count_lines()
    wait_until(lambda: source.lines_counted is not None)
    source.close()
    assert source.lines_counted == lines


def test_without_a_bar_there_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    watch = Watch()
    bar, meter, done = ProgressBar(True, watch), Meter(watch), 0

    def measure() -> BatchProgress:
        return meter.measure(done, 0, 0, 100, 0, 0)

    for _ in range(25):
        watch.now += 1
        done += 1
        bar.step(measure)
    bar.close(measure)
    first, *lines = capsys.readouterr().err.splitlines()
    assert "needs tqdm, which is not installed" in first
    assert lines == [
        "batch: 10 of 100 requests, 1.0/s, 1:30 left",
        "batch: 20 of 100 requests, 1.0/s, 1:20 left",
        "batch: 25 of 100 requests, 1.0/s, 1:15 left",
    ]

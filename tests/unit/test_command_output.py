"""What a command prints to streams that are absent, closed, broken, full, or have another encoding."""

import io
import os
import sys
from pathlib import Path

import pytest

from cwinference._cli import output
from cwinference._cli.main import main
from cwinference.errors import ConfigurationError


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_stream_that_fails_is_replaced_by_the_null_device(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        output.say("text")
        output.say("more")
        full.flush()
        assert os.path.samestat(os.fstat(full.fileno()), Path(os.devnull).stat())


def test_a_broken_pipe_is_replaced_too(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        stream.write("what other code wrote")
        output.flush()
        output.say("text")


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_an_absent_or_closed_stream_gets_nothing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        monkeypatch.setattr(sys, name, stream)
        output.say("text")
        output.complain("text")
        output.flush()
        assert main(["emulator", "--state", ""]) == 2
        assert main([]) == 0


def test_what_an_encoding_does_not_have_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, "ascii"))
    output.say("\u00e9 \ud800 a")
    assert printed.getvalue() == b"\\xe9 \\ud800 a\n"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(28, "No space left on device", "out.jsonl"), "out.jsonl: No space left on device"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("lost"), "lost"),
        (ConfigurationError("out: wrong"), "out: wrong"),
    ],
)
def test_an_error_of_the_system_is_described_without_its_number(error: Exception, text: str) -> None:
    assert output.describe(error) == text

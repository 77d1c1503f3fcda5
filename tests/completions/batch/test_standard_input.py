"""`-` in place of the input is standard input: a pipe or a file; in place of OUT it is refused."""

import subprocess
from pathlib import Path

import pytest

from cwinference import errors
from tests.support.batch_files import UNREACHABLE, batch_request, echo, echoed_texts, read_texts
from tests.support.batch_runs import run_batch, run_command, start_command, write_requests
from tests.support.scripted_model_server import ScriptedModelServer


def test_requests_come_from_standard_input(tmp_path: Path) -> None:
    source, out = write_requests(tmp_path / "in.jsonl", map(batch_request, range(5))), tmp_path / "out.jsonl"
    with ScriptedModelServer(echo) as server:
        command = ("batch", "-", out, "--base-url", server.url)
        with start_command(*command, stdin=subprocess.PIPE) as piped:
            output, error = piped.communicate(source.read_text())
        assert (output, error) == ("5 completed, 0 failed, 0 skipped\n", "")
        write_requests(source, [batch_request(9), *map(batch_request, range(4))])
        with source.open() as file:
            code, _, error = run_command(*command, stdin=file)
        assert (code, error.startswith("cwinference batch: requests: standard input is another input")) == (2, True)
    assert read_texts(out) == echoed_texts(*range(5))


def test_a_request_of_standard_input_is_called_by_its_line(tmp_path: Path) -> None:
    source = write_requests(tmp_path / "in.jsonl", [batch_request(0)["body"]])
    out = tmp_path / "out.jsonl"
    with ScriptedModelServer(echo) as server:
        command = ("batch", "-", out, "--base-url", server.url)
        for number, expected in ((0, ""), (1, "cwinference batch: requests: line 1 of standard input differs")):
            write_requests(source, [batch_request(number)["body"]])
            with source.open() as file:
                file.seek(0)
                assert run_command(*command, stdin=file)[2].startswith(expected)


async def test_no_completions_go_to_standard_output(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for out in ("-", Path("-")):
        with pytest.raises(errors.ConfigurationError, match="^out: completions go to a file, .* and not to standard"):
            await run_batch(kind, UNREACHABLE, [batch_request(0)], out)
    with ScriptedModelServer(echo) as server:
        source = write_requests(tmp_path / "in.jsonl", [batch_request(0)])
        assert (await run_batch(kind, server.url, source, tmp_path / "-")).completed == 1
    assert read_texts(tmp_path / "-") == echoed_texts(0)

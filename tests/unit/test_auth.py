"""Token sources: where a token comes from, when it is fetched again, and that it is never shown."""

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from cwinference import AsyncClient, Client, auth, errors
from cwinference._secrets import Secret
from cwinference.auth import Metadata, TokenCredentials
from cwinference.config import resolve_token
from tests.support.pipes import pipe_with

CANARY = "CW-SECRET-canary"


def bearer(token: str) -> Metadata:
    return Secret((("authorization", f"Bearer {token}"),))


def printing(text: str) -> list[str]:
    """Return a command that prints the text."""
    return [sys.executable, "-S", "-c", f"print({text!r})"]


def replace(path: Path, text: str) -> None:
    """Replace a file by another one, as the rotation of a secret does."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)


def test_a_string_is_kept_and_cannot_be_refreshed() -> None:
    credentials = TokenCredentials(CANARY)
    assert credentials.metadata() == bearer(CANARY)
    assert not credentials.refreshable


def test_the_same_metadata_object_is_returned_each_time() -> None:
    credentials = TokenCredentials(CANARY)
    assert credentials.metadata() is credentials.metadata()


@pytest.mark.parametrize(
    ("environment", "token"),
    [
        ({"COREWEAVE_API_TOKEN": "first", "CW_API_TOKEN": "second"}, "first"),
        ({"CW_API_TOKEN": "second"}, "second"),
        ({"COREWEAVE_API_TOKEN": "", "CW_API_TOKEN": "second"}, "second"),
    ],
)
def test_environment_variables_are_read_in_order(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], token: str
) -> None:
    monkeypatch.delenv("COREWEAVE_API_TOKEN", raising=False)
    monkeypatch.delenv("CW_API_TOKEN", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert resolve_token(None) == Secret(token)
    assert resolve_token("argument") == Secret("argument")


def test_a_missing_token_is_refused_and_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COREWEAVE_API_TOKEN", raising=False)
    monkeypatch.delenv("CW_API_TOKEN", raising=False)
    with pytest.raises(errors.ConfigurationError, match=r"token=.*COREWEAVE_API_TOKEN or CW_API_TOKEN"):
        Client()


@pytest.mark.parametrize(
    "token",
    [f"{CANARY}\n", f"{CANARY}\r\nx: y", f" {CANARY}", f"{CANARY} x", f"{CANARY}\t", f"{CANARY}é", f"{CANARY}\x00", ""],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_token_that_cannot_be_sent_in_a_header_is_refused_without_showing_it(kind: Any, token: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="^token(: | must not be empty$)") as caught:
        kind(token)
    assert CANARY not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)


@pytest.mark.parametrize("token", [b"bytes", 5, ["x"], object()])
def test_a_value_that_is_not_a_token_source_is_refused_and_its_type_is_named(token: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="^token: expected a string or a callable, got"):
        Client(token)


def test_a_callable_is_called_once_and_again_when_its_token_was_refused() -> None:
    tokens = iter(["one", "two"])
    credentials = TokenCredentials(lambda: next(tokens))
    assert credentials.metadata() is None
    first = credentials.fetch(None)
    assert (first, credentials.metadata(), credentials.fetch(None)) == (bearer("one"), first, first)
    assert credentials.fetch(first) == bearer("two")


def test_a_refused_token_that_another_thread_has_replaced_is_not_fetched_again() -> None:
    tokens = iter(["one", "two"])
    credentials = TokenCredentials(lambda: next(tokens))
    refused = credentials.fetch(None)
    credentials.fetch(refused)
    assert credentials.fetch(refused) == bearer("two")


@pytest.mark.parametrize("returned", [None, b"bytes", "two\nlines"])
def test_what_a_callable_returns_is_checked_too(returned: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="^token:"):
        TokenCredentials(lambda: returned).fetch(None)


def test_an_error_raised_by_a_callable_is_propagated() -> None:
    with pytest.raises(ZeroDivisionError):
        TokenCredentials(lambda: str(1 / 0)).fetch(None)


async def later(token: str) -> str:
    return token


def test_a_coroutine_function_is_accepted_only_by_the_async_client() -> None:
    async def source() -> str:
        return await later(CANARY)

    with pytest.raises(errors.ConfigurationError, match="needs AsyncClient"):
        Client(source)


def test_a_callable_that_returns_a_coroutine_is_accepted_only_by_the_async_client() -> None:
    with pytest.raises(errors.ConfigurationError, match="needs AsyncClient"):
        TokenCredentials(lambda: later(CANARY)).fetch(None)


def test_a_callable_that_returns_any_awaitable_is_accepted_only_by_the_async_client() -> None:
    class Later(Awaitable[str]):
        def __await__(self) -> Any:
            return later(CANARY).__await__()

    with pytest.raises(errors.ConfigurationError, match="needs AsyncClient"):
        TokenCredentials(Later).fetch(None)


async def test_an_async_callable_is_awaited_and_a_sync_one_is_called() -> None:
    assert await TokenCredentials(lambda: later("later")).fetch_async(None) == bearer("later")
    assert await TokenCredentials(lambda: "now").fetch_async(None) == bearer("now")


def test_whitespace_around_the_token_of_a_file_is_ignored(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"  {CANARY}\r\n\n")
    assert TokenCredentials(auth.from_file(file)).fetch(None) == bearer(CANARY)


def test_a_rotated_file_is_picked_up(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    credentials = TokenCredentials(auth.from_file(str(file)))
    assert credentials.fetch(None) == bearer("one")
    replace(file, "two")
    assert credentials.metadata() is None
    assert credentials.fetch(None) == bearer("two")


def test_a_rotated_file_is_picked_up_by_every_client_that_shares_the_source(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    source = auth.from_file(file)
    several = [TokenCredentials(source), TokenCredentials(source)]
    for each in several:
        assert each.fetch(None) == bearer("one")
    replace(file, "two")
    for each in several:
        assert each.metadata() is None
        assert each.fetch(None) == bearer("two")


def test_a_file_is_checked_at_most_once_a_second(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    credentials = TokenCredentials(auth.from_file(file))
    first = credentials.fetch(None)
    assert credentials.metadata() == first
    replace(file, "two")
    assert credentials.metadata() == first
    assert credentials.fetch(first) == bearer("two")


def test_the_last_token_is_used_while_the_file_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    credentials = TokenCredentials(auth.from_file(file))
    first = credentials.fetch(None)
    file.unlink()
    assert credentials.metadata() == first


def test_the_last_token_is_used_while_the_file_is_empty(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    credentials = TokenCredentials(auth.from_file(file))
    first = credentials.fetch(None)
    file.write_text("")
    assert credentials.fetch(first) == first
    file.write_text("two")
    assert credentials.fetch(first) == bearer("two")


async def test_a_pipe_is_read_once_for_all_clients(tmp_path: Path) -> None:
    with pipe_with(tmp_path / "pipe", b"token\n") as pipe:
        source = auth.from_file(pipe)
        first, second = TokenCredentials(source), TokenCredentials(source)
        header = first.fetch(None)
        os.utime(pipe, (1, 1))
        assert (header, first.metadata(), first.fetch(header)) == (bearer("token"),) * 3
        assert await second.fetch_async(None) == bearer("token")


WAITING_FOR_A_PIPE = """
import asyncio, sys
from cwinference import AsyncClient, auth, errors

async def main() -> None:
    async with AsyncClient(auth.from_file(sys.argv[1]), endpoint="http://127.0.0.1:9") as client:
        try:
            await client.gateways.list(timeout=0.1)
        except errors.DeadlineExceeded as error:
            print(error.message)

asyncio.run(main())
"""


def test_a_pipe_without_a_writer_keeps_no_process_from_exiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    command = [sys.executable, "-c", WAITING_FOR_A_PIPE, str(tmp_path / "pipe")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "timed out while waiting for the token source\n", "")


@pytest.mark.parametrize(
    ("name", "reason"), [("", "Is a directory"), ("a\0b", "embedded null byte"), ("a" * 256, "File name too long")]
)
def test_an_unreadable_file_is_reported_with_the_reason(tmp_path: Path, name: str, reason: str) -> None:
    credentials = TokenCredentials(auth.from_file(tmp_path / name))
    assert credentials.metadata() is None
    with pytest.raises(errors.ConfigurationError, match=f"token file .*: {reason}$"):
        credentials.fetch(None)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, ": No such file or directory$"),
        (b"\xff\xfe", ": not text$"),
        (b"", " is empty$"),
    ],
)
def test_a_file_without_a_token_is_reported(tmp_path: Path, content: bytes | None, problem: str) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(errors.ConfigurationError, match=f"^token file .*token{problem}"):
        TokenCredentials(auth.from_file(file)).fetch(None)


def test_the_output_of_a_command_is_the_token() -> None:
    assert TokenCredentials(auth.from_command(printing(CANARY))).fetch(None) == bearer(CANARY)


async def test_a_command_works_with_the_async_client_too() -> None:
    assert await TokenCredentials(auth.from_command(printing(CANARY))).fetch_async(None) == bearer(CANARY)


def test_a_command_may_print_an_exec_credential() -> None:
    printed = json.dumps({"kind": "ExecCredential", "status": {"token": CANARY}})
    assert TokenCredentials(auth.from_command(printing(printed))).fetch(None) == bearer(CANARY)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (
            [sys.executable, "-S", "-c", f"print('{CANARY}'); raise SystemExit(3)"],
            "exited with code 3; run it to see why",
        ),
        ([sys.executable, "-S", "-c", f"raise SystemExit('{CANARY}')"], "exited with code 1; run it to see why"),
        ([sys.executable, "-S", "-c", "import time; time.sleep(60)"], "did not finish within 0.05 s"),
        (["no-such-program"], "No such file"),
        (printing('{"status": {}}'), "without status.token"),
        (printing('{"status": {"token": null}}'), "without status.token"),
        (printing("two words"), "a space"),
        (printing(""), "token must not be empty"),
    ],
)
def test_a_command_that_fails_is_reported_without_its_output(command: list[str], reason: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=reason) as caught:
        TokenCredentials(auth.from_command(command, timeout=0.05 if "sleep" in command[-1] else 30)).fetch(None)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("path", [None, 5, ["token"]])
def test_the_type_of_a_path_is_checked_before_the_first_call(path: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="^path: expected the path of a token file, got"):
        auth.from_file(path)


@pytest.mark.parametrize("command", ["cwic auth token", [], (), None, 5])
def test_a_command_must_be_a_list_because_no_shell_runs_it(command: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="^command:"):
        auth.from_command(command)


def test_a_token_appears_in_no_repr(tmp_path: Path) -> None:
    credentials = [
        TokenCredentials(CANARY),
        TokenCredentials(auth.from_command(printing(CANARY))),
        TokenCredentials(auth.from_file(tmp_path / "token")),
    ]
    credentials[1].fetch(None)
    shown = repr(credentials) + repr([each.metadata() for each in credentials[:2]]) + repr(vars(credentials[1]))
    assert CANARY not in shown
    assert "from_file(" in shown

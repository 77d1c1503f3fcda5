"""Token sources: where a token comes from, when it is asked for again, and that it never shows."""

import json
import sys
import traceback
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from cwinference import AsyncClient, Client, auth, errors
from cwinference.auth import Credentials
from cwinference.config import resolve_token

CANARY = "CW-SECRET-canary"


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def printing(text: str) -> list[str]:
    """A command that prints the text."""
    return [sys.executable, "-S", "-c", f"print({text!r})"]


def replace(path: Path, text: str) -> None:
    """Put another file in its place, as a secret's rotation does."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)


def test_a_string_is_kept_and_never_asked_for_again() -> None:
    credentials = Credentials(CANARY)
    assert credentials.metadata() == bearer(CANARY)
    assert not credentials.refreshable


def test_the_same_pair_is_given_each_time() -> None:
    credentials = Credentials(CANARY)
    assert credentials.metadata() is credentials.metadata()


@pytest.mark.parametrize(
    ("environment", "token"),
    [
        ({"COREWEAVE_API_TOKEN": "first", "CW_API_TOKEN": "second"}, "first"),
        ({"CW_API_TOKEN": "second"}, "second"),
        ({"COREWEAVE_API_TOKEN": "", "CW_API_TOKEN": "second"}, "second"),
    ],
)
def test_the_environment_is_asked_in_order(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], token: str
) -> None:
    monkeypatch.delenv("COREWEAVE_API_TOKEN", raising=False)
    monkeypatch.delenv("CW_API_TOKEN", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert resolve_token(None) == token
    assert resolve_token("argument") == "argument"


def test_no_token_at_all_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COREWEAVE_API_TOKEN", raising=False)
    monkeypatch.delenv("CW_API_TOKEN", raising=False)
    with pytest.raises(errors.ConfigurationError, match=r"token=.*COREWEAVE_API_TOKEN or CW_API_TOKEN"):
        Client()


@pytest.mark.parametrize(
    "token",
    [f"{CANARY}\n", f"{CANARY}\r\nx: y", f" {CANARY}", f"{CANARY} x", f"{CANARY}\t", f"{CANARY}é", f"{CANARY}\x00", ""],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_token_that_no_header_can_carry_is_refused_without_showing_it(kind: Any, token: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="^token:") as caught:
        kind(token)
    assert CANARY not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)


@pytest.mark.parametrize("token", [b"bytes", 5, ["x"], object()])
def test_what_is_no_token_source_is_refused_by_its_type(token: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="^token: expected a string or a callable, got"):
        Client(token)


def test_a_callable_is_asked_once_and_again_when_its_token_is_stale() -> None:
    tokens = iter(["one", "two"])
    credentials = Credentials(lambda: next(tokens))
    assert credentials.metadata() is None
    first = credentials.fetch(None)
    assert (first, credentials.metadata(), credentials.fetch(None)) == (bearer("one"), first, first)
    assert credentials.fetch(first) == bearer("two")


def test_a_stale_token_that_another_thread_has_replaced_is_not_asked_for_again() -> None:
    tokens = iter(["one", "two"])
    credentials = Credentials(lambda: next(tokens))
    stale = credentials.fetch(None)
    credentials.fetch(stale)
    assert credentials.fetch(stale) == bearer("two")


@pytest.mark.parametrize("answer", [None, b"bytes", "two\nlines"])
def test_what_a_callable_gives_is_checked_too(answer: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="^token:"):
        Credentials(lambda: answer).fetch(None)


def test_an_error_of_a_callable_passes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        Credentials(lambda: str(1 / 0)).fetch(None)


async def give(token: str) -> str:
    return token


def test_a_coroutine_function_needs_the_async_client() -> None:
    async def source() -> str:
        return await give(CANARY)

    with pytest.raises(errors.ConfigurationError, match="needs AsyncClient"):
        Client(source)


def test_a_callable_that_turns_out_async_needs_the_async_client() -> None:
    with pytest.raises(errors.ConfigurationError, match="needs AsyncClient"):
        Credentials(lambda: give(CANARY)).fetch(None)


def test_any_awaitable_needs_the_async_client() -> None:
    class Later(Awaitable[str]):
        def __await__(self) -> Any:
            return give(CANARY).__await__()

    with pytest.raises(errors.ConfigurationError, match="needs AsyncClient"):
        Credentials(Later).fetch(None)


async def test_an_async_callable_is_awaited_and_a_plain_one_called() -> None:
    assert await Credentials(lambda: give("later")).fetch_async(None) == bearer("later")
    assert await Credentials(lambda: "now").fetch_async(None) == bearer("now")


def test_a_file_is_read_without_the_space_around_its_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"  {CANARY}\r\n\n")
    assert Credentials(auth.from_file(file)).fetch(None) == bearer(CANARY)


def test_a_rotated_file_is_picked_up(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    credentials = Credentials(auth.from_file(str(file)))
    assert credentials.fetch(None) == bearer("one")
    replace(file, "two")
    assert credentials.metadata() is None
    assert credentials.fetch(None) == bearer("two")


def test_a_rotated_file_is_picked_up_by_every_client_that_shares_the_source(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    source = auth.from_file(file)
    several = [Credentials(source), Credentials(source)]
    for each in several:
        assert each.fetch(None) == bearer("one")
    replace(file, "two")
    for each in several:
        assert each.metadata() is None
        assert each.fetch(None) == bearer("two")


def test_a_file_is_looked_at_once_a_second_at_most(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    credentials = Credentials(auth.from_file(file))
    first = credentials.fetch(None)
    assert credentials.metadata() == first
    replace(file, "two")
    assert credentials.metadata() == first
    assert credentials.fetch(first) == bearer("two")


def test_a_file_that_is_missing_for_a_moment_does_not_matter(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    credentials = Credentials(auth.from_file(file))
    first = credentials.fetch(None)
    file.unlink()
    assert credentials.metadata() == first


def test_a_file_that_is_empty_for_a_moment_keeps_its_last_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    credentials = Credentials(auth.from_file(file))
    first = credentials.fetch(None)
    file.write_text("")
    assert credentials.fetch(first) == first
    file.write_text("two")
    assert credentials.fetch(first) == bearer("two")


def test_an_unreadable_file_is_told_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigurationError, match="token file .*: Is a directory"):
        Credentials(auth.from_file(tmp_path)).fetch(None)


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b""])
def test_a_file_without_a_token_is_told(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(errors.ConfigurationError, match="^token file .*token: "):
        Credentials(auth.from_file(file)).fetch(None)


def test_a_command_gives_what_it_prints() -> None:
    assert Credentials(auth.from_command(printing(CANARY))).fetch(None) == bearer(CANARY)


async def test_a_command_is_run_for_the_async_client_too() -> None:
    assert await Credentials(auth.from_command(printing(CANARY))).fetch_async(None) == bearer(CANARY)


def test_a_command_may_print_an_exec_credential() -> None:
    printed = json.dumps({"kind": "ExecCredential", "status": {"token": CANARY}})
    assert Credentials(auth.from_command(printing(printed))).fetch(None) == bearer(CANARY)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ([sys.executable, "-S", "-c", f"print('{CANARY}'); raise SystemExit(3)"], "exited with code 3"),
        ([sys.executable, "-S", "-c", "import time; time.sleep(60)"], "gave nothing within 0.05 s"),
        (["no-such-program"], "No such file"),
        (printing('{"status": {}}'), "without status.token"),
        (printing('{"status": {"token": null}}'), "without status.token"),
        (printing("two words"), "a space"),
        (printing(""), "it is empty"),
    ],
)
def test_a_command_that_fails_is_told_without_its_output(command: list[str], reason: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=reason) as caught:
        Credentials(auth.from_command(command, timeout=0.05 if "sleep" in command[-1] else 30)).fetch(None)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("path", [None, 5, ["token"]])
def test_the_path_of_a_token_file_is_checked_at_once(path: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="^path: expected that of a token file, got"):
        auth.from_file(path)


@pytest.mark.parametrize("command", ["cwic auth token", [], (), None, 5])
def test_a_command_is_a_list_because_there_is_no_shell(command: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="^command:"):
        auth.from_command(command)


def test_no_repr_shows_a_token(tmp_path: Path) -> None:
    credentials = [
        Credentials(CANARY),
        Credentials(auth.from_command(printing(CANARY))),
        Credentials(auth.from_file(tmp_path / "token")),
    ]
    credentials[1].fetch(None)
    shown = repr(credentials) + repr([each.metadata() for each in credentials[:2]]) + repr(vars(credentials[1]))
    assert CANARY not in shown
    assert "from_file(" in shown

"""In a real terminal: spinner, prompt, live status, Ctrl-C; 80, 200 and 20 columns; resized."""

import os
from collections.abc import Iterator

import pytest

from cwinference import Client
from cwinference.emulator import Emulator, EmulatorClock
from tests.support.specs import FRONT, LLAMA
from tests.support.terminal import Terminal
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals")


@pytest.fixture
def slow() -> Iterator[Emulator]:
    """Run an emulator whose clock a test advances: nothing becomes READY by itself."""
    with Emulator(ready_after=60, clock=EmulatorClock(running=False)) as emulator:
        yield emulator


def terminal(emulator: Emulator, *arguments: object, columns: int = 80, **environment: str) -> Terminal:
    settings = {"COREWEAVE_API_TOKEN": emulator.token, "COREWEAVE_API_ENDPOINT": emulator.endpoint}
    return Terminal(arguments, columns=columns, environment={**settings, **environment})


def populate(emulator: Emulator) -> None:
    with Client(emulator.token, endpoint=emulator.endpoint) as client:
        front = client.gateways.create("front", **FRONT)
        emulator.clock.advance(60)
        for name in ("llama", "llama-with-a-name-that-is-long"):
            client.deployments.create(name, **LLAMA, gateway_ids=[front.spec.id])


def test_a_wait_shows_a_spinner_and_what_happens_and_leaves_the_object(slow: Emulator) -> None:
    create = ["gw", "create", "front", "--core-weave-auth", "--path-based-routing", "--wait"]
    with terminal(slow, *create) as screen:
        shown = screen.wait_for("front: CREATING (", "front CREATING (")
        assert [each for each in "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if each in shown] != []
        wait_until(lambda: screen.lines[-1][1:] != shown.splitlines()[-1][1:])  # it shows the time that passes
        slow.clock.advance(60)
        assert screen.wait() == 0
        lines = screen.lines
        assert [line for line in lines if "front CREATING" in line] == []  # the spinner is gone
        assert "● READY" in lines[-1]
        assert lines[-1].startswith("front")
        assert b"\x1b[32m" in screen.received
        assert b"\x1b[?25h" in screen.received  # the cursor is back


def test_ctrl_c_in_a_wait_says_how_to_go_on(slow: Emulator) -> None:
    populate(slow)
    with terminal(slow, "dep", "wait", "llama") as screen:
        screen.wait_for("llama CREATING (")
        screen.type("\x03")
        assert screen.wait() == 130
        assert "the operation goes on" in screen.text
        assert "to go on waiting: cwinference deployments wait " in screen.text
        assert "Traceback" not in screen.text


@pytest.mark.parametrize("command", [["gw", "watch"], ["status", "--watch"]])
def test_ctrl_c_in_a_watch_says_how_to_go_on(slow: Emulator, command: list[str]) -> None:
    populate(slow)
    with terminal(slow, *command) as screen:
        screen.wait_for("front")
        screen.type("\x03")
        assert screen.wait() == 130
        assert "interrupted; to go on watching: cwinference " in screen.text
        assert "Traceback" not in screen.text


def test_a_deletion_asks_and_takes_no_for_an_answer(slow: Emulator) -> None:
    populate(slow)
    for answer, code in (("n\r", 1), ("\x04", 1), ("\x03", 130), ("y\r", 0)):
        with terminal(slow, "dep", "delete", "llama") as screen:
            screen.wait_for("Delete deployment llama? [y/N]")
            screen.type(answer)
            assert screen.wait() == code, screen.text
    with Client(slow.token, endpoint=slow.endpoint) as client:
        assert [each.spec.name for each in client.deployments.list()] != ["llama"]


def test_the_status_is_live_and_fits_when_the_terminal_is_resized(slow: Emulator) -> None:
    populate(slow)
    with terminal(slow, "status", "--watch") as screen:
        assert "└─ llama-with-a" in screen.wait_for("◐ CREATING", "2 deployments, 0 READY")
        slow.clock.advance(60)
        screen.wait_for("2 deployments, 2 READY")
        screen.resize(200)
        screen.wait_for("└─ llama-with-a-name-that-is-long", "dynamo-vllm 0.22.0")
        screen.resize(40)
        screen.wait_for("…")
        screen.type("\x03")
        assert screen.wait() == 130


@pytest.mark.parametrize("columns", [20, 80, 200])
def test_a_table_fits_the_terminal(slow: Emulator, columns: int) -> None:
    populate(slow)
    with terminal(slow, "dep", "list", columns=columns) as screen:
        assert screen.wait() == 0
        lines = screen.lines
    assert len(lines) == 3  # none is broken in two
    assert lines[0].startswith("NAME")
    assert "STATE" in lines[0]
    assert ("WEIGHT" in lines[0], "ENGINE" in lines[0], "…" in lines[2]) == (columns > 20, columns > 80, columns < 200)


@pytest.mark.parametrize(("columns", "left_out"), [(60, True), (200, False)])
def test_a_status_says_which_columns_do_not_fit(slow: Emulator, columns: int, left_out: bool) -> None:
    populate(slow)
    with terminal(slow, "status", columns=columns) as screen:
        assert screen.wait() == 0
        assert ("columns that do not fit here: " in screen.text) is left_out


def test_no_color_is_respected_and_ascii_gets_ascii(slow: Emulator) -> None:
    populate(slow)
    with terminal(slow, "status", NO_COLOR="1") as screen:
        assert screen.wait() == 0
        assert b"\x1b[" not in screen.received
        assert "● READY" in screen.text
    with terminal(slow, "status", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0") as screen:
        assert screen.wait() == 0
        assert screen.received.isascii()
        assert "`- llama" in screen.text


def test_a_conversation_ends_with_ctrl_d(slow: Emulator) -> None:
    populate(slow)
    slow.clock.advance(60)
    with terminal(slow, "chat", "front", "--max-tokens", "9") as screen:
        screen.wait_for("org/llama: type a message")
        screen.type("Hello\r")
        screen.wait_for("This is the emulator's")
        screen.type("\x04")
        assert screen.wait() == 0

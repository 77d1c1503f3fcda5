"""A command that gives the token ends together with the call that waits for it, and so do the programs it started."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cwinference import AsyncClient, Client, auth, errors
from tests.support.client_kinds import KINDS, open_client

NOWHERE = "http://127.0.0.1:9"
POLITE = ""
STUBBORN = "trap '' TERM; "


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    """The file into which commands write the process ids of themselves and of their children."""
    return tmp_path / "pids"


def slow(pids: Path, manners: str = POLITE) -> list[str]:
    """Return a command that runs for a minute, as a shell with a child."""
    return ["sh", "-c", f"{manners}sleep 60 & echo $$ $! >{pids}.new; mv {pids}.new {pids}; wait; wait; sleep 60"]


def eventually(condition: Callable[[], bool]) -> bool:
    """Return whether something comes true; a busy machine has plenty of time for it, if less than the commands run.

    It is polled, because processes report their end only to their parents.
    """
    ends = time.monotonic() + 20
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.01)
    return True


def is_gone(pid: int) -> bool:
    """Return whether there is no such process, not even as a zombie of ours."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z" and not is_child(pid)
    except (FileNotFoundError, ProcessLookupError):
        return True


def is_child(pid: int) -> bool:
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def all_gone(pids: Path) -> bool:
    return pids.exists() and all(is_gone(int(pid)) for pid in pids.read_text().split())


def forget(pids: Path) -> None:
    pids.unlink(missing_ok=True)


def helpers() -> list[str]:
    return [each.name for each in threading.enumerate() if "token command" in each.name]


@pytest.mark.parametrize("manners", [POLITE, STUBBORN])
@pytest.mark.parametrize("kind", ["grpc-sync", "grpc-async"])
async def test_a_command_that_outlasts_the_timeout_is_ended(kind: str, manners: str, pids: Path) -> None:
    source = auth.from_command(slow(pids, manners))
    async with open_client(kind, NOWHERE, source) as client:
        for _ in range(2):
            forget(pids)
            began = time.monotonic()
            with pytest.raises(
                errors.DeadlineExceeded,
                match=r"^ListGateways: timed out while waiting for the token source \[deadline_exceeded\]$",
            ) as caught:
                await client.gateways.list(timeout=1)
            assert time.monotonic() - began < 20
            assert not caught.value.may_have_succeeded
            assert await asyncio.to_thread(eventually, lambda: all_gone(pids))
    assert eventually(lambda: not helpers())


@pytest.mark.parametrize("kind", KINDS)
async def test_commands_that_are_ended_leave_no_pipe_behind(kind: str) -> None:
    source = auth.from_command(["sleep", "60"])
    async with open_client(kind, NOWHERE, source) as client:
        before: set[str] = set()
        for number in range(4):
            with pytest.raises(errors.DeadlineExceeded):
                await client.gateways.list(timeout=0.05)
            assert await asyncio.to_thread(eventually, lambda: not helpers())
            before = open_pipes() if number == 0 else before
        assert open_pipes() == before


def open_pipes() -> set[str]:
    """Return the pipes of this process."""
    found: set[str] = set()
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the folder itself
            found.add(str(each.readlink()))
    return {each for each in found if each.startswith("pipe:")}


async def test_a_canceled_call_ends_the_command(pids: Path) -> None:
    async with AsyncClient(auth.from_command(slow(pids)), endpoint=NOWHERE) as client:
        call = asyncio.create_task(client.gateways.list())
        assert await asyncio.to_thread(eventually, pids.exists)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await asyncio.to_thread(eventually, lambda: all_gone(pids))


async def test_canceling_one_of_many_calls_leaves_the_others_their_token(pids: Path) -> None:
    """The call that had started the command takes it along; the next one in the queue starts it again."""
    command = ["sh", "-c", f"test -e {pids} && echo token || (touch {pids}; sleep 60)"]
    async with AsyncClient(auth.from_command(command), endpoint=NOWHERE, retry=None) as client:
        first, second = (asyncio.create_task(client.gateways.list()) for _ in range(2))
        assert await asyncio.to_thread(eventually, pids.exists)
        first.cancel()
        with pytest.raises(errors.Unavailable):
            await second


def test_a_call_that_waits_for_another_ones_command_keeps_its_own_timeout(pids: Path) -> None:
    with Client(auth.from_command(slow(pids)), endpoint=NOWHERE) as client:

        def call_for_long() -> None:
            with pytest.raises(errors.DeadlineExceeded):
                client.gateways.list(timeout=3)

        patient = threading.Thread(target=call_for_long)
        patient.start()
        assert eventually(pids.exists)
        with pytest.raises(errors.DeadlineExceeded, match="waiting for the token source"):
            client.gateways.list(timeout=0.1)
        assert patient.is_alive()
        patient.join()


class Alarm(TimeoutError):
    """What a soft time limit may look like."""


def ring(number: int, frame: Any) -> None:
    raise Alarm("over")


def set_off_alarm(pids: Path) -> None:
    assert eventually(pids.exists)
    os.kill(os.getpid(), signal.SIGALRM)


def test_what_a_signal_handler_raises_passes_and_ends_the_command(pids: Path) -> None:
    before = signal.signal(signal.SIGALRM, ring)
    alarm = threading.Thread(target=set_off_alarm, args=(pids,))
    try:
        with Client(auth.from_command(slow(pids)), endpoint=NOWHERE) as client:
            alarm.start()
            with pytest.raises(Alarm):
                client.gateways.list()
        assert eventually(lambda: all_gone(pids))
    finally:
        signal.signal(signal.SIGALRM, before)
        alarm.join()


PROGRAM = """
import asyncio, signal, sys
from cwinference import AsyncClient, Client, auth
signal.signal(signal.SIGINT, signal.default_int_handler)
command = ["sh", "-c", sys.argv[2]]
async def call():
    async with AsyncClient(auth.from_command(command), endpoint="http://127.0.0.1:9") as client:
        await client.gateways.list()
if sys.argv[1] == "async":
    asyncio.run(call())
else:
    Client(auth.from_command(command), endpoint="http://127.0.0.1:9").gateways.list()
"""


@pytest.mark.parametrize("manners", [POLITE, STUBBORN])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_ctrl_c_ends_the_command_before_the_process_ends(mode: str, manners: str, pids: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, mode, slow(pids, manners)[-1]], stderr=subprocess.PIPE)
    assert eventually(pids.exists)
    process.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate(timeout=20)[1]
    assert all_gone(pids) or eventually(lambda: all_gone(pids))


def test_a_command_has_no_terminal_and_no_input() -> None:
    """It could wait there for ever, unseen."""
    source = auth.from_command(["sh", "-c", 'read line; test -z "$line" && (: </dev/tty) 2>/dev/null || echo none'])
    assert source() == "none"

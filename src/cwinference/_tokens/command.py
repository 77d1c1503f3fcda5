"""A command that prints a token: run without a shell and a terminal, and ended when nobody waits for it any more."""

import asyncio
import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any

from .._secrets import Secret, forgets_locals
from .._text import reason_of
from ..errors import ConfigurationError
from . import token_timeout
from .source import SharedSource, TokenReader

_POLL_SECONDS = 0.05
"""How often a running command is polled, to see whether somebody still waits for it. Its output is read at once."""
_GRACE_SECONDS = 0.5
"""How long a command has to end by itself when it is terminated; then it is killed."""


class TokenCommand(SharedSource, TokenReader):
    """Runs a command that prints a token."""

    def __init__(self, command: Sequence[str], timeout: float | None) -> None:
        self._command = command
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"from_command([{self._command[0]!r}, ...])"

    @forgets_locals
    def __call__(self) -> str:
        return self.read(None).reveal()

    def reader(self) -> TokenReader:
        """Return itself: it keeps nothing."""
        return self

    def read(self, seconds: float | None) -> Secret[str]:
        """Return what it printed. Raises DeadlineExceeded after `seconds`; None for its own limit only."""
        run = CommandRun(self._command, self._timeout)
        try:
            if not wait([run.output], seconds).done:
                raise token_timeout()
            return _printed_token(run.output.result())
        finally:
            run.end()

    async def read_async(self) -> Secret[str]:
        """Do the same on an event loop, until it is canceled."""
        run = CommandRun(self._command, self._timeout)
        try:
            return _printed_token(await asyncio.wrap_future(run.output))
        finally:
            run.end()


def _printed_token(output: Secret[str]) -> Secret[str]:
    """Return the token in the output of a command."""
    if not output.reveal().startswith("{"):
        return output
    import json

    token: Secret[Any] = Secret(None)
    with suppress(ValueError, KeyError, TypeError):
        token = Secret(json.loads(output.reveal())["status"]["token"])
    if not isinstance(token.reveal(), str):
        raise ConfigurationError("token command: printed JSON without status.token")
    return token


class CommandRun:
    """One run of a command, on a thread of its own: it ends the command, so that whoever waited can leave at once.

    The thread is no daemon: an exit of the process waits for the end of the command, and so for a moment at most if
    nobody waits for its output.
    """

    def __init__(self, command: Sequence[str], limit: float | None) -> None:
        self._command = command
        self._limit = limit
        self._given_up = threading.Event()
        self.output: Future[Secret[str]] = Future()
        """What it prints, without white space around it; or ConfigurationError."""
        self.output.set_running_or_notify_cancel()  # a canceled task cancels only its own wait
        threading.Thread(target=self._run, name="cwinference token command").start()

    def end(self) -> None:
        """Terminate the command and its children, if they are still running. Does not wait for that."""
        self._given_up.set()

    def _run(self) -> None:
        try:
            self.output.set_result(self._printed())
        except BaseException as error:
            self.output.set_exception(error)

    def _printed(self) -> Secret[str]:
        try:
            with _started(self._command) as process:
                output = self._communicate(process)
                if output is None:
                    _end(process)
                    problem = f"did not finish within {self._limit or 0:g} s"
                elif process.returncode:
                    problem = f"exited with code {process.returncode}; run it to see why, since its output is not shown"
                else:
                    return Secret(output.reveal().decode().strip())
        except OSError as error:
            problem = reason_of(error)
        except UnicodeDecodeError:
            problem = "not text"
        except ValueError as error:  # an argument that no program can get
            problem = str(error)
        # Raised outside of the except blocks: Python's error contains what was printed, and would be chained to ours.
        raise ConfigurationError(f"token command {self._command[0]!r}: {problem}")

    def _communicate(self, process: "subprocess.Popen[bytes]") -> Secret[bytes] | None:
        """Return its output; None if it takes too long, or nobody waits for it any more."""
        ends = math.inf if self._limit is None else time.monotonic() + self._limit
        while not self._given_up.is_set() and (left := ends - time.monotonic()) > 0:
            with suppress(subprocess.TimeoutExpired):
                return Secret(process.communicate(timeout=min(left, _POLL_SECONDS))[0])
        return None


def _started(command: Sequence[str]) -> "subprocess.Popen[bytes]":
    """Start a command in a session of its own: its children can be ended with it, and it cannot wait for a terminal."""
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Terminate a command and its children, and kill what is left of them after a moment."""
    _signal(process, "SIGTERM")
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_SECONDS)
    _signal(process, "SIGKILL")  # no other group can have got its number: that takes a whole round of all numbers


def _signal(process: "subprocess.Popen[bytes]", name: str) -> None:
    with suppress(ProcessLookupError, PermissionError):  # the last of the group has ended
        if hasattr(os, "killpg"):
            os.killpg(process.pid, getattr(signal, name))
        else:
            process.kill()

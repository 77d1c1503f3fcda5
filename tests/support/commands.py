"""Runs of `cwinference` inside this process, against an emulator."""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from cwinference import Client
from cwinference._cli.main import main
from cwinference.emulator import Emulator
from tests.support.specs import CLAIM, FRONT, LLAMA


@dataclass(frozen=True)
class Ran:
    """What a command has done."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class CommandLine:
    """Runs commands against an emulator, whose token and endpoint are in the environment."""

    def __init__(self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.emulator = emulator
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.setenv("COREWEAVE_API_TOKEN", emulator.token)
        monkeypatch.setenv("COREWEAVE_API_ENDPOINT", emulator.endpoint)
        for name in ("FORCE_COLOR", "NO_COLOR"):
            monkeypatch.delenv(name, raising=False)

    def __call__(self, *arguments: object, stdin: str = "") -> Ran:
        """Run a command, and return what it did."""
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code = main([*map(str, arguments)])
        out, err = self._capsys.readouterr()
        return Ran(code, out, err)

    def ok(self, *arguments: object, stdin: str = "") -> Ran:
        """Run a command that succeeds."""
        ran = self(*arguments, stdin=stdin)
        assert ran.code == 0, ran.err
        return ran

    def client(self) -> Client:
        """Return a client of the emulator that sees all fields."""
        return Client(self.emulator.token, endpoint=self.emulator.endpoint, transport="rest")

    def populate(self) -> None:
        """Create a gateway, two deployments of one model behind it, and a claim, all READY."""
        with self.client() as client:
            front = client.gateways.create("front", **FRONT, wait=True)
            for name, weight in (("llama", 75), ("llama-2", 25)):
                more: dict[str, Any] = {"gateway_ids": [front.spec.id], "traffic": {"weight": weight}}
                client.deployments.create(name, **LLAMA, **more, wait=True)
            client.capacity_claims.create("prod", resources=CLAIM, wait=True)


CommandRunner = Callable[..., Ran]

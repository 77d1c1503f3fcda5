"""Fixtures of the tests of the command line."""

import pytest

from cwinference.emulator import Emulator
from tests.support.commands import CommandLine


@pytest.fixture
def cli(
    inference_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    """Run commands against an empty emulator, where everything is READY at the next poll."""
    return CommandLine(inference_emulator, monkeypatch, capsys)


@pytest.fixture
def full(cli: CommandLine) -> CommandLine:
    """Run commands against an emulator with a gateway, two deployments and a claim."""
    cli.populate()
    return cli

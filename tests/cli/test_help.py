"""Every command has a help, which costs no call, and every option of a field says what the field is for."""

from collections.abc import Iterator
from typing import Any

import click
import pytest

from cwinference import errors, types
from cwinference._cli.commands import ALIASES, COMMANDS, OTHER_NAMES, root
from cwinference._cli.failures import _ADVICE, _GROUPS, advice_for
from cwinference._cli.main import main
from cwinference._cli.resources.fields import FieldOption, field_options
from cwinference._cli.resources.kinds import KINDS, Kind


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command and every group, by its path."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = [*commands(root())]


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_a_help(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*path, "--help"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"Usage: cwinference {' '.join(path)} ")
    assert "--help" in out
    assert err == ""


@pytest.mark.parametrize("group", sorted({*_GROUPS, *_GROUPS.values()}))
def test_advice_names_only_commands_that_exist(group: str) -> None:
    for kind, _ in _ADVICE:
        resource: Any = () if issubclass(kind, errors.ApiError | errors.ProtocolError) else (types.Gateway(),)
        advice = advice_for(kind("engine: there is no such engine", *resource), (group, "mine"))
        words = advice.partition("cwinference ")[2].split()
        end = 1 if words[:1] in (["doctor"], ["explain"]) else 2
        assert not words or tuple(words[:end]) in ALL, advice


def test_the_main_help_lists_all_commands_with_their_short_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-h"]) == 0
    out = capsys.readouterr().out
    short = {name: alias for alias, name in ALIASES.items()}
    for name, entry in COMMANDS.items():
        assert f"\n  {name}, {short[name]} " if name in short else f"\n  {name} " in out
        assert " ".join(entry.help.split()[:3]) in out


def test_a_short_name_is_the_same_command(capsys: pytest.CaptureFixture[str]) -> None:
    def help_of(name: str) -> str:
        assert main([name, "list", "--help"]) == 0
        return capsys.readouterr().out.partition("\n")[2]

    for alias, name in {**ALIASES, **OTHER_NAMES, "hot_loads": "hot-loads", "capacity_claims": "claims"}.items():
        assert help_of(alias) == help_of(name)
    assert {f"{each}s" for each in OTHER_NAMES} >= {*KINDS}
    assert main(["clams", "list"]) == 2
    assert "did you mean claims" in capsys.readouterr().err


@pytest.mark.parametrize("kind", list(KINDS.values()), ids=lambda kind: kind.command)
def test_every_field_of_a_request_is_an_option_with_a_help(kind: Kind) -> None:
    for request in filter(None, (kind.create_request, kind.update_request)):
        options = field_options(request)
        top = {each.name for each in request.DESCRIPTOR.fields} - {"id", "name", "hot_load_id", "deployment_id"}
        assert {each.path[0] for each in options} == top
        assert [each.opts[0] for each in options if not each.help] == []
        assert [each.opts[0] for each in options if "PLACEHOLDER" in (each.help or "")] == []
        assert [each.opts[0] for each in options if "Oneofs" in (each.help or "")] == []


def test_a_field_is_an_option_by_its_path() -> None:
    options: dict[str, FieldOption] = {
        name: each for each in field_options(types.CreateGatewayRequest) for name in each.opts
    }
    assert {"--zones", "--core-weave-auth", "--body-based-routing.api-type", "--weights-and-biases-auth"} <= {*options}
    assert options["--core-weave-auth"].is_flag
    assert not options["--body-based-routing.api-type"].is_flag

"""Every form of the output of every kind, and what never is in it."""

import io
import json
import sys
from typing import Any

import pytest

from cwinference.emulator import Fate
from tests.support.commands import CommandLine

KINDS = {"gateways": "front", "deployments": "llama", "claims": "prod"}
EVIL = "\x1b[2J\x07\u202e evil \u00e9 CW-SECRET-mine"


@pytest.mark.parametrize("command", KINDS)
def test_json_is_the_api_s_an_object_for_one_and_an_array_for_a_list(full: CommandLine, command: str) -> None:
    one = full.ok(command, "get", KINDS[command], "-o", "json").json
    assert {*one} == {"spec", "status"}
    assert "organizationId" in one["spec"]
    assert one["status"]["status"] == "STATUS_READY"
    assert one in full.ok(command, "list", "-o", "json").json
    assert full.ok(command, "get", KINDS[command], KINDS[command], "-o", "json").json == [one]
    lines = full.ok(command, "list", "-o", "ndjson").lines
    assert one in [json.loads(line) for line in lines]


@pytest.mark.parametrize("command", KINDS)
@pytest.mark.parametrize("verb", ["list", "get", "describe", "wait"])
@pytest.mark.parametrize("form", ["table", "wide", "json", "yaml", "name", "ndjson"])
def test_every_form_is_printed(full: CommandLine, command: str, verb: str, form: str) -> None:
    if (verb, form) == ("describe", "wide"):
        return
    names = [] if verb == "list" else [KINDS[command]]
    ran = full.ok(command, verb, *names, "-o", form)
    assert KINDS[command] in ran.out
    if form == "name":
        assert KINDS[command] in ran.lines
    if form == "yaml":
        assert ran.out.startswith("version: 1\n")


def test_the_table_shows_what_a_person_wants_to_know(full: CommandLine) -> None:
    table = full.ok("dep", "list").lines
    assert table[0].split() == ["NAME", "STATE", "MODEL", "WEIGHT", "REPLICAS", "ENGINE", "GATEWAYS", "AGE"]
    assert table[1].split()[:6] == ["llama", "READY", "org/llama", "75", "(75%)", "1-4"]
    assert "front" in table[1].split()
    assert full.ok("cc", "list").lines[1].split()[:3] == ["prod", "READY", "2/2"]
    wide = full.ok("gw", "list", "-o", "wide")
    assert "UNMET" in wide.lines[0]
    assert full.ok("dep", "list", "--columns", "name,weight").lines[1:] == ["llama    75 (75%)", "llama-2  25 (25%)"]
    assert full.ok("dep", "list", "--columns=name", "--sort-by=-weight").lines == ["NAME", "llama", "llama-2"]
    assert full.ok("dep", "list", "-o", "name", "--sort-by", "weight").lines == ["llama-2", "llama"]


def test_status_shows_gateways_with_their_deployments(full: CommandLine) -> None:
    full.ok("gw", "create", "alone", "--core-weave-auth", "--path-based-routing", "--wait")
    ran = full.ok("status")
    assert ran.err == ""
    lines = ran.lines
    assert [line.split()[0] for line in lines[:5]] == ["NAME", "alone", "front", "|-", "`-"]
    assert lines[3].split()[1:6] == ["llama", "READY", "org/llama", "75", "(75%)"]
    assert lines[-1] == "2 gateways, 2 READY; 2 deployments, 2 READY; 1 capacity claim, 1 READY"
    found = full.ok("status", "-o", "json").json
    assert {name: len(each) for name, each in found.items()} == {"gateways": 2, "deployments": 2, "capacityClaims": 1}
    assert full.ok("status", "-o", "name").lines == ["alone", "front", "llama", "llama-2", "prod"]
    assert {json.loads(line)["kind"] for line in full.ok("status", "-o", "ndjson").lines} == {
        "gateway",
        "deployment",
        "capacity_claim",
    }
    assert "gateways:\n    - front" in full.ok("status", "-o", "yaml").out
    assert "gd-8xh100ib-i128" in full.ok("status", "-o", "wide").out
    assert full.ok("status", "--columns", "name,weight").lines[0].split() == ["NAME", "WEIGHT"]


def test_status_of_nothing_is_said_on_standard_error(cli: CommandLine) -> None:
    ran = cli.ok("status")
    assert (ran.out, ran.err) == ("", "no gateways, deployments or capacity claims\n")
    for form in ("ndjson", "name"):
        assert cli.ok("status", "-o", form).out == ""


@pytest.mark.parametrize("command", [["dep", "get", "llama"], ["dep", "list"], ["status"]])
def test_data_that_was_read_in_binary_says_which_fields_it_lacks(full: CommandLine, command: list[str]) -> None:
    for form in ("json", "yaml", "ndjson"):
        note = full.ok(*command, "-o", form, "--transport", "connect").err
        assert note.startswith("--transport connect does not show ")
        assert "spec.hot_load" in note
        assert full.ok(*command, "-o", form).err == ""
    assert full.ok(*command, "-o", "name", "--transport", "connect").err == ""
    assert full.ok("claims", "list", "-o", "json", "--transport", "connect").err == ""


def test_describe_groups_conditions_over_zones_and_says_since_when(full: CommandLine) -> None:
    text = full.ok("dep", "describe", "llama").out
    conditions = text.partition("conditions:\n")[2].splitlines()
    assert len(conditions) == 2
    assert all("US-EAST-04A, " in line and " yes for " in line for line in conditions)
    assert "share of requests for org/llama: 75%" in text
    gateway = full.ok("gw", "describe", "front").out
    assert "deployments:\n  llama  READY  org/llama" in gateway


def test_no_text_of_the_server_controls_the_terminal(cli: CommandLine) -> None:
    cli.emulator.fates["front"] = Fate("ERROR", reason="Bad", message=EVIL)
    cli.ok("gw", "create", "front", "--core-weave-auth", "--path-based-routing")
    for form in ("table", "wide", "json", "yaml", "ndjson"):
        for verb in (["list"], ["get", "front"], ["describe", "front"]):
            if verb[0] != "describe" or form != "wide":
                out = cli.ok("gw", *verb, "-o", form).out
                assert not {"\x1b", "\x07", "\u202e"} & {*out}
                assert "CW-SECRET-mine" not in out
    found = cli.ok("gw", "get", "front", "-o", "json").json
    assert found["status"]["conditions"][0]["message"].startswith(EVIL[:12])
    waited = cli("gw", "wait", "front", "--for", "0.1")
    assert "\x1b" not in waited.err


def test_colors_come_where_they_are_wanted_and_not_elsewhere(
    full: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\x1b" not in full.ok("gw", "list").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[32mREADY\x1b[0m" in full.ok("gw", "list").out
    assert "\x1b" not in full.ok("gw", "list", "-o", "json").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in full.ok("gw", "list").out


def test_an_encoding_without_a_character_gets_its_escape(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.emulator.fates["front"] = Fate("ERROR", message="caf\u00e9")
    cli.ok("gw", "create", "front", "--core-weave-auth", "--path-based-routing")
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, "ascii"))
    assert cli("gw", "describe", "front").code == 0
    assert b"caf\\xe9" in printed.getvalue()


@pytest.mark.parametrize("name", ["yaml", "rich"])
def test_without_the_extra_it_works_in_plain_text_and_json(
    full: CommandLine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    for each in [module for module in sys.modules if module.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, each)
    monkeypatch.setitem(sys.modules, name, None)
    assert "llama" in full.ok("status").out
    assert full.ok("dep", "get", "llama", "-o", "json").json["spec"]["name"] == "llama"
    if name == "yaml":
        ran = full("dep", "get", "llama", "-o", "yaml")
        assert (ran.code, "cwinference[cli]" in ran.err) == (2, True)
        assert full.ok("gw", "create", "--template").json == {
            "core_weave_auth": {},
            "body_based_routing": {"api_type": ""},
        }


def test_a_watch_prints_lines_or_json(full: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with full.client() as client:
        changes = client.deployments.watch()
        seen = [next(changes) for _ in range(3)]
        client.deployments.modify(client.deployments.find("llama").spec.id, traffic={"weight": 1})
        seen.append(next(changes))

    def replayed() -> Any:
        yield from seen
        raise KeyboardInterrupt

    def run(*arguments: str) -> list[str]:
        events = replayed()
        monkeypatch.setattr("cwinference.following.Watch.__next__", lambda self: next(events))
        return full("dep", "watch", *arguments).lines

    lines = run()
    assert [line.split()[1:4] for line in lines[:2]] == [["added", "llama", "READY"], ["added", "llama-2", "READY"]]
    assert "spec changed" in lines[2]
    assert len({line.index("READY") for line in lines[:2]}) == 1
    found = [json.loads(line) for line in run("-o", "ndjson")]
    assert [each["type"] for each in found] == ["added", "added", "changed"]
    assert found[2]["before"]["spec"]["traffic"] == {"weight": 75}
    assert run("llama", "-o", "name") == ["llama", "llama"]


def test_completion_completes_commands_options_and_names(full: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert f"_CWINFERENCE_COMPLETE={shell}_complete" in full.ok("completion", shell).out

    def completions(line: str) -> list[str]:
        monkeypatch.setenv("_CWINFERENCE_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
        return [each.removeprefix("plain,") for each in full.ok().lines if each]

    assert completions("cwinference gateways cr") == ["create"]
    assert completions("cwinference deployments modify --autoscaling.m") == ["--autoscaling.min", "--autoscaling.max"]
    assert completions("cwinference gw list -o y") == ["yaml"]
    assert completions("cwinference dep get llam") == ["llama", "llama-2"]
    assert completions("cwinference dep get llama cc") == []
    full.emulator.faults.add("error", method="ListDeployments", code="unavailable")
    assert completions("cwinference dep get llam") == []


def test_chat_streams_a_completion_or_converses(full: CommandLine) -> None:
    ran = full.ok("chat", "front", "Hello", "--max-tokens", "9")
    assert ran.out.startswith("This is the emulator's")
    talk = full.ok("chat", "front", "--max-tokens", "9", "--system", "Be short.", stdin="Hi\n\nWho are you?\n")
    assert talk.out.count("This is the emulator's") == 2
    assert full.ok("chat", "front", "-", "--max-tokens=9", stdin="Hello").out == ran.out
    assert full("chat", "front", "Hello", "--model", "org/other").code == 3
    full.ok("gw", "create", "back", "--core-weave-auth", "--path-based-routing", "--wait")
    none = full("chat", "back", "Hello")
    assert (none.code, "gateway back serves no model" in none.err) == (2, True)

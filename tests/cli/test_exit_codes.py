"""Every exit code, and what is said with it: a line of what is wrong, and the next command to try."""

import io
import sys
from pathlib import Path

import pytest

from cwinference import errors
from cwinference._cli.failures import CommandError, failure_of
from cwinference._cli.main import main
from cwinference._cli.printing.progress import WaitProgress
from cwinference._cli.resources import show
from cwinference.emulator import Emulator, Fate
from tests.support.commands import CommandLine

GATEWAY = ["--core-weave-auth", "--path-based-routing"]


def test_success_is_0(cli: CommandLine) -> None:
    assert cli("gw", "list").err == "no gateways\n"
    assert cli("gw", "list", "-q") == cli("--quiet", "gw", "list")
    assert cli("gw", "list", "-q").err == ""


def test_an_error_of_the_api_is_1(cli: CommandLine) -> None:
    cli.emulator.faults.add("error", method="ListGateways", code="internal", message="no\x1b[31m luck")
    ran = cli("gw", "list")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert ran.err == "cwinference gw list: ListGateways: no\\x1b[31m luck [internal]\n"


def test_an_unexpected_error_is_1_and_debug_shows_where_it_was(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise KeyError("CW-SECRET-x")

    monkeypatch.setattr(show, "context_for", broken)
    ran = cli("gw", "list")
    assert (ran.code, ran.err.splitlines()[0]) == (
        1,
        "cwinference gw list: unexpected error: KeyError: 'CW-SECRET-***'",
    )
    assert "--debug" in ran.err.splitlines()[1]
    debug = cli("gw", "list", "--debug").err
    assert "in broken" in debug
    assert "DEBUG cwinference: " in debug
    assert "CW-SECRET-emulator" not in debug


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["gw", "lits"], "no such command: lits; did you mean list? (see cwinference gw --help)"),
        (["gw", "get"], "missing argument 'NAME...' (see cwinference gw get --help)"),
        (["gw", "list", "-o", "jason"], "there is no jason; did you mean json"),
        (["gw", "list", "--sort-by", "agee"], "--sort-by: there is no column 'agee'; did you mean age?"),
        (["gw", "list", "--columns", "name,stat"], "--columns: there is no column 'stat'; did you mean state?"),
        (["gw", "list", "--transport", "rset"], "there is no rset; did you mean rest?"),
        (["gw", "list", "--timeout", "0"], "expected a duration above 0"),
        (["gw", "list", "--ca", "nowhere.pem"], "tls.ca: nowhere.pem: No such file"),
        (["gw", "list", "--endpoint", "ftp://x"], "endpoint: expected https://<host>"),
        (["gw", "list", "--token", "CW-SECRET-x"], "no such option: --token; did you mean --token-file?"),
        (["gw", "create", "x", "--zone", "a"], "no such option: --zone; did you mean --zones?"),
        (["gw", "create", "x", "--core-weave-auth"], "missing one of --body-based-routing, --header-based-routing"),
        (["gw", "create", "--core-weave-auth", "--path-based-routing"], "missing argument 'NAME'"),
        (["gw", "create", "x", *GATEWAY, "--weights-and-biases-auth"], "auth: core_weave_auth and weights_and_bia"),
        (["gw", "create", "x", "--body-based-routing.api-type", "OPENAPI"], "no OPENAPI; did you mean OPENAI?"),
        (["gw", "create", "x", "--weights-and-biases-auth.api-key", "key"], "a secret is never written out"),
        (["gw", "create", "x", "-f", "/"], "/: Is a directory"),
        (["gw", "create", "x", "-f", "nowhere.yaml"], "nowhere.yaml: No such file"),
        (["dep", "create", "x", "--runtime.engine=vllm"], "missing --gateway-ids, --runtime.version, --resources.inst"),
        (["dep", "create", "x", "--weight", "1"], "did you mean --traffic.weight?"),
        (["dep", "create", "x", "--traffic.weight", "much"], "'much' is not a valid integer"),
        (["dep", "create", "x", "--runtime.engine-config", "seed"], "expected KEY=VALUE, got seed"),
        (["dep", "create", "x", "--disabled=maybe"], "expected true or false, got maybe"),
        (["dep", "modify", "x"], "nothing to change; use options such as --gateway-ids"),
        (["dep", "wait", "x", "--for", "1 week"], "expected a duration above 0, such as 90, 90s, 10m or 1h"),
        (["hl", "create", "--type", "full"], "missing argument 'DEPLOYMENT'"),
        (["completion", "tcsh"], "there is no tcsh; choose from bash, zsh, fish"),
    ],
)
def test_wrong_usage_is_2_and_says_what_was_meant(cli: CommandLine, arguments: list[str], text: str) -> None:
    ran = cli(*arguments)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert text in ran.err


def test_what_is_not_there_is_3(cli: CommandLine) -> None:
    cli.ok("gw", "create", "front", *GATEWAY)
    for command in (["get"], ["describe"], ["wait"], ["modify", "--zones", "a"], ["delete", "--yes"], ["watch"]):
        ran = cli("gw", *command, "frnt")
        assert (ran.code, ran.out) == (3, "")
        line, advice = ran.err.splitlines()
        assert line.endswith("no gateway has the name or id 'frnt'; did you mean front?")
        assert advice == "to see them all: cwinference gateways list"
    assert cli("dep", "list", "--gateway", "frnt").code == 3
    assert cli("gw", "get", "11111111-2222-4333-8444-555555555555").code == 3


def test_what_exists_is_named_also_where_a_file_has_the_name(cli: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "front.json"
    file.write_text('{"version": 1, "gateways": {"front": {"core_weave_auth": {}, "path_based_routing": {}}}}')
    cli.ok("gw", "create", "-f", file)
    ran = cli("gw", "create", "-f", file)
    assert (ran.code, ran.err.splitlines()[1:]) == (5, ["to see it: cwinference gateways get front"])


LABEL = "a name has 1 to 63 letters, digits and hyphens, and no hyphen at its ends"


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["gw", "create", "UPPER Case", *GATEWAY], [LABEL]),
        (["gw", "modify", "front", "--new-name", "-x"], [LABEL]),
        (["gw", "modify", "front", "--zones", "x"], ["to see what is allowed: cwinference gateways parameters"]),
        (["dep", "modify", "llama", "--traffic.weight", "2500"], []),
        (
            ["dep", "modify", "llama", "--runtime.engine", "x"],
            ["to see what is allowed: cwinference deployments param"],
        ),
    ],
)
def test_a_refused_value_has_advice_where_there_is_some(
    full: CommandLine, arguments: list[str], advice: list[str]
) -> None:
    ran = full(*arguments)
    assert ran.code == 1
    found = ran.err.splitlines()[1:]
    assert len(found) == len(advice)
    assert all(map(str.startswith, found, advice))


def test_advice_names_only_commands_that_exist(full: CommandLine, tmp_path: Path) -> None:
    ran = full("rollout", "start", "nope", "--replaces", "llama", "--journal", tmp_path / "j.json")
    assert (ran.code, ran.err.splitlines()[1:]) == (3, ["to see them all: cwinference deployments list"])
    failure = failure_of(errors.InvalidArgument("no"), "cwinference hot-loads create", ("hot-loads", "llama"))
    assert failure == (["cwinference hot-loads create: no [invalid_argument]"], 1)


def test_refused_credentials_are_4(cli: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("CW-SECRET-wrong")
    wrong = cli("gw", "list", "--token-file", tmp_path / "token")
    assert (wrong.code, wrong.err.splitlines()[1][:15]) == (4, "check the token")
    (tmp_path / "token").write_text(cli.emulator.viewer_token)
    viewer = cli("--token-file", tmp_path / "token", "gw", "create", "front", *GATEWAY)
    assert (viewer.code, "Inference Admin" in viewer.err.splitlines()[1]) == (4, True)
    monkeypatch.delenv("COREWEAVE_API_TOKEN")
    missing = cli("gw", "list")
    assert (missing.code, "use --token-file, or set COREWEAVE_API_TOKEN" in missing.err) == (4, True)


def test_a_conflict_is_5(cli: CommandLine) -> None:
    cli.ok("gw", "create", "front", *GATEWAY)
    ran = cli("gw", "create", "front", *GATEWAY)
    assert (ran.code, ran.err.splitlines()[1]) == (5, "to see it: cwinference gateways get front")


def test_time_over_is_6_and_says_how_to_go_on(cli: CommandLine) -> None:
    cli.emulator.faults.add("delay", method="ListGateways", seconds=3600)
    assert cli("gw", "list", "--timeout", "0.1").code == 6
    with Emulator(ready_after=3600) as slow:
        settings = ["--endpoint", slow.endpoint, "--timeout=10s"]
        created = cli("gw", "create", "front", *GATEWAY, "--wait=0.3", *settings)
        waited = cli("gw", "wait", "front", "--for", "0.1s", *settings)
        both = cli("gw", "wait", "front", "front", "--for", "0.1s", *settings)
        gone = cli("gw", "wait", "front", "--deleted", "--for", "0.1s", *settings)
        cli.ok("gw", "create", "back", *GATEWAY, *settings)
        modified = cli("gw", "modify", "front", "back", "--zones=US-EAST-04A", "--wait=0.3", *settings)
    for ran in (created, waited, both):
        assert (ran.code, ran.out) == (6, "")
        assert "front: CREATING (0 s)" in ran.err
    assert created.err.splitlines()[-1] == "to go on waiting: cwinference gateways wait front --for 0.3s"
    assert waited.err.splitlines()[-1] == "to go on waiting: cwinference gateways wait front --for 0.1s"
    assert (gone.code, "not gone after 0.1 s; Gateway front: CREATING" in gone.err) == (6, True)
    assert gone.err.splitlines()[-1] == "to go on waiting: cwinference gateways wait --deleted front --for 0.1s"
    assert (modified.code, modified.err.count("to go on waiting: ")) == (6, 2)
    assert "not ready after 0.001 s; " in modified.err  # the limit is one for all


def test_a_resource_that_has_failed_is_7_at_once(cli: CommandLine) -> None:
    cli.emulator.fates["front"] = Fate("FAILED", message="No \x1b]0;address\x07 left.")
    for ran in (cli("gw", "create", "front", *GATEWAY, "--wait"), cli("gw", "wait", "front", "--for=1h")):
        assert (ran.code, ran.out) == (7, "")
        assert "No \\x1b]0;address\\x07 left." in ran.err
        assert ran.err.splitlines()[-1] == "to see why: cwinference explain gateways front"
    cli.ok("gw", "create", "back", *GATEWAY, "--wait")
    both = cli("gw", "wait", "back", "front", "-o", "name")
    assert (both.code, both.out) == (7, "back\n")


def test_one_of_several_that_has_failed_ends_the_wait_for_all(cli: CommandLine) -> None:
    cli.emulator.fates.update(doom=Fate("FAILED"), slow=Fate("ERROR"))
    for name in ("fine", "slow", "doom"):
        cli.ok("gw", "create", name, *GATEWAY)
    cli.ok("gw", "wait", "fine")
    for words in (["fine", "slow", "doom"], ["doom", "slow", "fine"]):
        ran = cli("gw", "wait", *words, "--for=1h", "-o", "name")
        assert (ran.code, ran.out) == (7, "fine\n")
        assert "no longer waiting for slow; to go on: cwinference gateways wait slow --for 1h\n" in ran.err
    ran = cli("gw", "modify", "doom", "slow", "--zones=US-EAST-04A", "--wait=1h", "-o", "name")
    assert (ran.code, ran.out) == (7, "slow\n")
    assert "no longer waiting for slow" in ran.err


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["gw", "wait", "front", "--for=90m"], "cwinference gateways wait front --for 90m\n"),
        (["gw", "create", "back", *GATEWAY, "--wait"], "cwinference gateways wait back\n"),
        (["gw", "modify", "front", "--zones=US-EAST-04A", "--wait"], "cwinference gateways wait front\n"),
    ],
)
def test_ctrl_c_in_a_wait_is_130_and_says_how_to_go_on(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, arguments: list[str], command: str
) -> None:
    cli.ok("gw", "create", "front", *GATEWAY)

    def interrupt(self: WaitProgress, resource: object) -> None:
        self.latest["the-id"] = resource
        raise KeyboardInterrupt

    monkeypatch.setattr(WaitProgress, "__call__", interrupt)
    ran = cli(*arguments)
    assert (ran.code, ran.out) == (130, "")
    assert "the operation goes on\n" in ran.err
    assert f"to go on waiting: {command}" in ran.err


@pytest.mark.parametrize(
    "command", [["gw", "watch"], ["status", "--watch"], ["deployments", "watch", "--gateways", "front"]], ids=" ".join
)
def test_ctrl_c_in_a_watch_is_130(cli: CommandLine, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    def interrupt(self: object) -> None:
        raise KeyboardInterrupt

    cli.ok("gw", "create", "front", *GATEWAY, "--quiet", "-o", "name")
    monkeypatch.setattr("cwinference.following.Watch.__next__", interrupt)
    ran = cli(*command)
    assert (ran.code, ran.out) == (130, "")
    again = (
        " ".join(command).replace("gw", "gateways").replace("dep ", "deployments ").replace("--gateways", "--gateway")
    )
    assert ran.err == f"interrupted; to go on watching: cwinference {again}\n"


def test_ctrl_c_elsewhere_is_130_without_a_word(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(show, "context_for", interrupt)
    ran = cli("gw", "list")
    assert (ran.code, ran.out, ran.err) == (130, "", "")


@pytest.mark.parametrize("code", sorted(errors.CODES))
def test_every_error_of_the_api_has_a_code_and_no_advice_with_gaps(code: str) -> None:
    kind = errors.CODES[code]
    for subject in (("", ""), ("gateways", ""), ("gateways", "front")):
        failure = failure_of(kind("text"), "cwinference gateways get", subject)
        assert failure.code in (1, 3, 4, 5, 6)
        assert "{" not in "".join(failure.lines)
        assert "  " not in "".join(failure.lines)


def test_an_error_of_a_command_has_its_own_code_and_advice() -> None:
    failure = failure_of(CommandError("wrong", code=8, advice="try this"), "cwinference plan")
    assert failure == (["cwinference plan: wrong", "try this"], 8)


def test_a_declined_deletion_changes_nothing(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.ok("gw", "create", "front", *GATEWAY)
    monkeypatch.setattr("cwinference._cli.output.is_terminal", lambda stream: True)
    for answer, code in (("n\n", 1), ("", 1), ("yes\n", 0)):
        ran = cli("gw", "delete", "front", stdin=answer)
        assert ran.code == code
        assert ran.err.startswith("Delete gateway front? [y/N] ")
    assert main(["gw", "list"]) == 0


@pytest.mark.parametrize("arguments", [["gw", "get", "-"], ["gw", "create", "x", "-f", "-"], ["plan", "-"]])
@pytest.mark.usefixtures("cli")
def test_standard_input_that_is_closed_or_no_text_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    no_text = io.TextIOWrapper(io.BytesIO(b"\xff"), encoding="utf-8")
    for stream, text in ((no_text, "standard input is not utf-8 text"), (None, "standard input")):
        monkeypatch.setattr(sys, "stdin", stream)
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert (out, text in err, "unexpected" in err) == ("", True, False)

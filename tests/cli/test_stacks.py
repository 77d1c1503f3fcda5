"""The commands plan, apply and export."""

import io
import json
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from cwinference import Client
from cwinference._cli import stacks
from cwinference._cli.main import main
from cwinference.emulator import Emulator, Fate
from tests.support.specs import CLAIM, FRONT, LLAMA

STACK = """
version: 1
gateways:
  front: {zones: [US-EAST-04A], core_weave_auth: {}, body_based_routing: {api_type: OPENAI}}
deployments:
  llama:
    gateways: [front]
    runtime: {engine: dynamo-vllm, version: 0.22.0}
    resources: {instance_type: gd-8xh100ib-i128, gpu_count: 8}
    model: {name: org/llama, bucket: models, path: llama}
    autoscaling: {min: 1, max: 4}
"""
PLANNED = ["create gateway front", "create deployment llama"]


@pytest.fixture
def emulator() -> Generator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture(autouse=True)
def client(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Generator[Client]:
    monkeypatch.chdir(tmp_path)
    Path("stack.yaml").write_text(STACK)
    monkeypatch.setenv("COREWEAVE_API_TOKEN", emulator.token)
    monkeypatch.setenv("COREWEAVE_API_ENDPOINT", emulator.endpoint)
    with Client() as opened:
        yield opened


def names(client: Client) -> set[str]:
    found: list[Any] = [*client.gateways.list(), *client.deployments.list(), *client.capacity_claims.list()]
    return {each.spec.name for each in found}


def test_a_plan_is_made_approved_and_applied(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "stack.yaml", "--out", "plan.json", "--exit-code"]) == 8
    out, error = capsys.readouterr()
    assert [line[2:].partition(":")[0] for line in out.splitlines() if line.startswith("+ ")] == PLANNED
    assert (out.splitlines()[-1], error) == ("Plan: 2 to create.", "")
    assert Path("plan.json").stat().st_mode & 0o777 == 0o600
    assert names(client) == set()

    assert main(["apply", "--plan", "plan.json", "--yes", "--wait"]) == 0
    out, error = capsys.readouterr()
    ids = client.gateways.find("front").spec.id, client.deployments.find("llama").spec.id
    assert out.splitlines() == [f"{title} {each}" for title, each in zip(PLANNED, ids, strict=True)]
    assert "Plan: 2 to create." in error
    assert main(["plan", "stack.yaml", "--exit-code"]) == 0
    assert capsys.readouterr().out == "Everything is as the stack says.\n"

    assert main(["apply", "--plan", "plan.json", "--yes", "--quiet"]) == 5
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert "cwinference apply: the plan is out of date: deployment llama was created; gateway front was" in error


def test_without_exit_code_a_plan_with_changes_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "stack.yaml"]) == 0
    assert main(["plan", "stack.yaml", "-o", "json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out[out.index("{\n") :])["cwinference_plan"] == 1


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("json", lambda text: json.loads(text)),
        ("ndjson", lambda text: [json.loads(line) for line in text.splitlines()]),
    ],
)
def test_what_was_done_is_printed_as_data(
    client: Client, capsys: pytest.CaptureFixture[str], form: str, expected: Any
) -> None:
    assert main(["apply", "stack.yaml", "--yes", "-o", form]) == 0
    assert expected(capsys.readouterr().out) == [
        {"action": "create", "kind": "gateway", "name": "front", "id": client.gateways.find("front").spec.id},
        {"action": "create", "kind": "deployment", "name": "llama", "id": client.deployments.find("llama").spec.id},
    ]


def test_a_stack_comes_from_standard_input(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(STACK))
    assert main(["apply", "-"]) == 2
    assert names(client) == set()
    monkeypatch.setattr(sys, "stdin", io.StringIO(STACK))
    assert main(["apply", "-", "--yes", "--wait=1h"]) == 0
    assert names(client) == {"front", "llama"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "code", "there"), [("y\n", 0, True), ("\n", 1, False), ("no\n", 1, False)])
def test_it_asks_on_a_terminal(
    client: Client, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, there: bool
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys, "stderr", screen)
    assert main(["apply", "stack.yaml"]) == code
    assert screen.getvalue().partition("Plan: 2 to create.\n")[2].startswith("Apply (2 to create)? [y/N] ")
    assert bool(names(client)) is there


def test_without_a_terminal_it_needs_yes(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apply", "stack.yaml"]) == 2
    assert "use --yes" in capsys.readouterr().err
    assert names(client) == set()


def test_nothing_is_deleted_without_a_prefix(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    front = client.gateways.ensure("front", zones=["US-EAST-04A"], **FRONT)
    client.deployments.ensure("llama", gateway_ids=[front.spec.id], **LLAMA)
    client.capacity_claims.ensure("team-a-old", resources=CLAIM)
    assert main(["apply", "stack.yaml", "--yes"]) == 0
    assert capsys.readouterr() == ("", "Everything is as the stack says.\n")
    assert main(["apply", "stack.yaml", "--yes", "--prune", "team-a-", "--wait"]) == 0
    assert capsys.readouterr().out.startswith("delete capacity claim team-a-old ")
    assert names(client) == {"front", "llama"}


def test_what_would_be_replaced_needs_a_flag_and_is_not_even_asked_for(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["apply", "stack.yaml", "--yes", "--wait"]) == 0
    before = client.deployments.find("llama").spec.id
    Path("stack.yaml").write_text(f"{STACK}    hot_load: {{bucket: snapshots, transition_mode: ASYNC}}\n")
    capsys.readouterr()
    assert main(["plan", "stack.yaml"]) == 0
    assert capsys.readouterr().err == "apply deletes and creates anew only with --allow-replace\n"
    assert main(["apply", "stack.yaml"]) == 2
    error = capsys.readouterr().err
    assert "cannot change" in error
    assert "if that is meant, use --allow-replace" in error
    assert client.deployments.find("llama").spec.id == before
    assert main(["apply", "stack.yaml", "--yes", "--allow-replace", "--wait"]) == 0
    assert client.deployments.find("llama").spec.id != before


def test_a_plan_that_would_be_refused_says_so(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apply", "stack.yaml", "--yes"]) == 0
    Path("empty.yaml").write_text("version: 1\n")
    capsys.readouterr()
    assert main(["plan", "empty.yaml", "--prune", "front"]) == 0
    out, error = capsys.readouterr()
    assert "refused: it is in use by deployment llama" in out
    assert error == "apply refuses this plan\n"
    assert main(["apply", "empty.yaml", "--prune", "front", "--yes"]) == 2
    assert names(client) == {"front", "llama"}


def test_a_failure_in_the_middle_says_what_was_done_and_how_to_go_on(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("stack.yaml").write_text(STACK.replace("gpu_count: 8", "gpu_count: 3"))
    assert main(["apply", "stack.yaml", "--yes", "--quiet"]) == 1
    out, error = capsys.readouterr()
    assert out.startswith("create gateway front ")
    assert error.splitlines()[1] == (
        "Done: create gateway front. Not done: create deployment llama. To go on, correct the stack first."
    )
    Path("stack.yaml").write_text(STACK)
    assert main(["apply", "stack.yaml", "--yes", "--quiet"]) == 0
    assert names(client) == {"front", "llama"}


def test_a_secret_that_cannot_be_read_is_noted_by_plan_and_refused_before_apply_asks(
    client: Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UNSET", raising=False)
    secret = "weights_and_biases_auth: {api_key: {env: UNSET}}"
    Path("stack.yaml").write_text(STACK.replace("core_weave_auth: {}", secret))
    problem = "gateways.front.weights_and_biases_auth.api_key: env UNSET is not set, or empty\n"
    assert main(["plan", "stack.yaml"]) == 0
    assert capsys.readouterr().err == f"apply would be refused here: {problem}"
    assert main(["apply", "stack.yaml", "--yes"]) == 2
    assert capsys.readouterr().err.endswith(f"cwinference apply: {problem}")
    assert names(client) == set()


def test_the_error_for_a_token_without_the_role_names_the_one_it_needs(
    emulator: Emulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COREWEAVE_API_TOKEN", emulator.viewer_token)
    assert main(["apply", "stack.yaml", "--yes", "--quiet"]) == 4
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith("To go on, use a token with the role Inference Admin, plan again and apply.")
    )


def test_a_wait_reports_each_change_and_what_is_written_but_not_ready(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["apply", "stack.yaml", "--yes", "--wait"]) == 0
    reported = capsys.readouterr().err
    assert "front: READY (" in reported
    assert "llama: READY (" in reported
    emulator.fates["late"] = Fate("ERROR")
    Path("stack.yaml").write_text(STACK.replace("  front:", "  late:").replace("[front]", "[late]"))
    assert main(["apply", "stack.yaml", "--yes", "--wait=1s"]) == 6
    error = capsys.readouterr().err
    assert "not ready after 1 s" in error
    assert "Done: create gateway late (written, not READY yet). Not done: " in error


def test_ctrl_c_says_what_was_done_and_how_to_go_on(
    client: Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(run: Any, step: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stacks, "_report", interrupt)
    assert main(["apply", "stack.yaml", "--yes"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == (
        "Done: create gateway front. Not done: create deployment llama. To go on, plan again and apply."
    )
    assert main(["apply", "stack.yaml", "--yes", "--wait"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == (
        "what was written goes on; apply the same again with --wait to go on waiting"
    )


def test_what_exists_is_exported_and_planned_again(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apply", "stack.yaml", "--yes"]) == 0
    client.capacity_claims.ensure("prod", resources=CLAIM)
    capsys.readouterr()
    assert main(["export"]) == 0
    Path("exported.yaml").write_text(capsys.readouterr().out)
    assert main(["plan", "exported.yaml", "--exit-code"]) == 0
    capsys.readouterr()
    assert main(["export", "prod", "llama", "-o", "json"]) == 0
    exported = json.loads(capsys.readouterr().out)
    assert {*exported} == {"version", "capacity_claims", "deployments"}
    assert exported["deployments"]["llama"]["gateways"] == ["front"]
    assert main(["export", "other"]) == 3


@pytest.mark.parametrize(
    "arguments", [["deployments", "get", "llama"], ["gateways", "list"], ["claims", "get", "prod"]]
)
def test_what_resources_print_as_yaml_is_a_stack(
    client: Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    assert main(["apply", "stack.yaml", "--yes"]) == 0
    client.capacity_claims.ensure("prod", resources=CLAIM)
    capsys.readouterr()
    assert main([*arguments, "-o", "yaml"]) == 0
    printed = capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.StringIO(printed))
    assert main(["plan", "-", "--exit-code"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "missing.yaml"], "cwinference plan: missing.yaml: No such file or directory"),
        (
            ["plan", "bad.yaml"],
            'cwinference plan: bad.yaml: line 5: deployments.a.runtime.version: write "0.10" in quo',
        ),
        (["plan", "stack.yaml", "--prune", ""], "cwinference plan: prune must not be empty"),
        (["plan", "stack.yaml", "--out", "no/such"], "cwinference plan: --out: no/such: No such file or directory"),
        (["plan"], "cwinference plan: missing argument 'FILE'"),
        (["apply"], "cwinference apply: give one of FILE and --plan"),
        (["apply", "stack.yaml", "--plan", "plan.json"], "cwinference apply: give one of FILE and --plan"),
        (["apply", "--plan", "x", "--prune", "a"], "--prune and --secrets belong to plan: the file of --plan has them"),
        (["apply", "--plan", "missing.json"], "cwinference apply: missing.json: No such file or directory"),
        (["apply", "--plan", "stack.yaml", "--yes"], "cwinference apply: plan is not JSON"),
    ],
)
def test_a_mistake_is_reported_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    Path("bad.yaml").write_text("version: 1\ndeployments:\n  a:\n    runtime:\n      version: 0.10\n")
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_without_pyyaml_json_still_works(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("stack.json").write_text(json.dumps({"gateways": {"front": {"zones": ["US-EAST-04A"], **FRONT}}}))
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert main(["apply", "stack.json", "--yes"]) == 0
    assert main(["export", "-o", "json"]) == 0
    capsys.readouterr()
    assert main(["export"]) == 0
    assert {*json.loads(capsys.readouterr().out)["gateways"]} == {"front"}
    assert main(["plan", "stack.yaml"]) == main(["export", "-o", "yaml"]) == 2
    assert capsys.readouterr().err.count("pip install 'cwinference[cli]'") == 2
    assert names(client) == {"front"}

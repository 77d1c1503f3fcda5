"""`cwinference doctor` and `cwinference explain`, from the arguments to what is printed and the exit code."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cwinference import Client, types
from cwinference._cli.main import main
from cwinference.emulator import Emulator, Fate
from tests.support.specs import FRONT, LLAMA, llama


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    """Run an emulator with a healthy gateway, and a deployment that has failed."""
    with Emulator() as emulator:
        emulator.fates["llama"] = Fate(reason="EngineFailed", message="no replica came up")
        with Client(emulator.token, endpoint=emulator.endpoint, transport="rest") as client:
            gateway = client.gateways.create("front", zones=["US-EAST-04A"], **FRONT, wait=True)
            client.deployments.create(
                "llama",
                gateway_ids=[gateway.spec.id],
                **llama(
                    runtime={"engine": "vllm", "version": "0.99.0"},
                    resources={"instance_type": "b200-8x", "gpu_count": 8},
                ),
            )
        yield emulator


@pytest.fixture(autouse=True)
def settings(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment name the emulator and its token."""
    monkeypatch.setenv("COREWEAVE_API_TOKEN", emulator.token)
    monkeypatch.setenv("COREWEAVE_API_ENDPOINT", emulator.endpoint)


@pytest.mark.parametrize("arguments", [[], ["--transport", "grpc"], ["--quiet"], ["--names"]])
def test_doctor_prints_the_report(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *arguments]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "the token comes from COREWEAVE_API_TOKEN, and may read" in printed.out
    assert printed.out.splitlines()[-1].startswith("nothing is wrong; 19 calls, ")


def test_doctor_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "-o", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["exit_code"], report["calls"], report["transport"]) == (0, 19, "rest")


@pytest.mark.parametrize(
    ("drift", "code"),
    [("new_fields", 0), ("new_enum_values", 0), ("moved_numbers", 1), ("moved_numbers,new_fields", 1)],
)
def test_doctor_ends_with_the_code_of_the_worst_finding(
    drift: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds: Any = drift.split(",")
    with Emulator(drift=kinds) as drifting:
        monkeypatch.setenv("COREWEAVE_API_ENDPOINT", drifting.endpoint)
        assert main(["doctor"]) == code
    shown = capsys.readouterr().out
    assert ("has moved" in shown) is ("moved_numbers" in drift)


def test_doctor_ends_with_4_if_the_token_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COREWEAVE_API_TOKEN", "CW-SECRET-wrong")
    assert main(["doctor"]) == 4
    printed = capsys.readouterr()
    assert "the server refuses it" in printed.out
    assert "CW-SECRET-wrong" not in printed.out


@pytest.mark.parametrize(
    ("variable", "options", "text"),
    [
        (None, [], "there is no token: none was given; use --token-file, or set COREWEAVE_API_TOKEN or CW_API_TOKEN"),
        ("", [], "there is no token: none was given; use --token-file"),
        ("CW-SECRET- wrong", [], "there is no token: contains a line break, a space or"),
        (None, ["--token-file", "no-such-file"], "there is no token: token file no-such-file: No such file"),
    ],
)
def test_doctor_examines_what_it_can_without_a_token(
    variable: str | None,
    options: list[str],
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("CW_API_TOKEN", raising=False)
    monkeypatch.delenv("COREWEAVE_API_TOKEN")
    if variable is not None:
        monkeypatch.setenv("COREWEAVE_API_TOKEN", variable)

    assert main(["doctor", *options]) == 4

    printed = capsys.readouterr()
    assert printed.err == ""
    assert text in printed.out
    assert "CW-SECRET" not in printed.out
    assert "the route is direct" in printed.out
    assert printed.out.splitlines()[-1].startswith("1 error; 0 calls, ")


def test_doctor_ends_with_1_if_there_is_no_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--endpoint", "http://127.0.0.1:1", "--timeout", "5s"]) == 1
    assert "Connection refused" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["deployments", "deployment", "dep", "Deployments"])
def test_explain_names_what_was_read_and_the_commands_that_mend_it(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", kind, "llama"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Deployment llama: FAILED (last change ")
    assert [each.strip() for each in lines[lines.index("cause") + 1 :]] == [
        "reported  ResourcesApplied: EngineFailed: no replica came up",
        "likely    version 0.99.0 of vllm is not offered; offered are 0.8.5, 0.21.0, 0.22.0",
        "$ cwinference deployments modify llama --runtime.version 0.22.0",
        "likely    the instance type b200-8x is not offered in the zones of its gateways (US-EAST-04A); offered are "
        "gd-8xh100ib-i128, gd-8xh200ib-i128; it exists in US-EAST-08A",
        "$ cwinference deployments modify llama --resources.instance-type gd-8xh100ib-i128",
        "note      FAILED is final: it does not recover by itself; change what is wrong, or delete it and create it "
        "anew",
        "$ cwinference deployments delete llama",
    ]


def test_explain_takes_ids_and_prints_json(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    with Client(emulator.token, endpoint=emulator.endpoint) as client:
        gateway_id = client.gateways.find("front").spec.id
    assert main(["explain", "gw", gateway_id, "-o", "json"]) == 0
    explained = json.loads(capsys.readouterr().out)
    assert (explained["subject"], explained["state"], explained["well"]) == ("Gateway front", "READY", False)
    assert explained["causes"][0]["fact"].startswith("none of its deployments is READY: llama")


def test_explain_says_what_it_could_not_read(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    fault = emulator.faults.add("error", method="ListCapacityClaims", code="permission_denied", message="no role")
    try:
        assert main(["explain", "deployments", "llama"]) == 0
    finally:
        emulator.faults.remove(fault)
    assert "not read  claims: no role [permission_denied]" in capsys.readouterr().out


def test_explain_follows_a_hot_load_to_its_deployment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Emulator() as other, Client(other.token, endpoint=other.endpoint, transport="rest") as client:
        gateway = client.gateways.create(
            "front", zones=["US-EAST-04A"], core_weave_auth={}, path_based_routing={}, wait=True
        )
        deployment = client.deployments.create(
            "llama",
            gateway_ids=[gateway.spec.id],
            **LLAMA,
            hot_load={"bucket": "ours", "transition_mode": "ASYNC"},
            wait=True,
        )
        other.fates["step-1"] = Fate(message="checksum of shard 3 is wrong")
        hot_load = client.hot_loads.create(
            deployment.spec.id, identity="step-1", type=types.SnapshotType.SNAPSHOT_TYPE_FULL
        )
        monkeypatch.setenv("COREWEAVE_API_ENDPOINT", other.endpoint)
        assert main(["explain", "hl", hot_load.spec.id]) == 0
    shown = capsys.readouterr().out
    assert "checksum of shard 3 is wrong" in shown
    assert "FAILED is final" in shown


def test_explain_suggests_what_may_have_been_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "deploymnets", "llama"]) == 2
    assert main(["explain", "deployments", "lama"]) == 3
    assert main(["explain", "things", "llama"]) == 2
    first, second, *_, last = capsys.readouterr().err.splitlines()
    assert "did you mean deployments" in first
    assert "did you mean llama?" in second
    assert "choose from gateways, deployments, claims, hot-loads" in last


def test_explain_of_a_name_alone_names_the_command(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "llama"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "cwinference explain: missing the kind of resource",
        "to explain it: cwinference explain deployments llama",
    ]
    emulator.faults.add("error", method="ListCapacityClaims", code="permission_denied")
    for name in ("lama", "l\x1blama"):
        assert main(["explain", name]) == 2
        assert "expected KIND NAME, such as deployments llama, got only 'l" in capsys.readouterr().err
    assert main(["explain", "deployment"]) == 2
    assert "missing argument 'NAME'" in capsys.readouterr().err


def shown(command: str) -> list[str]:
    """Return what the page of a command shows of its output, without what differs from run to run."""
    page = Path(__file__).parents[2] / f"docs/how-to/{command.split()[1]}.md"
    text = page.read_text("utf-8")
    found = re.search(rf"^```console\n\$ {command}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return without_numbers(found[1])


def without_numbers(text: str) -> list[str]:
    """Return the lines of a text without times, ids, ports and versions of other packages."""
    text = re.sub(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b", "ID", text)
    return re.sub(r"\d+(\.\d+)*", "N", re.sub(r"Linux .*", "", text)).splitlines()


def test_its_page_shows_what_explain_prints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Emulator() as other, Client(other.token, endpoint=other.endpoint, transport="rest") as client:
        other.fates["llama"] = Fate(reason="EngineFailed", message="no replica came up")
        gateway = client.gateways.create(
            "front", zones=["US-EAST-04A"], core_weave_auth={}, path_based_routing={}, wait=True
        )
        client.deployments.create(
            "llama",
            gateway_ids=[gateway.spec.id],
            **llama(runtime={"engine": "vllm", "version": "0.99.0"}),
        )
        monkeypatch.setenv("COREWEAVE_API_ENDPOINT", other.endpoint)
        assert main(["explain", "deployments", "llama"]) == 0
    assert without_numbers(capsys.readouterr().out) == shown("cwinference explain deployments llama")


def test_its_page_shows_what_doctor_prints(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with Emulator(drift=["new_enum_values"]) as other:
        with Client(other.token, endpoint=other.endpoint) as client:
            client.gateways.create("front", core_weave_auth={}, path_based_routing={}, wait=True)
        monkeypatch.setenv("COREWEAVE_API_ENDPOINT", other.endpoint)
        assert main(["doctor"]) == 0
    assert without_numbers(capsys.readouterr().out) == shown("cwinference doctor")

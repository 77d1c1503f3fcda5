"""What the commands of resources do: create, modify, delete, list, by names and ids, by options and files."""

import json
from pathlib import Path

import pytest

from cwinference import State, types
from tests.support.commands import CommandLine
from tests.support.specs import CLAIM

LLAMA = """\
gateways: [front]
runtime: {engine: dynamo-vllm, version: 0.22.0}
resources: {instance_type: gd-8xh100ib-i128, gpu_count: 8}
model: {name: org/llama, bucket: models, path: llama}
autoscaling: {min: 1, max: 4}
"""
LLAMA_OPTIONS = [
    "--gateways=front", "--runtime.engine=dynamo-vllm", "--runtime.version=0.22.0", "--resources.gpu_count=8",
    "--resources.instance-type=gd-8xh100ib-i128", "--model.name=org/llama", "--model.bucket=models",
    "--model.path=llama", "--autoscaling.min=1", "--autoscaling.max=4",
]  # fmt: skip


def test_a_gateway_is_created_from_options(cli: CommandLine) -> None:
    cli.ok(
        *("gateways", "create", "front", "--core-weave-auth", "--body_based_routing.api_type", "openai"),
        *("--zones", "US-EAST-04A,US-WEST-04A", "--endpoint-configuration.additional_dns", "a.example.com"),
        *("--endpoint-configuration.allowed-source-ip-ranges=10.0.0.0/8", "--wait"),
    )
    with cli.client() as client:
        spec = client.gateways.find("front").spec
    assert [*spec.zones] == ["US-EAST-04A", "US-WEST-04A"]
    assert spec.HasField("core_weave_auth")
    assert spec.body_based_routing.api_type == types.BodyBasedRouting.API_TYPE_OPENAI
    assert [*spec.endpoint_configuration.additional_dns] == ["a.example.com"]
    assert [*spec.endpoint_configuration.allowed_source_ip_ranges] == ["10.0.0.0/8"]


def test_a_deployment_is_the_same_from_options_and_from_a_file(full: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "llama.yaml").write_text(LLAMA)
    more = ["--runtime.engine-config", "max-model-len=8192", "--runtime.engine-config", "seed=1", "--traffic.weight=5"]
    full.ok("dep", "create", "a", *LLAMA_OPTIONS, *more, "--autoscaling.capacity-classes=reserved,ON_DEMAND")
    full.ok(
        "dep", "create", "b", "-f", tmp_path / "llama.yaml", *more, "--autoscaling.capacity_classes=RESERVED,on-demand"
    )
    full.ok("dep", "create", "c", "-f", "-", *more, "--autoscaling.capacity_classes=RESERVED,on-demand", stdin=LLAMA)
    with full.client() as client:
        a, b, c = (client.deployments.find(name).spec for name in "abc")
    assert dict(a.runtime.engine_config) == {"max-model-len": "8192", "seed": "1"}
    for other in (b, c):
        other.id, other.name = a.id, a.name
        assert other == a


def test_modify_changes_what_is_named_and_nothing_else(full: CommandLine) -> None:
    with full.client() as client:
        before = client.deployments.find("llama").spec
        full.ok("dep", "modify", "llama", "llama-2", "--traffic.weight", "0", "--autoscaling.max=8", "--disabled=true")
        after = client.deployments.find("llama").spec
        assert client.deployments.find("llama-2").spec.disabled
        assert (after.traffic.weight, after.autoscaling.max, after.disabled) == (0, 8, True)
        after.traffic.weight, after.autoscaling.max, after.disabled = (
            before.traffic.weight,
            before.autoscaling.max,
            False,
        )
        assert after == before
        full.ok("dep", "modify", "llama", "--disabled=false", "--wait")
        full.ok("cc", "modify", "prod", "--resources.instance_count", "3", "--wait=1m")
        claim = client.capacity_claims.find("prod").spec.resources
        assert (claim.instance_count, [*claim.zones]) == (3, CLAIM["zones"])


def test_an_empty_value_empties_a_list_or_a_map(full: CommandLine) -> None:
    full.ok("gw", "modify", "front", "--zones", "US-EAST-04A")
    full.ok("gw", "modify", "front", "--zones", "")
    full.ok("dep", "modify", "llama", "--runtime.engine-config", "seed=1")
    full.ok("dep", "modify", "llama", "--runtime.engine_config=")
    full.ok("gw", "modify", "front", "--path-based-routing", "--new-name", "back")
    with full.client() as client:
        assert [*client.gateways.find("back").spec.zones] == []
        assert client.gateways.find("back").spec.HasField("path_based_routing")
        assert dict(client.deployments.find("llama").spec.runtime.engine_config) == {}


def test_a_file_and_the_options_next_to_it_modify_together(full: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "change.json").write_text(json.dumps({"autoscaling": {"max": 6}, "traffic": {"weight": 1}}))
    full.ok("dep", "modify", "llama", "-f", tmp_path / "change.json", "--traffic.weight=2")
    with full.client() as client:
        spec = client.deployments.find("llama").spec
    assert (spec.autoscaling.min, spec.autoscaling.max, spec.traffic.weight) == (1, 6, 2)


@pytest.mark.parametrize("command", ["gateways", "deployments", "claims"])
def test_what_get_prints_as_yaml_creates_the_same_again(full: CommandLine, tmp_path: Path, command: str) -> None:
    name = {"gateways": "front", "deployments": "llama", "claims": "prod"}[command]
    (tmp_path / "it.yaml").write_text(full.ok(command, "get", name, "-o", "yaml").out)
    full.ok(command, "create", "copy", "-f", tmp_path / "it.yaml")
    one, two = (full.ok(command, "get", each, "-o", "json").json["spec"] for each in (name, "copy"))
    assert {**two, "id": one["id"], "name": name} == one


def test_a_template_that_is_not_filled_in_is_refused_with_its_placeholder(full: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "llama.yaml"
    path.write_text(full.ok("dep", "create", "--template").out)
    ran = full("dep", "create", "llama-3", "-f", path)
    assert (ran.code, ran.err.splitlines()) == (
        2,
        [
            f"cwinference dep create: {path}: gateways: replace NAME, which --template has put there, by the name of a "
            "gateway",
            "to see them all: cwinference gateways list",
        ],
    )


@pytest.mark.parametrize("command", ["gateways", "deployments", "claims", "hot-loads"])
def test_a_template_names_all_that_is_required(cli: CommandLine, tmp_path: Path, command: str) -> None:
    for form in ("yaml", "json"):
        path = tmp_path / f"template.{form}"
        path.write_text(cli.ok(command, "create", "--template", "-o", form).out)
        ran = cli(command, "create", "x", "-f", path, "--dry-run")
        assert "there is no such field" not in ran.err
        assert "missing --" not in ran.err, ran.err


def test_a_dry_run_prints_the_request_and_sends_none(full: CommandLine) -> None:
    created = full.ok("gw", "create", "back", "--core-weave-auth", "--path-based-routing", "--dry-run").json
    assert created == {"name": "back", "coreWeaveAuth": {}, "pathBasedRouting": {}}
    changed = full.ok("dep", "modify", "llama", "--traffic.weight=1", "--dry-run").json
    assert (changed["traffic"], changed["model"]["bucket"], changed["autoscaling"]) == (
        {"weight": 1},
        "models",
        {"min": 1, "max": 4},
    )
    deleted = full.ok("dep", "delete", "llama", "llama-2", "--dry-run").json
    assert [each["id"] for each in deleted] == [each["spec"]["id"] for each in full.ok("dep", "list", "-o=json").json]
    with full.client() as client:
        assert [each.spec.traffic.weight for each in client.deployments.list()] == [75, 25]
        assert len(client.gateways.list()) == 1


def test_a_secret_is_named_and_never_shown(cli: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MY_KEY", "very-secret")
    (tmp_path / "key").write_text("very-secret\n")
    for reference in ("env:MY_KEY", f"file:{tmp_path}/key"):
        auth = [f"--weights-and-biases-auth.api-key={reference}", "--weights_and_biases_auth.enable_usage_reports"]
        ran = cli.ok("gw", "create", "x", *auth, "--path-based-routing", "--dry-run")
        assert ran.json["weightsAndBiasesAuth"] == {"apiKey": "***", "enableUsageReports": True}
    assert cli("gw", "create", "x", "--weights-and-biases-auth.api-key=env:NO_KEY", "--path-based-routing").code == 2


def test_resources_are_named_by_name_or_id_several_at_once_or_on_standard_input(full: CommandLine) -> None:
    ids = [each["spec"]["id"] for each in full.ok("dep", "list", "-o", "json").json]
    names = full.ok("dep", "list", "-o", "name").out
    assert names == "llama\nllama-2\n"
    for words, stdin in (
        ([ids[0], "llama-2"], ""),
        (["llama", ids[1].upper()], ""),
        (["-"], names),
        (["llama", "-"], names),
    ):
        found = full.ok("dep", "get", *words, "-o", "json", stdin=stdin).json
        assert [each["spec"]["id"] for each in found] == ids
    assert full.ok("dep", "get", "llama", "-o", "json").json["spec"]["id"] == ids[0]
    assert full("dep", "get", "-", stdin=" \n").code == 2


def test_a_name_that_is_the_id_of_another_is_ambiguous(full: CommandLine) -> None:
    with full.client() as client:
        front = client.gateways.find("front").spec
        client.gateways.create(front.id, spec=front)
    ran = full("gw", "get", front.id)
    assert ran.code == 2
    assert "is ambiguous: it is the id of one gateway and the name of another" in ran.err


def test_deleting_says_what_still_refers_to_it_and_needs_a_yes(full: CommandLine) -> None:
    refused = full("gw", "delete", "front")
    assert (refused.code, refused.out) == (2, "")
    assert "deployments that refer to front: llama, llama-2\n" in refused.err
    assert "use --yes" in refused.err
    in_use = full("gw", "delete", "front", "--yes")
    assert in_use.code == 5
    assert "to see its state: cwinference gateways describe front" in in_use.err
    dry_run = full.ok("gw", "delete", "front", "--dry-run")
    assert dry_run.err == "deployments that refer to front: llama, llama-2\n"
    waited = full.ok("dep", "delete", "llama", "llama-2", "--yes", "--wait")
    assert (waited.out, waited.err.count(": gone (")) == ("", 2)
    full.ok("gw", "delete", "front", "-y", "--wait=1m")
    assert full.ok("gw", "wait", "front", "--deleted").err == "front: is gone\n"
    with full.client() as client:
        assert [*client.gateways.list(), *client.deployments.list()] == []


def test_what_goes_wrong_with_one_resource_does_not_spare_the_others(full: CommandLine) -> None:
    full.ok("gw", "create", "alone", "--core-weave-auth", "--path-based-routing")
    ran = full("gw", "delete", "front", "alone", "--yes", "-o", "name")
    assert (ran.code, ran.out) == (5, "alone\n")
    full.emulator.faults.add("error", method="UpdateDeployment", nth=1, code="aborted")
    ran = full("dep", "modify", "llama", "llama-2", "--traffic.weight=3", "-o", "name")
    assert (ran.code, ran.out) == (5, "llama-2\n")
    assert ran.err.splitlines()[1] == "to see its state: cwinference deployments describe llama"


def test_lists_can_be_filtered(full: CommandLine) -> None:
    full.ok("gw", "create", "back", "--core-weave-auth", "--path-based-routing")
    assert full.ok("dep", "list", "--gateway", "front", "-o", "name").lines == ["llama", "llama-2"]
    assert full.ok("dep", "list", "--gateway", "back", "-o", "name").lines == []
    assert full.ok("dep", "list", "--gateways", "front", "-o", "name").lines == ["llama", "llama-2"]
    assert full.ok("dep", "modify", "llama", "--gateway", "back", "--dry-run").json["gatewayIds"] != []
    assert full.ok("gw", "list", "--updated-after", "1h", "-o", "name").lines == ["front", "back"]
    assert full.ok("gw", "list", "--updated-after", "2999-01-01T00:00:00Z", "-o", "json").json == []
    assert full("gw", "list", "--updated-after", "yesterday").code == 2


def test_parameters_are_shown(cli: CommandLine) -> None:
    assert "US-EAST-04A" in cli.ok("gw", "parameters").out
    assert "zone_instance_types[US-EAST-04A].instance_ids" in cli.ok("cc", "parameters").out
    assert "zoneInstanceTypes" in cli.ok("cc", "parameters", "-o", "json").json
    assert "vllm" in cli.ok("dep", "parameters", "-o", "yaml").out


def test_hot_loads_are_created_awaited_and_shown(cli: CommandLine) -> None:
    cli.ok("gw", "create", "front", "--core-weave-auth", "--path-based-routing", "--zones=US-EAST-04A", "--wait")
    hot = ["--hot-load.bucket=models", "--hot-load.transition-mode=async"]
    cli.ok("dep", "create", "llama", *LLAMA_OPTIONS, *hot, "--wait")
    created = cli.ok("hl", "create", "llama", "--identity=step-1", "--type=full", "--wait", "-o", "json")
    own_id = created.json["spec"]["id"]
    assert created.json["status"]["state"] == "HOT_LOAD_STATE_COMPLETED"
    assert "COMPLETED" in cli.ok("hl", "get", "step-1").out
    assert "step-1" in cli.ok("hl", "list", "--deployment", "llama").out
    assert cli.ok("hl", "list", "-o", "name").out == f"{own_id}\n"
    assert cli.ok("hl", "replicas", own_id).lines[0].split() == ["NAME", "STATE", "ZONE", "SNAPSHOT", "SINCE", "ERROR"]
    assert cli.ok("hl", "replicas", own_id, "-o", "json").json[0]["currentSnapshotIdentity"] == "step-1"
    for deployment in (["llama"], ["--deployment", "llama"], ["--deployment-id=llama"]):
        asked = cli.ok("hl", "create", *deployment, "--identity=s2", "--type=full", "--dry-run").json
        assert (asked["identity"], asked["deploymentId"]) == ("s2", created.json["spec"]["deploymentId"])
    assert cli("hl", "create", "llama", "--deployment=other", "--identity=s2", "--type=full").code == 2
    assert cli("hl", "cancel", own_id).code == 2
    assert cli("hl", "cancel", own_id, "--yes").code == 1  # the service does not offer it yet
    assert "deployment: llama" in cli.ok("hl", "describe", own_id).out


def test_state_of_what_was_awaited_is_the_last_object_on_standard_output(full: CommandLine) -> None:
    ran = full.ok("dep", "modify", "llama", "--traffic.weight=7", "--wait", "-o", "json")
    assert (ran.json["spec"]["traffic"], ran.json["status"]["status"]) == ({"weight": 7}, "STATUS_READY")
    assert ran.err.startswith("llama: ")
    with full.client() as client:
        assert State.of(client.deployments.find("llama")) is State.READY
    assert full.ok("--quiet", "dep", "wait", "llama", "llama-2", "-o=name").err == ""

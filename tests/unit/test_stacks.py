"""Stacks: what a file may say, what is refused by line and name, and what is shown of secrets."""

import copy
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cwinference import Plan, Stack, types
from cwinference.errors import ConfigurationError
from cwinference.stacks._entries import stack_document
from cwinference.stacks._files import fields_for, parse_document, read_document
from cwinference.stacks._plan import _digest
from cwinference.stacks._secret_references import SecretReference

WHOLE = """
# stack.yaml
version: 1
capacity_claims:
  prod: {resources: {instance_id: gd-8xh100ib-i128, instance_count: 2, capacity_type: MANAGED, zones: [US-EAST-04A]}}
gateways:
  front: {zones: [US-EAST-04A], coreWeaveAuth: {}, body_based_routing: {apiType: API_TYPE_OPENAI}}
  bees: {weights_and_biases_auth: {api_key: {env: WANDB_API_KEY}}, header_based_routing: {header_name: x-model}}
deployments:
  llama:
    gateways: [front]
    runtime: {engine: vllm, version: 0.22.0, engine_config: {max-model-len: "8192"}}
    resources: {instanceType: gd-8xh100ib-i128, gpu_count: 8}
    model: {name: org/llama, bucket: models, path: llama}
    autoscaling: {min: 1, max: 4, capacityClasses: [RESERVED, CAPACITY_CLASS_ON_DEMAND]}
    traffic: {weight: 100}
    disabled: no
"""


def parse(text: str) -> Stack:
    return Stack._of(parse_document(text, "stack.yaml"))


def deployment(fields: str) -> str:
    return "version: 1\ndeployments:\n  llama:\n" + "".join(f"    {line}\n" for line in fields.splitlines())


def gateway(fields: str) -> str:
    return f"version: 1\ngateways:\n  front: {fields}\n"


def test_a_stack_is_read_from_yaml_json_and_mappings(tmp_path: Path) -> None:
    stack = parse(WHOLE)
    assert stack.gateways["front"] == {
        "zones": ("US-EAST-04A",),
        "core_weave_auth": {},
        "body_based_routing": {"api_type": "OPENAI"},
    }
    assert stack.deployments["llama"]["autoscaling"]["capacity_classes"] == ("RESERVED", "ON_DEMAND")
    assert stack.deployments["llama"]["runtime"]["version"] == "0.22.0"
    assert stack.deployments["llama"]["disabled"] is False
    assert repr(stack) == "<Stack: 1 capacity_claims, 2 gateways, 1 deployments>"
    (tmp_path / "stack.yaml").write_text(WHOLE)
    (tmp_path / "stack.json").write_text(stack.to_json())
    (tmp_path / "other").write_text(stack.to_json())
    for other in (
        Stack.load(tmp_path / "stack.yaml"),
        Stack.load(str(tmp_path / "stack.json")),
        Stack.load(tmp_path / "other"),
        Stack.parse(stack.to_dict()),
        Stack.parse(json.loads(stack.to_json())),
        parse(stack.dump()),
        copy.deepcopy(stack),
        pickle.loads(pickle.dumps(stack)),  # noqa: S301
    ):
        assert other == stack
    assert stack != Stack.parse({})


def test_a_stack_cannot_be_changed_by_accident() -> None:
    stack = parse(WHOLE)
    fields: Any = stack.deployments["llama"]
    with pytest.raises(TypeError):
        fields["disabled"] = True
    with pytest.raises(TypeError):
        fields["runtime"]["engine"] = "other"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("runtime:\n  version: 0.10", 'line 5: deployments.llama.runtime.version: write "0.10" in quotes'),
        ("runtime: {version: 1}", 'line 4: deployments.llama.runtime.version: write "1" in quotes'),
        ("runtime: {version: 2024-01-01}", 'line 4: deployments.llama.runtime.version: write "2024-01-01" in quotes'),
        ("runtime: {engine: no}", 'line 4: deployments.llama.runtime.engine: write "no" in quotes'),
        ("model: {path: on}", 'line 4: deployments.llama.model.path: write "on" in quotes'),
        ("model: {path: 010}", 'line 4: deployments.llama.model.path: write "010" in quotes'),
        (
            "runtime:\n  engine_config:\n    max-model-len: 8192",
            "line 6: deployments.llama.runtime.engine_config['max-model-len']: write \"8192\" in quotes",
        ),
        (
            "runtime: {engine_env: {KEY: 12345}}",
            "line 4: deployments.llama.runtime.engine_env['KEY']: write it in quotes",
        ),
        ("runtime: {engine_env: {no: a}}", 'line 4: deployments.llama.runtime.engine_env: write "no" in quotes'),
        ("gateways: [on]", 'line 4: deployments.llama.gateways[0]: write "on" in quotes'),
        ("gateways: front", "line 4: deployments.llama.gateways: expected a list, got a string; write [front]"),
        ("gateways: []", "line 4: deployments.llama.gateways: expected at least one name"),
        ("gateways: [a, a]", "line 4: deployments.llama.gateways[1]: 'a' is there twice"),
        ("gateways: [a]\ngateway_ids: [b]", "line 3: deployments.llama: gateways and gateway_ids are the same"),
        ("model: {path: ~}", 'line 4: deployments.llama.model.path: has no value; write "" for an empty one'),
        ("model:", "line 4: deployments.llama.model: expected a mapping of fields, got nothing; write {} for an empty"),
        ("model: llama", "line 4: deployments.llama.model: expected a mapping of fields, got a string"),
        ("disabled: ~", "line 4: deployments.llama.disabled: has no value; write one, or leave the key out"),
        ("disabled: 0o1", "line 4: deployments.llama.disabled: expected true or false, got '0o1'"),
        ("disabled: 2024-01-01", "line 4: deployments.llama.disabled: expected true or false, got 2024-01-01"),
        ("autoscaling: {min: 010}", "line 4: deployments.llama.autoscaling.min: expected a number in plain digits"),
        (
            "autoscaling: {min: '3'}",
            "line 4: deployments.llama.autoscaling.min: expected a whole number, got '3'; write it w",
        ),
        (
            "autoscaling: {min: a few}",
            "line 4: deployments.llama.autoscaling.min: expected a whole number, got 'a few'",
        ),
        ("autoscaling: {min: 1.5}", "line 4: deployments.llama.autoscaling.min: expected a whole number, got 1.5"),
        ("traffic: {weight: -1}", "line 4: deployments.llama.traffic.weight: expected a whole number from 0 to"),
        ("disabled: 'no'", "line 4: deployments.llama.disabled: expected true or false, got 'no'"),
        (
            "autoscaling: {capacity_classes: [FAST]}",
            "capacity_classes[0]: there is no 'FAST'; use one of CAPACITY_CLASS",
        ),
        ("runtim: {}", "line 4: deployments.llama.runtim: there is no such field; did you mean 'runtime'?"),
        (
            "runtime: {enginConfig: {}}",
            "line 4: deployments.llama.runtime.enginConfig: there is no such field; did you",
        ),
        ("id: abc", "line 4: deployments.llama.id: must not be set here"),
        (
            "gatewayIds: [a]\ngateway_ids: [b]",
            "line 5: deployments.llama: gateway_ids and gatewayIds are the same field",
        ),
        ("hot_load: {bucket: a}\nhot_load: {bucket: b}", "line 5: deployments.llama.hot_load: the key is there twice"),
    ],
)
def test_what_is_wrong_in_a_file_is_refused_by_line_and_name(fields: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(deployment(fields))
    assert str(caught.value).startswith("stack.yaml: line ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gateway: {}", "line 1: gateway: there is no such section; did you mean 'gateways'?"),
        ("version: 2", "line 1: version: expected 1: this release of cwinference reads no other format"),
        ("version: '1'", "line 1: version: expected 1"),
        ("[]", "line 1: expected a mapping of capacity_claims, gateways, deployments"),
        ("gateways:", "line 1: gateways: expected a mapping of gateways by their names; write {} for none"),
        ("capacityClaims: {}\ncapacity_claims: {}", "line 2: capacity_claims: is the same as capacity_claims"),
        ("gateways:\n  on: {}", 'line 2: gateways: write "on" in quotes'),
        ("gateways: {a: {}, a: {}}", "line 1: gateways.a: the key is there twice"),
        ("gateways: {'': {}}", "line 1: gateways: name must not be empty"),
        ("gateways: {a: {zone: [x]}}", "line 1: gateways.a.zone: there is no such field; did you mean 'zones'?"),
        (
            gateway("{core_weave_auth: {}, weightsAndBiasesAuth: {}}"),
            "core_weave_auth and weights_and_biases_auth are mu",
        ),
        ('{"gateways": {\n"a": {"zones": [1]}}}', 'line 2: gateways.a.zones[0]: write "1" in quotes'),
        ('{"gateways": {\n"a": {}, "a": {}}}', "line 2: gateways.a: the key is there twice"),
    ],
)
def test_what_is_no_stack_is_refused_by_line_and_name(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"deployments": {"a": {"runtime": {"version": 0.1}}}},
            "deployments.a.runtime.version: expected a string, got",
        ),
        ({"deployments": {"a": {"runtime": {1: 2}}}}, "deployments.a.runtime: expected names of fields as keys, got 1"),
        ({"deployments": {1: {}}}, "deployments: name: expected a string, got int"),
        ({"gateways": {"a": {"zones": "x"}}}, "gateways.a.zones: expected a list, got a string; write [x]"),
        ([], "expected a mapping of capacity_claims, gateways, deployments"),
        ({3: 4}, "3: there is no such section"),
    ],
)
def test_what_is_wrong_in_a_mapping_is_refused_by_its_path(data: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Stack.parse(data)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "value", ["hunter2", "'hunter2'", "12345678", "0x12345678", "{hunter2}", "{env: ''}", "{var: hunter2}", "~"]
)
def test_a_secret_that_is_written_out_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(gateway(f"{{weights_and_biases_auth: {{api_key: {value}}}}}"))
    assert "stack.yaml: line 3: gateways.front.weights_and_biases_auth.api_key: a secret is never" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "12345678" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{fil: hunter2}", "api_key: there is no 'fil'; did you mean 'file'?"),
        ("{env: A, file: hunter2}", "api_key: env and file are both there; give one of them"),
    ],
)
def test_the_error_for_a_reference_that_is_none_says_why(value: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(gateway(f"{{weights_and_biases_auth: {{api_key: {value}}}}}"))
    assert str(caught.value).endswith(message)
    assert "hunter2" not in str(caught.value)


def test_a_pipe_is_not_read_by_a_check(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    SecretReference("file", str(pipe)).check("api_key")  # reading would wait for ever
    with pytest.raises(ConfigurationError, match=f"api_key: file {tmp_path}: Is a directory"):
        SecretReference("file", str(tmp_path)).check("api_key")


def test_a_secret_is_a_reference_wherever_a_stack_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "hunter2")
    stack = parse(WHOLE)
    key = stack.gateways["bees"]["weights_and_biases_auth"]["api_key"]
    assert key == SecretReference("env", "WANDB_API_KEY")
    assert key.read("api_key") == "hunter2"
    (tmp_path / "key").write_text("hunter2\n")
    assert SecretReference("file", str(tmp_path / "key")).read("api_key") == "hunter2"
    for shown in (
        stack.dump(),
        stack.to_json(),
        repr(stack),
        str(stack.to_dict()),
        repr(key),
        str(key),
        repr(stack.gateways),
    ):
        assert "hunter2" not in shown
    assert "api_key:\n        env: WANDB_API_KEY\n" in stack.dump()


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (SecretReference("env", "CWINFERENCE_NO_SUCH"), "env CWINFERENCE_NO_SUCH is not set, or empty"),
        (SecretReference("file", "/no/such"), "file /no/such: No such file or directory"),
        (SecretReference("file", "/dev/null"), "file /dev/null is empty"),
        (SecretReference("file", "a\0b"), "embedded null byte"),
        (SecretReference("file", "/dev/zero"), "larger than 1 MiB"),
    ],
)
def test_a_secret_that_is_missing_is_named(reference: SecretReference, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        reference.read("gateways.front.weights_and_biases_auth.api_key")
    assert str(caught.value).startswith("gateways.front.weights_and_biases_auth.api_key: ")
    assert message in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.yaml", "a\0b"):
        with pytest.raises(ConfigurationError):
            Stack.load(path)
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe4")
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        Stack.load(tmp_path / "latin.yaml")
    (tmp_path / "marked.yaml").write_bytes(b"\xef\xbb\xbfversion: 1\n")
    assert Stack.load(tmp_path / "marked.yaml") == Stack.parse({})
    with pytest.raises(ConfigurationError, match="path: expected the path of a file, got int"):
        Stack.load(3)  # type: ignore[arg-type]  # pyright: ignore


def test_a_spec_alone_and_a_stack_of_one_resource_are_the_same() -> None:
    fields = {"zones": ["US-EAST-04A"], "core_weave_auth": {}}
    assert fields_for(parse_document("zones: [US-EAST-04A]\ncoreWeaveAuth: {}"), "gateway") == (None, fields)
    stack = "gateways:\n  front:\n    zones: [US-EAST-04A]\n    core_weave_auth: {}\n"
    assert fields_for(parse_document(stack), "gateway") == ("front", fields)
    assert fields_for(parse_document("gateways: [front]"), "deployment") == (None, {"gateways": ["front"]})
    for text, kind in ((stack, "deployment"), ("gateways: {a: {}, b: {}}", "gateway"), ("gateways: {}", "gateway")):
        with pytest.raises(ConfigurationError, match="expected a stack with one"):
            fields_for(parse_document(text), kind)
    with pytest.raises(ConfigurationError, match="line 1: zone: there is no such field; did you mean 'zones'"):
        fields_for(parse_document("zone: [a]"), "gateway")


def test_the_fields_of_one_resource_have_their_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "hunter2")
    document = parse_document("weights_and_biases_auth: {api_key: {env: WANDB_API_KEY}}")
    assert fields_for(document, "gateway")[1] == {"weights_and_biases_auth": {"api_key": "hunter2"}}


def test_resources_become_a_stack_without_ids_status_and_secrets() -> None:
    front = types.Gateway(
        spec=types.GatewaySpec(
            id="3f0e6c0a-6f0b-4c5e-9a53-0f6f2f6f7a11",
            name="front",
            organization_id="cw1",
            weights_and_biases_auth=types.WeightsAndBiasesAuth(api_key="hunter2"),
            path_based_routing=types.PathBasedRouting(),
        ),
        status=types.GatewayStatus(status=types.Status.STATUS_READY),
    )
    llama = types.Deployment(
        spec=types.DeploymentSpec(
            name="llama",
            gateway_ids=[front.spec.id],
            runtime=types.DeploymentRuntime(engine="vllm", version="0.10", engine_config={"b": "2", "a": "1"}),
            autoscaling=types.DeploymentAutoscaling(
                min=1, max=4, capacity_classes=[types.DeploymentAutoscaling.CAPACITY_CLASS_RESERVED]
            ),
            traffic=types.DeploymentTraffic(),
        )
    )
    claim = types.CapacityClaim(
        spec=types.CapacityClaimSpec(name="prod", resources=types.CapacityClaimResources(capacity_type=7))  # type: ignore[arg-type]  # pyright: ignore
    )
    document = stack_document([llama, front, claim], {front.spec.id: "front"})
    assert document == {
        "version": 1,
        "capacity_claims": {"prod": {"resources": {"instance_count": 0, "capacity_type": 7}}},
        "gateways": {
            "front": {
                "weights_and_biases_auth": {"enable_usage_reports": False, "enable_rate_limiting": False},
                "path_based_routing": {},
            }
        },
        "deployments": {
            "llama": {
                "gateways": ["front"],
                "runtime": {"engine": "vllm", "version": "0.10", "engine_config": {"a": "1", "b": "2"}},
                "autoscaling": {"min": 1, "max": 4, "priority": 0, "capacity_classes": ["RESERVED"], "concurrency": 0},
                "traffic": {"weight": 0},
                "disabled": False,
            }
        },
    }
    assert parse(Stack.parse(document).dump()) == Stack.parse(document)
    assert stack_document([llama])["deployments"]["llama"]["gateway_ids"] == [front.spec.id]


def test_a_document_is_read_again_as_json_or_yaml(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{a: 1}")
    with pytest.raises(ConfigurationError, match=r"a.json: line 1: expected a key in double quotes"):
        read_document(tmp_path / "a.json")
    assert parse_document("{a: 1}").value == parse_document('{"a": 1}').value == {"a": 1}
    with pytest.raises(ConfigurationError, match="line 1: a: the key is there twice"):
        parse_document('{"a": 1, "a": 2}')


KEYS = st.sampled_from(
    [
        *("version", "gateways", "deployments", "capacity_claims", "a", "zones", "runtime", "engine_config", "min"),
        *("traffic", "weight", "autoscaling", "capacity_classes", "weights_and_biases_auth", "api_key", "env", "file"),
        *(
            "core_weave_auth",
            "hot_load",
            "transition_mode",
            "resources",
            "capacity_type",
            "disabled",
            "gateway_ids",
            "",
        ),
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["ASYNC", "MANAGED", "front"]),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(KEYS | st.integers(), inside, max_size=4),
    max_leaves=15,
)


@settings(deadline=None)
@given(st.dictionaries(KEYS, st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=4), max_size=2), max_size=3))
def test_whatever_a_mapping_has_it_is_a_stack_or_refused(data: Any) -> None:
    try:
        stack = Stack.parse(data)
    except ConfigurationError:
        return
    assert Stack.parse(stack.to_dict()) == stack
    assert Stack.parse(json.loads(stack.to_json())) == stack
    assert parse(stack.dump()) == stack


@settings(deadline=None)
@given(VALUES)
def test_whatever_a_file_has_it_is_a_plan_or_refused(data: Any) -> None:
    content = {"stack": {}, "prune": None, "secrets": False, "seen": data, "steps": data}
    for each in (content, content | {"stack": data, "seen": []}, {"steps": data}):
        text = json.dumps({"cwinference_plan": 1, "digest": _digest(json.loads(json.dumps(each))), **each})
        try:
            plan = Plan.from_json(text)
        except ConfigurationError:
            continue
        assert Plan.from_json(plan.to_json()) == plan
        assert str(plan)

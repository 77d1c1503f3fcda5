"""Notebooks and IPython show resources and what this library returns as tables, without markup of others or secrets."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cwinference
from cwinference import Change, Plan, Rollout, Stack, types
from cwinference._html import Table, html_of
from cwinference._notebook.messages import MOST, list_html, list_text, message_html, message_text
from cwinference._tables.columns import columns_of
from cwinference._tables.context import TableContext
from cwinference._tables.display import PlainDisplay
from cwinference.doctor import Finding, Report
from cwinference.following import View
from cwinference.following._table import KnownRecord
from cwinference.inference import Completion, Stats
from cwinference.inference._stats import EndpointStats, Percentiles
from cwinference.rollout import Step
from cwinference.stacks import FieldChange, PlanStep
from tests.support import samples
from tests.support.notebooks import new_shell, shown
from tests.support.rollouts import RolloutWorld

EVIL = "<script>alert('x')</script>\x1b[31m & $x$ \u202e"
SECRET = "canary-secret"
TOKEN = "CW-SECRET-canary"


def gateway(name: str = "front") -> types.Gateway:
    condition = types.Condition(
        type="Ready", status=types.Condition.STATUS_FALSE, reason="NoPods", message=f"{name}: 0 of 2; {TOKEN}"
    )
    return types.Gateway(
        spec=types.GatewaySpec(id="g-1", name=name, weights_and_biases_auth=types.WeightsAndBiasesAuth(api_key=SECRET)),
        status=types.GatewayStatus(status=types.Status.STATUS_READY, conditions=[condition]),
    )


def deployment(name: str = "llama") -> types.Deployment:
    runtime = types.DeploymentRuntime(engine="vllm", version="0.22.0", engine_env={name: SECRET})
    return types.Deployment(spec=types.DeploymentSpec(id="d-1", name=name, runtime=runtime))


def cells(html: str) -> list[list[str]]:
    """Return the cells of all rows, the captions left out."""
    return [
        re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)
        for row in re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    ]


@pytest.fixture(scope="module")
def plain_shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        shell = new_shell()
        yield shell
        shell.restore_sys_module_state()


@pytest.fixture
def shell(plain_shell: Any) -> Iterator[Any]:
    """A shell with the extension."""
    cwinference.load_ipython_extension(plain_shell)
    yield plain_shell
    cwinference.unload_ipython_extension(plain_shell)


def test_a_list_of_resources_has_the_columns_of_the_command_line() -> None:
    html = list_html([gateway(), gateway("back")])
    assert html is not None
    titles, front, back = cells(html)
    assert titles == [
        each.title for each in columns_of(types.Gateway, TableContext(PlainDisplay())) if not each.is_wide
    ]
    assert (front[:2], back[:2]) == (["front", "● READY"], ["back", "● READY"])
    assert "2 Gateways" in html
    assert (list_text([gateway()]) or "").splitlines()[1].split() == ["front", "READY", "all", "W&B"]


def test_a_long_list_shows_its_beginning_and_says_so() -> None:
    many = [gateway()] * (MOST + 1)
    html, text = list_html(many), list_text(many)
    assert html is not None
    assert text is not None
    assert len(cells(html)) == MOST + 1
    assert f"{MOST + 1} Gateways, the first {MOST} of them" in html
    assert text.endswith(f"{MOST + 1} Gateways, the first {MOST} of them")


@pytest.mark.parametrize(
    "values",
    [[], [1, 2], [gateway(), deployment()], [gateway(), None], [types.CoreWeaveAuth()]],
    ids=["empty", "numbers", "two kinds", "a gap", "no columns"],
)
def test_other_lists_are_left_to_others(values: list[Any]) -> None:
    assert (list_html(values), list_text(values)) == (None, None)


def test_a_resource_shows_what_the_command_line_does_and_its_conditions() -> None:
    html = message_html(gateway())
    rows = cells(html)
    assert ["NAME", "front"] in rows
    assert ["STATE", "● READY"] in rows
    assert ["Ready", "no", "", "NoPods", "front: 0 of 2; CW-SECRET-***"] in rows
    assert message_text(gateway()).splitlines()[0] == "Gateway front: READY"


def test_another_message_shows_all_that_is_set() -> None:
    rows = cells(message_html(deployment().spec))
    assert ["runtime.engine", "vllm"] in rows
    assert ["runtime.engine_env[llama]", "***"] in rows
    routing = types.GatewaySpec(body_based_routing={"api_type": "API_TYPE_OPENAI"}, core_weave_auth={})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert cells(message_html(routing)) == [
        ["core_weave_auth", "(empty)"],
        ["body_based_routing.api_type", "API_TYPE_OPENAI"],
    ]


@pytest.mark.parametrize("name", [*samples.names("request"), *samples.names("response")])
def test_every_message_of_the_api_can_be_shown(name: str) -> None:
    message = samples.request(name) if ".request" in name else samples.response(name)
    assert message_html(message).count("<table") == 1
    assert message_text(message).startswith(type(message).__name__)


def completion(text: str) -> Completion:
    choice = {"message": {"content": text}, "finish_reason": text}
    return Completion({"model": text, "choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 4}})


def stats(url: str) -> Stats:
    times = Percentiles(0.25, 0.5, 1.0)
    return Stats(1, 0, 7, 1, 0, 2, 900, {url: EndpointStats(1, 7, 1, True, times, times, 41.6)})


def plan(text: str) -> Plan:
    changes = (FieldChange("runtime.engine_env['A']", "***", "***"), FieldChange("autoscaling.max", 1, text))
    step = PlanStep("update", "deployment", text, "d-1", changes, text, refusal=text)
    return Plan(Stack.parse({"version": 1}), [step], [])


def report(text: str) -> Report:
    return Report(text, "grpc", [Finding("error", "wire", text, text)], 3, 0.5, "2026-01-01T00:00:00Z", {})


def step(text: str) -> Step:
    return Step(2, 3, 25, 1, 3, False, deployment(text), deployment("old"), "r")


def change(text: str) -> Change[types.Deployment]:
    return Change("deployment", "changed", deployment(text), types.Deployment())


def spec(text: str) -> types.DeploymentSpec:
    return deployment(text).spec


Make = Callable[[str], Any]
"""Makes something that has a text of a server in it."""
OWN: dict[str, Make] = {
    "completion": completion,
    "stats": stats,
    "plan": plan,
    "report": report,
    "step": step,
    "change": change,
}
SHOWN: dict[str, Make] = {"gateway": gateway, "deployment": deployment, "spec": spec, **OWN}


@pytest.mark.parametrize("name", SHOWN)
def test_markup_control_characters_and_mathematics_of_others_are_harmless(name: str, shell: Any) -> None:
    value = SHOWN[name](EVIL)
    for each in (value, [value]):
        bundle = shown(shell, each)
        if "text/html" in bundle:
            assert "<script" not in bundle["text/html"]
            assert bundle["text/html"].count("<table") == bundle["text/html"].count("mathjax_ignore")
        assert not re.search("[\x1b\u202e]", "".join(bundle.values()))
    assert "&lt;script&gt;" in shown(shell, value)["text/html"]


@pytest.mark.parametrize("name", SHOWN)
def test_secrets_are_not_shown(name: str, shell: Any) -> None:
    value = SHOWN[name](f"a {TOKEN}")
    for each in (value, value.spec if hasattr(value, "spec") else value, [value]):
        text = str(shown(shell, each).values())
        assert SECRET not in text
        assert TOKEN not in text


@pytest.mark.parametrize("name", OWN)
def test_what_the_library_returns_needs_no_extension(name: str, plain_shell: Any) -> None:
    value: Any = OWN[name]("a")
    bundle = shown(plain_shell, value)
    assert bundle["text/plain"] == str(value)
    assert bundle["text/html"].startswith("<table")
    assert shown(plain_shell, [value])["text/plain"].split() == f"[{value}]".split()


def test_their_tables_say_what_they_say() -> None:
    assert cells(html_of(completion("Hi")._as_tables())) == [
        ["text", "Hi"], ["finish reason", "Hi"], ["model", "Hi"], ["tokens", "3 + 4 = 7"]
    ]  # fmt: skip
    changes = "runtime.engine_env[&#x27;A&#x27;] (not shown)\nautoscaling.max: 1 -&gt; &quot;b&quot;"
    assert cells(html_of(plan("b")._as_tables()))[1] == ["update", "deployment", "b", changes, "b\nrefused: b"]
    assert cells(html_of(plan("b").steps[0]._as_tables()))[1][:3] == ["update", "deployment", "b"]
    assert cells(html_of(report("u")._as_tables()))[1] == ["error", "wire", "u", "u"]
    assert cells(html_of(step("new")._as_tables()))[1:] == [["new", "1"], ["old", "3"]]
    assert cells(html_of(change("llama")._as_tables())) == [["Deployment llama", "UNKNOWN, spec changed"]]
    assert str(Change("gateway", "synced")) == "gateway: synced"
    counts, numbers, _, endpoint = cells(html_of(stats("http://a")._as_tables()))
    assert dict(zip(counts, numbers, strict=True))["RETRIED"] == "2"
    assert endpoint[:5] == ["http://a", "1", "7", "1", "yes"]
    assert endpoint[-1] == "42"


def test_a_rollout_shows_what_its_journal_says(tmp_path: Path) -> None:
    world = RolloutWorld(tmp_path)
    rollout: Rollout[Any] = world.rollout()
    assert cells(html_of(rollout._as_tables())) == [["journal", rollout.journal]]
    rollout.run()
    rows = dict(cells(html_of(rollout._as_tables())))
    assert rows["phase"] == "promoted"
    assert (rows["new"], rows["old"]) == ("v2, formerly 0", "v1, formerly 100")


def test_a_list_inside_of_another_value_is_shown_as_text(shell: Any) -> None:
    text = shown(shell, {"a": gateway(), "b": [1]})["text/plain"]
    assert text.startswith("{'a': Gateway front: READY\n")
    assert text.endswith("'b': [1]}")


class Listing(list[int]):
    """A list that shows itself."""

    def _repr_html_(self) -> str:
        return "<b>mine</b>"


def test_lists_of_others_are_shown_as_before(shell: Any) -> None:
    assert shown(shell, [1, 2]) == {"text/plain": "[1, 2]"}
    assert shown(shell, (1,)) == {"text/plain": "(1,)"}
    assert shown(shell, Listing())["text/html"] == "<b>mine</b>"


def test_a_view_of_a_cache_is_a_table(shell: Any) -> None:
    records = {"g-1": KnownRecord(1, gateway().SerializeToString())}
    assert "1 Gateway" in shown(shell, View(types.Gateway, records, {}))["text/html"]
    assert "text/html" not in shown(shell, View(types.Gateway, {}, {}))


def test_the_extension_is_loaded_and_unloaded_by_ipython(plain_shell: Any) -> None:
    formatters = plain_shell.display_formatter.formatters

    def printers() -> list[dict[Any, Any]]:
        return [dict(formatters[kind].type_printers) for kind in ("text/html", "text/plain")]

    before = printers()
    plain_shell.run_line_magic("load_ext", "cwinference")
    cwinference.load_ipython_extension(plain_shell)  # twice is once
    plain_shell.user_ns["gateway"] = gateway()
    assert "text/html" in shown(plain_shell, plain_shell.run_cell("gateway").result)
    plain_shell.run_line_magic("unload_ext", "cwinference")
    assert printers() == before
    assert "text/html" not in shown(plain_shell, gateway())


def test_nothing_of_ipython_is_imported_without_it() -> None:
    program = "import sys; from cwinference import Client, load_ipython_extension; Client('t'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert not {"IPython", "html", "cwinference._notebook", "cwinference._tables"} & {*done.stdout.split()}


def test_half_of_a_surrogate_pair_can_be_stored_in_a_notebook() -> None:
    assert html_of([Table([["\ud800"]])]).encode()

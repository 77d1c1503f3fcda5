"""The reference is what the code says: tables are fresh, nothing public is missing, and what they claim is true."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cwinference
from cwinference import Client, Retry, errors
from cwinference._cli.parsing.options import settings_options
from cwinference._wire.methods import METHODS
from tests.support import samples
from tests.support.client_kinds import TOKEN
from tests.support.scripted_server import Failure, ScriptedServer
from tools.docs import calls, declarations, made, public_names, python_reference, settings, telemetry
from tools.docs import errors as error_tables
from tools.docs.message_names import documented

from .pages import PAGES

PYTHON = [page for name, page in PAGES.items() if name.startswith("docs/reference/python/")]
DOCUMENTED = [name for page in PYTHON for name in python_reference.names_on(page.text)]
WITH_TABLES = [name for name, page in PAGES.items() if "<!-- made: " in page.text]
MODULES = {"auth", "doctor", "errors", "gates", "types"}


@pytest.mark.parametrize("name", WITH_TABLES)
def test_the_tables_of_a_page_are_fresh(name: str) -> None:
    """If not: make reference."""
    assert made.made(PAGES[name].text) == PAGES[name].text


def test_the_dashboard_is_fresh() -> None:
    """If not: make reference."""
    assert made.DASHBOARD.read_text("utf-8") == telemetry.dashboard_text()


def test_every_table_that_can_be_made_is_on_a_page() -> None:
    texts = "\n".join(PAGES[name].text for name in WITH_TABLES)
    assert [name for name in made.TABLES if f"<!-- made: {name} -->" not in texts] == []


def public() -> Iterator[str]:
    """Yield all that can be imported from the public modules and is neither a module nor said twice."""
    yield from (name for name in cwinference.__all__ if name not in MODULES and not name.startswith("__"))
    for module in public_names.MODULES:
        for name in public_names.listed(module) if module not in ("", "types") else ():
            if name not in (*cwinference.__all__, "BY_NUMBER", "CODES"):
                yield f"{module}.{name}"
    yield from (f"types.{name}" for name in documented())


def test_everything_public_is_in_the_python_reference() -> None:
    assert sorted({*public()} - {*DOCUMENTED}) == []


def test_nothing_is_in_the_python_reference_twice() -> None:
    assert sorted({name for name in DOCUMENTED if DOCUMENTED.count(name) > 1}) == []


def test_the_table_of_settings_has_every_argument_of_a_client_and_only_real_options() -> None:
    rows = re.findall(
        r"^\| [^|]+ \| `([a-z]\w+)[^|]*\|([^|]*)\|", PAGES["docs/reference/settings.md"].text, re.MULTILINE
    )
    for_programs = {"clock", "on_call", "telemetry"}
    assert {argument for argument, _ in rows} == {*inspect.signature(Client).parameters} - for_programs
    options = {name for option in settings_options() for name in option.opts}
    assert {name for _, cell in rows for name in re.findall(r"`(--[\w-]+)`", cell)} <= options


def variables_read() -> set[str]:
    """The environment variables that the library reads: those of the lists, and those that are named in place."""
    folder = Path(cwinference.__file__).parent
    found = set[str]()
    for file in ("config.py", "_proxies.py"):
        for node in ast.walk(ast.parse((folder / file).read_text("utf-8"))):
            text = ast.unparse(node) if isinstance(node, ast.stmt | ast.expr) else ""
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith("_VARIABLES"):
                found |= set(ast.literal_eval(node.value))
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "os.environ.get":
                found |= {str(argument.value) for argument in node.args[:1] if isinstance(argument, ast.Constant)}
            elif isinstance(node, ast.Compare) and text.endswith(" in os.environ"):
                found.add(ast.literal_eval(node.left))
    return found


def test_the_table_of_environment_variables_has_all_that_are_read() -> None:
    assert {*settings.VARIABLES} == variables_read()


@pytest.mark.parametrize("rpc", sorted(method.name for method in METHODS.values()))
def test_the_table_of_calls_says_what_is_retried(rpc: str) -> None:
    kind = samples.BY_NAME[rpc]
    request = samples.request(f"{kind.service.rpartition('.')[2]}.{rpc}.request.json")
    arguments: dict[str, Any] = {field.name: value for field, value in request.ListFields()}
    arguments = {name: value for name, value in arguments.items() if name not in ("max_page_size", "page_token")}
    retry = Retry(max_attempts=2, initial_backoff=0)
    with (
        ScriptedServer("rest", lambda _: Failure("unavailable", "down")) as server,
        Client(TOKEN, endpoint=server.endpoint, transport="rest", retry=retry) as client,
    ):
        group, name = declarations.sender_of(kind)
        method: Any = getattr(getattr(client, group), name)
        with pytest.raises(errors.Unavailable):
            list(method(**arguments))  # hot-loads are read when they are iterated over
    assert len(server.received) == (1 if calls.is_sent_once(kind) else 2)


def test_every_error_has_advice() -> None:
    kinds = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.InferenceError)}
    abstract = {errors.InferenceError, errors.ApiError}
    assert {kind for kind in kinds - abstract if not kind.__name__.startswith("_")} == {*error_tables.ADVICE}


@pytest.mark.parametrize(
    ("page", "names"),
    [
        (
            "completions",
            "inference.Completion.attempts inference.Completion.weights inference.Usage.raw Inference.chat",
        ),
        (
            "streams",
            "inference.Chunk.text inference.Chunk.finish_reason inference.Stream.usage inference.Stream.weights",
        ),
        ("errors", "errors.ApiError.message errors.StreamStalled.partial_text errors.ApiError.code"),
        ("rollouts", "rollout.Step.percent"),
    ],
)
def test_attributes_have_entries_however_a_class_has_them(page: str, names: str) -> None:
    """Set by the constructor, inherited, or fields of a dataclass."""
    anchors = python_reference.anchors_on(PAGES[f"docs/reference/python/{page}.md"].text)
    assert {f"cwinference.{name}" for name in names.split()} <= anchors


def test_arguments_that_create_needs_look_needed() -> None:
    page = python_reference.expanded(PAGES["docs/reference/python/gateways.md"].text, python_reference.Plain())
    create = page.partition("create(")[2]
    assert create.startswith("name: str, *, id: str | None = None,")
    assert "Required, unless `spec` has them: `name`." in create.partition("####")[0]

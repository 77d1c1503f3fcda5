"""How the Python reference is made: signatures, docstrings, names; and how dead links of the site are found."""

import ast
from pathlib import Path

import pytest

from tools.docs import docstrings, links, llms, python_reference, signatures, site, tables
from tools.docs.public_names import SOURCE, find

ACROSS = SOURCE / "cwinference" / "_across_resources.py"


def signature_of(source: str) -> str:
    function = ast.parse(f"{source}: ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    return signatures.of_function(function, ACROSS, without_self=True)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(self, id: str) -> Flow[types.Gateway]", "(id: str) -> types.Gateway"),
        ("def f(self) -> 'Flow[Plan]'", "() -> Plan"),
        ("def f(self) -> Pages[types.HotLoad]", "() -> Iterator[types.HotLoad]"),
        ("def f(self) -> Following[types.Gateway]", "() -> following.Watch[types.Gateway]"),
        ("def f(self, *, retry: 'Retry | None' = UNSET) -> None", "(*, retry: Retry | None = ...) -> None"),
        ("def f(self, gate: Gate | None = None, **more: Any)", "(gate: rollout.Gate | None = None, **more: Any)"),
        ("def f(self, /, *, model: str)", "(*, model: str)"),
        ("def f(self) -> 'Rollout[Mode]'", "() -> Rollout"),
    ],
)
def test_a_signature_shows_what_users_give_and_get(source: str, expected: str) -> None:
    assert signature_of(source) == expected


def test_constants_in_signatures_are_shown_by_their_values() -> None:
    page = python_reference.expanded("```{api}\nClient\n```\n", python_reference.Plain())
    assert "max_reply_bytes: int = 67108864" in page
    assert "token: auth.TokenSource | None = None" in page


def test_sections_of_a_docstring_become_lists() -> None:
    docstring = "Do it.\n\nArgs:\n    a, b,\n    c: some\n        things.\n    d: one.\n\nRaises:\n    ValueError: no."
    assert docstrings.markdown(docstring) == (
        "Do it.\n\n**Arguments**\n\n- `a`, `b`, `c`: some\n  things.\n- `d`: one.\n\n**Raises**\n\n- `ValueError`: no."
    )


def test_what_is_indented_in_a_docstring_is_code() -> None:
    assert (
        docstrings.markdown("Like this:\n\n    with x:\n        y()")
        == "Like this:\n\n```python\nwith x:\n    y()\n```"
    )


def test_a_method_of_both_clients_is_there_once() -> None:
    page = python_reference.expanded("```{api}\nClient AsyncClient\n```\n", python_reference.Plain())
    assert page.count("#### Client.plan") == 1
    assert "### AsyncClient" in page
    assert "#### AsyncClient." not in page


def test_methods_can_be_linked_by_their_public_names() -> None:
    anchors = python_reference.anchors_on("```{api}\nresources.Gateways\nerrors.NotFound\n```\n")
    assert {"cwinference.resources.Gateways.wait_deleted", "cwinference.errors.NotFound"} <= anchors


def test_what_a_public_base_has_is_described_with_the_base() -> None:
    page = python_reference.expanded("```{api}\nerrors.StreamStalled\n```\n", python_reference.Plain())
    assert "Bases: `TimeoutError`, `errors.InferenceError`" in page
    page = python_reference.expanded("```{api}\nerrors.NotFound\n```\n", python_reference.Plain())
    assert "retryable" not in page


def test_messages_in_the_types_of_fields_are_links() -> None:
    page = python_reference.expanded("```{api}\ntypes.GatewaySpec\n```\n", python_reference.Site())
    assert "({py:class}`CoreWeaveAuth, oneof auth <types.CoreWeaveAuth>`)" in page


def test_a_name_that_does_not_exist_is_refused() -> None:
    with pytest.raises(LookupError, match=r"cwinference\.Clint: no such public name"):
        find("Clint")


def test_cells_of_tables_are_one_line() -> None:
    assert tables.table(["a"], [["x\n  y | z"]]).splitlines()[-1] == "| x y \\| z |"


def test_an_index_page_has_below_it_what_it_links_and_what_it_does_not() -> None:
    names = site.below("index", "[b](speed.md) [a](reference/index.md#x) [c](how-to/deploy.md) [d](missing.md)")
    assert names[:2] == ["speed", "reference/index"]
    assert {"contributing", "how-to/index"} <= {*names}
    assert {"missing", "how-to/deploy", "index"} & {*names} == set()


def test_links_of_an_included_file_start_in_its_new_folder() -> None:
    page = ["```{include} ../CONTRIBUTING.md\n```"]
    site.prepare(None, "contributing", page)
    assert page[0].startswith("# Contributing")
    assert "](docs/" not in page[0]
    assert "](SECURITY.md" not in page[0]


@pytest.mark.parametrize(
    ("element", "problem"),
    [
        ('<a href="b.html">', ""),
        ('<a href="b.html#there">', ""),
        ('<a href="https://example.com">', ""),
        ('<a href="b.html#gone">', "a.html: <a> leads nowhere: b.html#gone"),
        ('<a href="c.html">', "a.html: <a> leads nowhere: c.html"),
        ('<img src="c.png">', "a.html: <img> leads nowhere: c.png"),
        (
            '<script src="https://example.com/x.js">',
            "a.html: <script> is loaded from elsewhere: https://example.com/x.js",
        ),
        ('<link href="//example.com/x.css">', "a.html: <link> is loaded from elsewhere: //example.com/x.css"),
    ],
)
def test_dead_links_and_what_comes_from_elsewhere_are_found(tmp_path: Path, element: str, problem: str) -> None:
    (tmp_path / "a.html").write_text(element)
    (tmp_path / "b.html").write_text('<h1 id="there">')
    assert "".join(links.problems(tmp_path)) == problem


def test_the_single_file_has_every_page_of_the_site() -> None:
    names = [name for name, _ in llms.pages()]
    existing = {str(path.relative_to(site.DOCS))[:-3] for path in site.DOCS.rglob("*.md")}
    assert sorted(names) == sorted(existing)
    assert not [name for name, text in llms.pages() if "```{" in text]


class SiteWithRelativeLinks:
    builder: "SiteWithRelativeLinks"

    def __init__(self) -> None:
        self.builder = self

    def get_relative_uri(self, from_: str, to: str) -> str:
        return f"../{to}.html"

    def connect(self, event: str, callback: object, priority: int = 500) -> int:
        raise NotImplementedError


@pytest.mark.parametrize("page", ["index", "how-to/install"])
def test_the_sidebar_has_the_groups_of_the_guides(page: str) -> None:
    current, link = (" current current-page", "#") if page == "how-to/install" else ("", "../how-to/install.html")
    entry = f'<li class="toctree-l2{current}"><a class="reference internal" href="{link}">Install</a></li>'
    context: dict[str, object] = {"furo_navigation_tree": f"<ul>{entry}</ul>"}
    site.group_guides(SiteWithRelativeLinks(), page, "page.html", context, None)
    assert context["furo_navigation_tree"] == f'<ul><li class="group">Connect</li>{entry}</ul>'


def test_an_index_has_pages_in_the_order_of_its_lists_and_then_of_its_sentences() -> None:
    names = site.below("index", "See [a](glossary.md).\n\n| [b](speed.md) |\n- [c](security.md)\n")
    assert names[:3] == ["speed", "security", "glossary"]

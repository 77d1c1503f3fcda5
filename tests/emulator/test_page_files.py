"""The emulator's page as it is served: its files, their headers, and who gets them. `tests/browser` uses it."""

import re
from importlib import resources
from typing import Any, get_args

import pytest

from cwinference._wire.methods import METHODS
from cwinference.emulator import Emulator
from cwinference.emulator.faults.options import DEFAULTS, FaultKind
from cwinference.emulator.page.app import FILES, page_url
from cwinference.emulator.protocols.codecs import HTTP_STATUS
from tests.support.admin_requests import admin, raw_request
from tests.support.emulated_protocols import HttpResponse

TYPES = {
    "/": "text/html; charset=utf-8",
    "/_emulator/page.css": "text/css; charset=utf-8",
    "/_emulator/page.js": "text/javascript; charset=utf-8",
}
FOLDER = resources.files("cwinference.emulator.page")
HTML, CSS, SCRIPT = (FOLDER.joinpath(name).read_text("utf-8") for name, _ in FILES.values())


def get(emulator: Emulator, path: str = "/", verb: str = "GET", **headers: str) -> HttpResponse:
    return raw_request(emulator, verb, path, None, headers)


@pytest.mark.parametrize("path", TYPES)
def test_each_file_is_served_to_whoever_asks_with_headers_that_let_nothing_else_in(path: str) -> None:
    with Emulator() as emulator:
        response = get(emulator, path)
        assert (response.status, response.headers["content-type"]) == (200, TYPES[path])
        policy = dict(each.split(" ", 1) for each in response.headers["content-security-policy"].split("; "))
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "connect-src": "'self'",
            "img-src": "data:",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
            "require-trusted-types-for": "'script'",
            "trusted-types": "'none'",
        }
        expected = {
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
            "referrer-policy": "no-referrer",
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "cache-control": "no-cache",
        }
        assert expected.items() <= response.headers.items()
        head = get(emulator, path, "HEAD")
        assert (head.status, head.body) == (200, b"")
        assert {**head.headers, "date": ""} == {**response.headers, "date": ""}
        assert emulator.token.encode() not in response.body


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", 200),
        ("*/*", 200),
        ("TEXT/HTML; charset=utf-8", 200),
        ("application/json", 404),
        ("", 404),
    ],
)
def test_the_page_is_for_those_that_take_html(accept: str, status: int) -> None:
    with Emulator() as emulator:
        assert get(emulator, accept=accept).status == status


@pytest.mark.parametrize(("verb", "path"), [("POST", "/"), ("PUT", "/"), ("OPTIONS", "/"), ("GET", "/favicon.ico")])
def test_all_else_is_as_it_was(verb: str, path: str) -> None:
    with Emulator() as emulator:
        response = get(emulator, path, verb)
        assert (response.status, response.headers["content-type"]) == (404, "text/plain; charset=utf-8")
        assert get(emulator, "/_emulator/page.css", "POST").status in (401, 404)


def test_neither_other_hosts_nor_other_origins_get_it() -> None:
    with Emulator() as emulator:
        for path in TYPES:
            assert get(emulator, path, host="evil.example").status == 403
            assert get(emulator, path, origin="https://evil.example").status == 403


@pytest.mark.parametrize("settings", [{"host": "0.0.0.0"}, {"public_url": "http://emulator.example"}])  # noqa: S104
def test_beyond_loopback_it_is_there_only_where_the_admin_routes_are(settings: Any) -> None:
    with Emulator(**settings) as emulator:
        assert emulator.page_url is None
        for path in TYPES:
            response = get(emulator, path)
            assert (response.status, b"--admin" in response.body) == (404, True)
    with Emulator(**settings, admin=True) as emulator:
        assert [get(emulator, path).status for path in TYPES] == [200, 200, 200]
    with Emulator(admin=False) as emulator:
        assert get(emulator).status == 404


def test_it_leaves_no_trace_in_the_log_and_no_fault_happens_to_it() -> None:
    with Emulator() as emulator:
        emulator.faults.add("error")
        assert get(emulator).status == 200
        assert admin(emulator, "GET", "requests").json == {"requests": []}


def test_its_url_has_the_token_in_the_fragment() -> None:
    with Emulator() as emulator:
        assert emulator.page_url == f"{emulator.endpoint}/#token=CW-SECRET-emulator-admin"
    with Emulator(token="a+/=b", public_url="https://emulator.example/below/", admin=True) as emulator:
        assert emulator.page_url == "https://emulator.example/below/#token=a%2B%2F%3Db"
    assert page_url("http://localhost:1", "x") == "http://localhost:1/#token=x"
    with pytest.raises(RuntimeError, match="not running"):
        assert Emulator().page_url


def test_it_refers_to_nothing_but_its_own_files_and_has_nothing_inline() -> None:
    assert re.findall(r'(?:src|href)="(?!#|data:)([^"]*)"', HTML) == ["_emulator/page.css", "_emulator/page.js"]
    assert not re.search(r"<style|<script(?! src)|\son\w+=|\sstyle=", HTML)
    assert not re.search(r"url\(|@import", CSS)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|localStorage|https?://(?!www\.w3\.org/2000/svg)",
        SCRIPT,
    )


def options(name: str) -> list[str]:
    """Return the values of a select."""
    inside = HTML.partition(f'<select id="{name}">')[2].partition("</select>")[0]
    return [value or text for value, text in re.findall(r'<option(?: value="(\w+)")?>([^<]*)', inside)]


def test_it_offers_every_kind_of_fault_every_code_and_every_method() -> None:
    assert options("fault-kind") == list(get_args(FaultKind))
    assert set(options("fault-code")) == set(HTTP_STATUS)
    seconds = re.findall(r'data-for="([^"]*)"><label for="fault-seconds"', HTML)[0].split()
    assert seconds == [kind for kind, known in DEFAULTS.items() if "seconds" in known and kind != "cut"]
    for method in METHODS.values():
        kind = re.sub(r"^(List|Get|Create|Update|Delete|Cancel)|Parameters$", "", method.name).removesuffix("s")
        assert re.search(rf'"{kind}"|"{method.name}"', SCRIPT), method.name


def test_every_field_has_a_label_and_every_id_is_there_once() -> None:
    ids = re.findall(r'\sid="([^"]+)"', HTML)
    assert len(ids) == len(set(ids))
    labels = set(re.findall(r'<label[^>]* for="([^"]+)"', HTML))
    fields = re.findall(r'<(?:input|select|textarea)[^>]* id="([^"]+)"', HTML)
    assert set(fields) - labels == {"reset-seed"}, "that one is inside of its label"
    assert set(re.findall(r'\$\("([\w-]+)"\)', SCRIPT)) <= set(ids)
    dialogs = {name for name in ids if name.endswith("-dialog")}
    assert {f"{each}-dialog" for each in re.findall(r'openDialog\("(\w+)"', SCRIPT)} == dialogs

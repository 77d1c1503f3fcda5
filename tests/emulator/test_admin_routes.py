"""The admin routes: what tests in any language can do with a running emulator, and who may."""

import json
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest

from cwinference import Client, errors, types
from cwinference.emulator import Emulator, EmulatorClock, Fate
from cwinference.emulator.admin import app
from cwinference.emulator.admin.controls import Controls
from cwinference.emulator.api.emulated_api import EmulatedApi
from tests.support.admin_requests import admin, raw_request
from tests.support.json_schemas import mistakes
from tests.support.specs import LLAMA

OPENAPI: Any = json.loads(resources.files("cwinference.emulator.admin").joinpath("openapi.json").read_text("utf-8"))
OPERATIONS = [
    (verb.upper(), path.removeprefix("/_emulator/")) for path, item in OPENAPI["paths"].items() for verb in item
]
PROTECTED = [each for each in OPERATIONS if each[1] not in ("health", "ready")]
WITH_BODY = [
    (verb, path) for verb, path in OPERATIONS if "requestBody" in OPENAPI["paths"][f"/_emulator/{path}"][verb.lower()]
]
FAULT = {"kind": "error", "method": "CreateGateway", "nth": 1, "code": "internal"}


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(ready_after=60, clock=EmulatorClock(running=False)) as running:
        yield running


@pytest.fixture(scope="module")
def calm() -> Iterator[Emulator]:
    """An emulator that no test changes."""
    with Emulator() as running:
        yield running


def create(emulator: Emulator, name: str = "front") -> str:
    with Client(emulator.token, endpoint=emulator.endpoint, transport="rest") as client:
        return client.gateways.create(name, core_weave_auth={}, path_based_routing={}).spec.id


def state_of(emulator: Emulator, id: str) -> int:
    with Client(emulator.token, endpoint=emulator.endpoint, transport="connect") as client:
        return client.gateways.get(id).status.status


def concrete(path: str) -> str:
    return path.replace("{id}", "1").replace("{name}", "front")


def test_the_document_has_every_route_and_no_other() -> None:
    assert sorted(OPERATIONS) == sorted((route.verb, route.template) for route in app.ROUTES)


def test_the_document_names_every_parameter_of_a_path() -> None:
    for path, item in OPENAPI["paths"].items():
        for operation in item.values():
            named = {each["name"] for each in operation.get("parameters", []) if each["in"] == "path"}
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}


PROVOKED: dict[tuple[str, str], dict[int, Any]] = {
    ("GET", "health"): {200: ...},
    ("GET", "ready"): {200: ...},
    ("GET", "openapi.json"): {200: ...},
    ("POST", "reset"): {200: {"keep_seed": True}, 400: {"keep_seed": 1}},
    ("GET", "state"): {200: ...},
    ("PUT", "state"): {200: {"resources": []}, 400: {"resources": {}}},
    ("GET", "faults"): {200: ...},
    ("POST", "faults"): {201: FAULT, 400: {"kind": "error", "method": "Nothing"}},
    ("DELETE", "faults"): {204: ...},
    ("DELETE", "faults/{id}"): {204: ...},
    ("GET", "fates"): {200: ...},
    ("PUT", "fates/{name}"): {200: {"status": "ERROR"}, 400: {"status": "BROKEN"}},
    ("GET", "clock"): {200: ...},
    ("POST", "clock"): {200: {"advance": 1}, 400: {"advance": -1}},
    ("GET", "requests"): {200: ...},
}
"""The body that leads to a status; `...`: none."""
ELSEWHERE = {401, 403, 404, 413, 503, 409}
"""Statuses that tests of their own provoke."""


@pytest.mark.parametrize(("verb", "path"), OPERATIONS)
def test_every_route_responds_as_the_document_says(emulator: Emulator, verb: str, path: str) -> None:
    emulator.faults.add("delay", seconds=0)
    documented = OPENAPI["paths"][f"/_emulator/{path}"][verb.lower()]["responses"]
    provoked = PROVOKED[verb, path]
    statuses = {int(status) for status in documented} - ELSEWHERE - ({400} if path == "requests" else set())
    assert statuses == provoked.keys()
    for status, body in sorted(provoked.items(), reverse=True):
        response = admin(emulator, verb, concrete(path), body)
        assert (response.status, status in statuses) == (status, True), response.body
        assert_documented(response, documented[str(status)])


def assert_documented(response: Any, documented: Any) -> None:
    if "$ref" in documented:
        documented = OPENAPI["components"]["responses"][documented["$ref"].rpartition("/")[2]]
    content = documented.get("content")
    if content is None:
        assert response.body == b""
    else:
        schema = content[response.headers["content-type"].partition(";")[0]]["schema"]
        assert mistakes(response.json, schema, OPENAPI) == []


@pytest.mark.parametrize(("verb", "path"), PROTECTED)
def test_a_route_needs_the_admin_token(calm: Emulator, verb: str, path: str) -> None:
    documented = OPENAPI["paths"][f"/_emulator/{path}"][verb.lower()]["responses"]
    for token, status in ((None, 401), ("wrong", 401), (calm.viewer_token, 403)):
        response = admin(calm, verb, concrete(path), b"{}", token=token)
        assert response.status == status
        assert_documented(response, documented[str(status)])


@pytest.mark.parametrize("settings", [{"host": "0.0.0.0"}, {"public_url": "https://models.example.com"}])  # noqa: S104
def test_beyond_the_loopback_interface_only_health_and_ready_are_there(settings: Any) -> None:
    with Emulator(**settings) as emulator:
        for verb, path in PROTECTED:
            response = admin(emulator, verb, concrete(path), b"{}")
            assert response.status == 404
            assert "--admin" in response.json["message"]
            assert_documented(response, OPENAPI["paths"][f"/_emulator/{path}"][verb.lower()]["responses"]["404"])
        assert [admin(emulator, "GET", each, token=None).status for each in ("health", "ready")] == [200, 200]


def test_the_routes_can_be_switched_on_beyond_loopback_and_off_on_it() -> None:
    with Emulator(host="0.0.0.0", admin=True) as emulator:  # noqa: S104
        assert admin(emulator, "GET", "state").status == 200
        assert admin(emulator, "GET", "state", token=None).status == 401
    with Emulator(admin=False) as emulator:
        assert admin(emulator, "GET", "state").status == 404


@pytest.mark.parametrize(("verb", "path"), OPERATIONS)
def test_a_foreign_page_and_a_rebound_name_cannot_drive_it(calm: Emulator, verb: str, path: str) -> None:
    for foreign in ({"origin": "https://evil.example"}, {"host": "evil.example"}):
        response = admin(calm, verb, concrete(path), **foreign)
        assert (response.status, response.headers["content-type"]) == (403, "text/plain; charset=utf-8")
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(("verb", "path"), WITH_BODY)
def test_a_body_that_is_too_large_is_refused(
    calm: Emulator, monkeypatch: pytest.MonkeyPatch, verb: str, path: str
) -> None:
    monkeypatch.setattr(app, "MAX_BODY_BYTES", 10)
    assert admin(calm, verb, concrete(path), b" " * 11).status == 413


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b'{"a":NaN}', b'"\xff"', b'{"a":"\\ud800"}', b"[" * 100_000])
@pytest.mark.parametrize("route", ["PUT state", "POST faults", "POST clock"])
def test_a_body_that_is_no_json_object_is_refused(calm: Emulator, route: str, body: bytes) -> None:
    verb, path = route.split()
    response = admin(calm, verb, path, body)
    assert (response.status, response.json["code"]) == (400, "invalid_argument")


def test_other_verbs_and_paths_are_refused_in_json(calm: Emulator) -> None:
    wrong_verb, unknown = admin(calm, "PATCH", "clock"), admin(calm, "GET", "nothing")
    assert (wrong_verb.status, wrong_verb.headers["allow"]) == (405, "GET, POST")
    assert (unknown.status, unknown.json["code"]) == (404, "not_found")
    got, head = admin(calm, "GET", "health", token=None), admin(calm, "HEAD", "health", token=None)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"] == str(len(got.body))


def test_a_failure_of_the_emulator_itself_is_an_error_in_json(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(EmulatedApi, "snapshot", lambda self: 1 / 0)
    response = admin(emulator, "GET", "state")
    assert (response.status, response.json["code"]) == (500, "internal")
    assert "GET /_emulator/state failed" in caplog.text


def test_the_document_is_served(calm: Emulator) -> None:
    assert admin(calm, "GET", "openapi.json").json == OPENAPI


def test_a_reset_empties_the_emulator(emulator: Emulator) -> None:
    create(emulator)
    emulator.faults.add("delay", seconds=0)
    emulator.fates["front"] = Fate()

    assert admin(emulator, "POST", "reset").json == {"resources": 0}

    state = admin(emulator, "GET", "state").json
    assert (state["resources"], state["faults"], state["fates"]) == ([], [], {})
    assert admin(emulator, "GET", "requests").json == {"requests": []}
    create(emulator)


def test_a_reset_can_return_to_what_the_emulator_started_with(tmp_path: Any) -> None:
    file = tmp_path / "state"
    with Emulator(state=file) as emulator:
        kept = create(emulator, "kept")
    (tmp_path / "config.toml").write_text('[fates.kept]\nstatus = "ERROR"\n[[faults]]\nkind = "delay"\nseconds = 0\n')
    with Emulator(state=file, config=tmp_path / "config.toml") as emulator:
        emulator.faults.clear()
        emulator.fates.clear()
        create(emulator, "more")

        assert admin(emulator, "POST", "reset", {"keep_seed": True}).json == {"resources": 1}

        state = admin(emulator, "GET", "state").json
        assert [each["resource"]["spec"]["id"] for each in state["resources"]] == [kept]
        assert (list(state["fates"]), [each["kind"] for each in state["faults"]]) == (["kept"], ["delay"])
    with Emulator(state=file) as emulator:  # a reset is written to the file, too
        assert len(admin(emulator, "GET", "state").json["resources"]) == 1


def test_a_state_comes_back_as_it_was(emulator: Emulator) -> None:
    with Client(emulator.token, endpoint=emulator.endpoint, transport="rest") as client:
        zones = client.gateways.parameters().zones[:1]
        gateway = client.gateways.create("front", zones=zones, core_weave_auth={}, path_based_routing={})
        emulator.clock.advance(60)
        client.gateways.get(gateway.spec.id)
        client.deployments.create(
            "llama",
            gateway_ids=[gateway.spec.id],
            **LLAMA,
            hot_load={"bucket": "mine", "transition_mode": "TRANSITION_MODE_ASYNC"},
        )
        emulator.clock.advance(70)
        [deployment] = client.deployments.list()
        client.hot_loads.create(deployment.spec.id, identity="one", type=types.SnapshotType.SNAPSHOT_TYPE_FULL)
        emulator.clock.advance(20)
        client.hot_loads.list()
    emulator.faults.add("delay", seconds=0, nth=[3, 1])
    emulator.fates["front"] = Fate("ERROR", strikes_after=5)
    before = admin(emulator, "GET", "state").json
    assert [each["kind"] for each in before["resources"]] == ["gateway", "deployment", "hot_load"]

    admin(emulator, "POST", "reset")
    assert admin(emulator, "PUT", "state", before).json == {"resources": 3}

    assert admin(emulator, "GET", "state").json == before


def test_what_was_planned_happens_as_long_after_the_state_is_put_back(emulator: Emulator) -> None:
    gateway = create(emulator)
    emulator.clock.advance(50)
    state = admin(emulator, "GET", "state").json
    with Emulator(clock=EmulatorClock(running=False)) as later:
        later.clock.advance(1_000_000)
        admin(later, "PUT", "state", state)
        endpoint = later.endpoint
        later.clock.advance(9)
        assert state_of(later, gateway) == 1
        later.clock.advance(2)
        assert state_of(later, gateway) == 6
        with Client(later.token, endpoint=endpoint) as client:
            assert list(client.gateways.get(gateway).status.endpoints) == [f"{endpoint}/gateway/{gateway}"]


GATEWAY = {"spec": {"id": "a", "organizationId": "o", "name": "n"}, "status": {"status": "STATUS_READY"}}


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"version": 2}, "version: expected 1, got 2"),
        ({"resource": []}, "unknown key 'resource'"),
        ({"faults": {}}, "faults: expected a list of objects"),
        ({"faults": [{"kind": "x"}]}, "faults[0]: kind: expected one of"),
        ({"fates": {"a": {"state": 1}}}, "fates.a: unknown key 'state'"),
        ({"resources": [1]}, "resources[0]: expected an object"),
        ({"resources": [{"kind": "cat"}]}, "resources[0].kind: expected one of gateway,"),
        ({"resources": [{"kind": "gateway", "resource": {"spec": {}}}]}, "expected a spec with id"),
        ({"resources": [{"kind": "gateway", "resource": {"spec": {"zones": 1}}}]}, "resources[0].resource: "),
        ({"resources": [{"kind": "gateway", "resource": GATEWAY, "x": 1}]}, "resources[0]: unknown key 'x'"),
        ({"resources": [{"kind": "gateway", "resource": GATEWAY}] * 2}, "another gateway has the id 'a'"),
        ({"resources": [{"kind": "gateway", "resource": GATEWAY, "plan": [{"step": "x"}]}]}, "plan[0].step"),
        ({"resources": [{"kind": "gateway", "resource": GATEWAY, "plan": [{"step": {}}]}]}, "plan[0].step"),
        (
            {"resources": [{"kind": "gateway", "resource": GATEWAY, "plan": [{"step": "settled", "in_seconds": "1"}]}]},
            "plan[0].in_seconds: expected a number of seconds, got '1'",
        ),
        ({"resources": [{"kind": "hot_load", "resource": GATEWAY}]}, "resources[0].resource: "),
    ],
)
def test_a_wrong_state_is_refused_and_changes_nothing(emulator: Emulator, state: Any, text: str) -> None:
    create(emulator)
    emulator.faults.add("delay", seconds=0)
    before = admin(emulator, "GET", "state").json

    response = admin(emulator, "PUT", "state", {"fates": {}, "resources": [], **state})

    assert (response.status, response.json["code"]) == (400, "invalid_argument")
    assert text in response.json["message"]
    assert admin(emulator, "GET", "state").json == before


def test_faults_come_and_go(emulator: Emulator) -> None:
    fault = admin(emulator, "POST", "faults", FAULT | {"nth": [1], "details": []}).json
    other = admin(emulator, "POST", "faults", {"kind": "delay", "seconds": 0}).json
    with Client(emulator.token, endpoint=emulator.endpoint, retry=None) as client, pytest.raises(errors.Internal):
        client.gateways.create("front", core_weave_auth={}, path_based_routing={})

    listed = admin(emulator, "GET", "faults").json["faults"]
    assert [(each["id"], each["kind"], each["happened"]) for each in listed] == [
        (fault["id"], "error", 1),
        (other["id"], "delay", 1),
    ]
    assert admin(emulator, "DELETE", f"faults/{fault['id']}").status == 204
    assert admin(emulator, "DELETE", f"faults/{fault['id']}").status == 404
    create(emulator)
    assert admin(emulator, "DELETE", "faults").status == 204
    assert list(emulator.faults) == []


def test_a_fault_of_everything_leaves_the_admin_routes_alone(emulator: Emulator) -> None:
    admin(emulator, "POST", "faults", {"kind": "cut", "when": "before"})
    assert admin(emulator, "GET", "health", token=None).status == 200
    assert admin(emulator, "DELETE", "faults").status == 204


def test_fates_come_and_go(emulator: Emulator) -> None:
    fate = admin(emulator, "PUT", "fates/a%2Fb", {"status": "ERROR", "strikes_after": 5}).json
    assert fate == {
        "name": "a/b",
        "fate": {"status": "ERROR", "reason": "", "message": "", "recovers_after": None, "strikes_after": 5},
    }
    assert emulator.fates == {"a/b": Fate("ERROR", strikes_after=5)}
    assert admin(emulator, "GET", "fates").json == {"fates": {"a/b": fate["fate"]}}
    assert admin(emulator, "PUT", "fates/a%2Fb", None).json == {"name": "a/b", "fate": None}
    assert admin(emulator, "PUT", "fates/never", None).status == 200
    assert emulator.fates == {}


def test_a_stopped_clock_is_advanced_and_a_running_one_is_not(emulator: Emulator, calm: Emulator) -> None:
    gateway = create(emulator)
    clock = admin(emulator, "POST", "clock", {"advance": 60}).json
    assert (clock["running"], admin(emulator, "GET", "clock").json) == (False, clock)
    assert state_of(emulator, gateway) == 6

    refused = admin(calm, "POST", "clock", {"advance": 60})
    assert (refused.status, refused.json["code"]) == (409, "failed_precondition")
    assert "--clock stopped" in refused.json["message"]
    assert_documented(refused, OPENAPI["paths"]["/_emulator/clock"]["post"]["responses"]["409"])
    assert admin(emulator, "POST", "clock", {"advance": True}).status == 400


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "limit=", "after=-1", "limit=%D9%A1"])
def test_a_wrong_limit_is_refused(calm: Emulator, query: str) -> None:
    assert admin(calm, "GET", f"requests?{query}").status == 400


def test_it_is_not_ready_before_it_has_its_seed(calm: Emulator) -> None:
    nothing: Any = None
    controls = Controls(nothing, nothing, nothing, nothing, nothing)
    response = next(route for route in app.ROUTES if route.template == "ready").handler(controls)
    assert response == (503, {"status": "starting"})
    documented = OPENAPI["paths"]["/_emulator/ready"]["get"]["responses"]["503"]["content"]["application/json"]
    assert mistakes(response[1], documented["schema"], OPENAPI) == []


def test_pages_that_are_allowed_can_drive_it() -> None:
    with Emulator(cors_origins=["https://app.example.com"]) as emulator:
        origin = {"origin": "https://app.example.com"}
        preflight = raw_request(
            emulator,
            "OPTIONS",
            "/_emulator/faults/1",
            headers=origin
            | {"access-control-request-method": "DELETE", "access-control-request-headers": "authorization"},
        )
        assert preflight.status == 204
        assert preflight.headers["access-control-allow-origin"] == "https://app.example.com"
        assert "DELETE" in preflight.headers["access-control-allow-methods"]
        assert preflight.headers["access-control-allow-headers"] == "authorization"
        response = admin(emulator, "GET", "state", **origin)
        assert (response.status, response.headers["access-control-allow-origin"]) == (200, origin["origin"])
        assert admin(emulator, "GET", "state", origin="https://evil.example").status == 403

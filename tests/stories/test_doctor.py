"""Examinations of a service that is as expected, one that has drifted, and servers that are broken in every way."""

import asyncio
import json
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cwinference import TLS, AsyncClient, Client, Clock, auth, doctor, errors, types
from cwinference.doctor._transport_findings import Outcome, TransportCheck, summary
from cwinference.emulator import Emulator
from tests.support import certificates
from tests.support.client_kinds import TOKEN, open_client
from tests.support.examined import examined, texts
from tests.support.recording_proxy import RecordingProxy
from tests.support.scripted_server import (
    Failure,
    Raw,
    ReceivedRequest,
    ScriptedServer,
    containing,
    http_response,
    read_request,
)
from tests.support.socket_servers import SocketServer, hang_up, silence
from tests.support.specs import CLAIM, FRONT, llama

DRIFTS: dict[str, Any] = {
    "none": (),
    "new_fields": ("new_fields",),
    "moved_numbers": ("moved_numbers",),
    "new_enum_values": ("new_enum_values",),
    "all": True,
}
MOST_CALLS = 20


def fill(emulator: Emulator) -> None:
    """Create one resource of each kind."""
    with Client(emulator.token, endpoint=emulator.endpoint, transport="rest") as client:
        gateway = client.gateways.create("front", **FRONT, wait=True)
        client.capacity_claims.create("reserved", resources=CLAIM, wait=True)
        client.deployments.create(
            "llama-prod",
            gateway_ids=[gateway.spec.id],
            **llama(model={"name": "org/llama-secret", "bucket": "bucket-of-ours", "path": "llama"}),
            traffic={"weight": 5},
            wait=True,
        )


@pytest.fixture(scope="module", params=DRIFTS)
def drifted(request: pytest.FixtureRequest) -> Iterator[tuple[str, Emulator]]:
    """Run an emulator for each drift, with resources; return the drift's name and the emulator."""
    with Emulator(drift=DRIFTS[request.param]) as emulator:
        fill(emulator)
        yield request.param, emulator


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    """Run an emulator with resources, without drift."""
    with Emulator() as emulator:
        fill(emulator)
        yield emulator


async def test_every_drift_is_found_and_nothing_else(kind: str, drifted: tuple[str, Emulator]) -> None:
    drift, emulator = drifted
    sent: list[str] = []
    async with open_client(
        kind, emulator.endpoint, emulator.token, on_call=lambda *call: sent.append(call[0])
    ) as client:
        report = await examined(client)
    assert report.calls == len(sent) <= MOST_CALLS
    assert all(each.startswith(("List", "Get")) for each in sent)
    moved = [each for each in texts(report, "error") if "has moved" in each]
    new = [each for each in texts(report, "warning") if "that this release does not know" in each]
    is_moved, is_new = drift in ("moved_numbers", "all"), drift in ("new_fields", "all")
    assert len(moved) == len(texts(report, "error")) == (4 if is_moved else 0)
    assert len(new) == len(texts(report, "warning")) == (5 if is_new else 0) + (drift in ("new_enum_values", "all"))
    assert report.exit_code == int(is_moved)
    if drift == "none":
        assert "messages of 30 types are the same in binary and in JSON" in f"{report}"


def test_findings_of_the_wire_name_numbers_wire_types_and_keys(drifted: tuple[str, Emulator]) -> None:
    drift, emulator = drifted
    with Client(emulator.token, endpoint=emulator.endpoint) as client:
        report = doctor.examine(client)
    details = {(each.details.get("message"), each.details.get("number")): each.details for each in report.findings}
    if drift in ("new_fields", "all"):
        probe = details["DeploymentSpec", 12]
        assert (probe["wire_type"], probe["json"], probe["fit"]) == ("length-delimited", ["readinessProbe"], "exact")
        assert details["CapacityClaimStatus", 7]["json"] == ["reclaimableInstances"]
    if drift in ("moved_numbers", "all"):
        traffic = details["DeploymentSpec", 14]
        assert (traffic["change"], traffic["field"], traffic["known_number"]) == ("moved", "traffic", 8)
    if drift in ("new_enum_values", "all"):
        assert {"number": 3, "json": "STATUS_UNKNOWN"}.items() <= details[None, 3].items()


async def test_a_drift_of_what_no_resource_is_needed_for_is_found_without_any() -> None:
    with Emulator(drift=True) as emulator:
        async with AsyncClient(emulator.token, endpoint=emulator.endpoint) as client:
            report = await doctor.examine(client)
    assert report.exit_code == 1
    assert any("GetGatewayParametersResponse.zones has moved" in each for each in texts(report, "error"))
    assert "not compared, because there was none: Gateway, Deployment, CapacityClaim" in texts(report, "note")


async def test_a_report_is_readable_as_text_and_as_json(kind: str, emulator: Emulator) -> None:
    async with open_client(kind, emulator.endpoint, emulator.token) as client:
        report = await examined(client)
    content = json.loads(report.to_json())
    assert content["level"] == report.level == "note"
    assert content["exit_code"] == report.exit_code == 0
    assert content["findings"] == [
        {"level": e.level, "area": e.area, "text": e.text, "advice": e.advice, "details": dict(e.details)}
        for e in report.findings
    ]
    text = str(report)
    assert text.startswith(f"{emulator.endpoint} by cwinference ")
    assert all(f"{title} responds: " in text for title in ("gRPC", "Connect", "REST"))
    assert text.splitlines()[-1].startswith("nothing is wrong; 19 calls, ")


async def test_names_and_ids_are_in_a_report_only_if_asked_for(kind: str) -> None:
    with Emulator(drift=True) as emulator:
        fill(emulator)
        emulator.faults.add(
            "error", method="ListHotLoads", code="internal", message="llama-prod of org/llama-secret broke"
        )
        async with open_client(kind, emulator.endpoint, emulator.token) as client:
            gateway = (await client.gateways.list())[0].spec
            plain = await examined(client)
            named = await examined(client, names=True)
    private = [
        "front",
        "llama-prod",
        "org/llama-secret",
        "bucket-of-ours",
        "reserved",
        gateway.id,
        gateway.organization_id,
    ]
    shown = f"{plain}{plain.to_json()}"
    assert [each for each in private if re.search(rf"\b{each}\b", shown)] == []
    assert "ListHotLoads fails over REST: <name> of <name> broke [internal]" in texts(plain, "error")
    assert "(seen in deployment llama-prod)" in f"{named}"
    assert "llama-prod of org/llama-secret broke" in f"{named}"


async def test_secrets_are_in_no_report(kind: str, tmp_path: Path) -> None:
    token = "not-of-the-usual-form"
    with Emulator(token=token) as emulator:
        emulator.faults.add("error", method="ListGateways", code="internal", message=f"token {token}, CW-SECRET-other")
        async with open_client(kind, emulator.endpoint, token) as client:
            report = await examined(client, names=True)
    shown = f"{report}{report.to_json()}{report!r}"
    assert "token ***, CW-SECRET-***" in shown
    assert token not in shown


@pytest.mark.parametrize(
    ("make", "origin"),
    [
        (lambda token, path: token, "the argument token="),
        (lambda token, path: lambda: token, "a callable"),
        (lambda token, path: auth.from_file(path), "from_file('{path}')"),
        (lambda token, path: auth.from_command(["cat", str(path)]), "from_command(['cat', ...])"),
        (lambda token, path: None, "CW_API_TOKEN"),
    ],
    ids=["argument", "callable", "file", "command", "variable"],
)
def test_a_report_says_where_the_token_comes_from(
    make: Any, origin: str, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COREWEAVE_API_TOKEN", raising=False)
    monkeypatch.setenv("CW_API_TOKEN", emulator.viewer_token)
    path = tmp_path / "token"
    path.write_text(emulator.viewer_token)
    with Client(make(emulator.viewer_token, path), endpoint=emulator.endpoint) as client:
        report = doctor.examine(client)
    assert f"the token comes from {origin.format(path=path)}, and may read" in texts(report, "ok")
    assert "reads do not show whether its role is Inference Viewer or Inference Admin" in texts(report, "note")
    assert report.exit_code == 0


async def test_a_refused_token_is_said_so(kind: str, emulator: Emulator) -> None:
    async with open_client(kind, emulator.endpoint, "CW-SECRET-wrong") as client:
        report = await examined(client)
    assert report.exit_code == 4
    assert report.calls == 3
    assert any("the server refuses it (UNAUTHENTICATED)" in each for each in texts(report, "error"))


async def test_a_token_that_may_not_read_is_said_so(kind: str) -> None:
    with Emulator() as emulator:
        emulator.faults.add("error", code="permission_denied", message="no role")
        async with open_client(kind, emulator.endpoint, emulator.token) as client:
            report = await examined(client)
    assert report.exit_code == 4
    assert any("may not read (PERMISSION_DENIED)" in each for each in texts(report, "error"))


async def test_a_source_without_a_token_ends_the_calls_but_not_the_examination(kind: str, emulator: Emulator) -> None:
    def source() -> str:
        raise RuntimeError("the password is hunter2")

    async with open_client(kind, emulator.endpoint, source) as client:
        report = await examined(client)
    assert (report.exit_code, report.calls) == (4, 0)
    assert "there is no token: a callable gives none: RuntimeError was raised" in texts(report, "error")
    assert any("accepts connections" in each for each in texts(report, "ok"))
    assert "hunter2" not in f"{report!r}"


async def test_a_token_that_was_renewed_costs_calls_that_are_counted() -> None:
    tokens = iter(["CW-SECRET-old", "CW-SECRET-new"])

    def respond(received: ReceivedRequest) -> Any:
        if received.headers["authorization"] == "Bearer CW-SECRET-old":
            return Failure("unauthenticated")
        return received.method.response()

    with ScriptedServer("grpc", respond) as server, Client(lambda: next(tokens), endpoint=server.endpoint) as client:
        report = doctor.examine(client)
        assert len(server.received) <= report.calls <= MOST_CALLS
    assert "CW-SECRET" not in f"{report!r}"
    assert any("may read" in each for each in texts(report, "ok"))


def test_a_server_without_tls_is_reported(emulator: Emulator) -> None:
    with Client(emulator.token, endpoint=emulator.endpoint.replace("http:", "https:")) as client:
        report = doctor.examine(client)
    found = next(each for each in report.findings if "does not speak TLS (" in each.text)
    assert (found.level, found.area, found.advice) == ("error", "network", "is the endpoint http://?")
    assert "can be used meanwhile" not in f"{report}"


async def test_a_closed_port_is_reported(kind: str) -> None:
    async with open_client(kind, "http://127.0.0.1:1") as client:
        report = await examined(client)
    assert report.exit_code == 1
    assert any(each.startswith("no connection to 127.0.0.1:1: Connection refused") for each in texts(report, "error"))
    assert any("whether it may read is not known" in each for each in texts(report, "warning"))
    assert report.calls == 3


@pytest.mark.parametrize("handler", [silence, hang_up])
async def test_servers_that_say_nothing_are_reported_in_time(kind: str, handler: Any) -> None:
    with SocketServer(handler) as server:
        async with open_client(kind, server.endpoint) as client:
            report = await examined(client, timeout=0.6)
    assert report.exit_code == 1
    assert report.seconds < 5
    assert report.calls <= MOST_CALLS


async def test_a_name_that_does_not_resolve_is_reported(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_client(kind, "https://no-such-host.invalid", timeout=3) as client:
        report = await examined(client, timeout=5)
    assert report.exit_code == 1
    assert any(each.startswith("no-such-host.invalid ") for each in texts(report, "error"))


def speak_rest(connection: socket.socket) -> None:
    """Respond to REST over HTTP/1.1, and to all else as a proxy that does not know it."""
    with connection.makefile("rb") as stream:
        while True:
            _, path, _, _ = read_request(stream)
            if not path.startswith("/v1alpha1/"):
                connection.sendall(http_response(404, b"<p>", {"content-type": "text/html"}))
                return
            gateways = {"items": [{"spec": {"id": "1", "name": "front", "novel": 1}}]} if "gateways" in path else {}
            content = {"zones": ["US-EAST-04A"]} if path.endswith("gateways/parameters") else gateways
            connection.sendall(http_response(200, json.dumps(content).encode(), {"content-type": "application/json"}))


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize(("transport", "code"), [("rest", 0), ("connect", 1), ("grpc", 1)])
async def test_a_server_that_speaks_rest_only_is_reported(mode: str, transport: str, code: int) -> None:
    with SocketServer(speak_rest) as server:
        settings: dict[str, Any] = {"http_version": 1} if transport == "connect" else {}
        async with open_client(f"{transport}-{mode}", server.endpoint, **settings) as client:
            report = await examined(client)
    assert report.exit_code == code
    assert any(each.startswith("REST responds: ") for each in texts(report, "ok"))
    assert len([each for each in texts(report, "warning", "error") if "does not work" in each]) == 2
    for each in texts(report, "warning"):
        if "does not work" in each:
            assert ", which this client does not use, does not work: " in each
    assert not any("does not use" in each for each in texts(report, "error"))
    assert "binary and JSON could not be compared: one of them could not be read" in texts(report, "warning")
    assert any(each.endswith(": novel in JSON") for each in texts(report, "warning"))


async def test_a_read_that_fails_over_one_transport_is_an_error(kind: str) -> None:
    with Emulator() as emulator:
        emulator.faults.add("error", method="ListDeployments", code="internal", path="/coreweave*")
        async with open_client(kind, emulator.endpoint, emulator.token) as client:
            report = await examined(client)
    assert report.exit_code == 1
    failed = [each for each in texts(report, "error") if each.startswith("ListDeployments fails over ")]
    assert len(failed) == 2


async def test_a_first_read_that_fails_alone_does_not_end_the_others(kind: str) -> None:
    with Emulator() as emulator:
        emulator.faults.add("error", method="GetGatewayParameters", code="internal")
        async with open_client(kind, emulator.endpoint, emulator.token) as client:
            report = await examined(client)
    assert len([each for each in texts(report, "error") if each.startswith("GetGatewayParameters fails over ")]) == 3
    assert len([each for each in texts(report, "ok") if " responds: " in each]) == 3


async def test_hot_loads_that_are_not_enabled_are_a_note(kind: str) -> None:
    with Emulator() as emulator:
        emulator.faults.add("error", method="ListHotLoads", code="permission_denied", message="not enabled")
        async with open_client(kind, emulator.endpoint, emulator.token) as client:
            report = await examined(client)
    assert report.exit_code == 0
    assert "ListHotLoads is not available to this token: not enabled [permission_denied]" in texts(report, "note")


@pytest.mark.parametrize("kind", ["grpc-sync", "rest-async"])
async def test_a_slow_server_is_examined_as_far_as_the_time_allows(kind: str) -> None:
    """Its time passes with each request, so that it is as slow on any machine."""
    with Emulator() as emulator:
        requests = emulator.faults.add("delay", seconds=0.0)
        clock = Clock(monotonic=lambda: 1.5 * requests.happened)
        async with open_client(kind, emulator.endpoint, emulator.token, clock=clock) as client:
            report = await examined(client, timeout=15.0)
    assert (report.seconds, report.calls) == (15.0, 10)
    assert "timed out after 15 s, before all reads were made" in texts(report, "warning")
    assert len([each for each in texts(report, "ok") if " responds: " in each]) == 3


def test_slow_responses_are_a_warning() -> None:
    outcomes = [Outcome("ListGateways", 3.0), Outcome("ListDeployments", 2.5)]
    session: Any = None
    [found] = summary(TransportCheck("grpc", session, outcomes), is_own=True, others_work=True)
    assert (found.level, found.details["later_ms"]) == ("warning", 2500.0)
    assert found.text.endswith(", which is slow")


async def test_an_examination_can_be_canceled() -> None:
    with SocketServer(silence) as server:
        async with AsyncClient(TOKEN, endpoint=server.endpoint) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await doctor.examine(client)


def test_what_a_server_says_is_shown_on_one_line_and_not_at_any_length() -> None:
    with Emulator() as emulator:
        emulator.faults.add("error", method="ListGateways", code="internal", message="\x1b[31mred\n" + "x" * 1000)
        with Client(emulator.token, endpoint=emulator.endpoint) as client:
            report = doctor.examine(client)
    [found] = [each for each in texts(report, "error") if each.startswith("ListGateways fails over REST")]
    assert found.startswith("ListGateways fails over REST: \\x1b[31mred xxx")
    assert len(found) < 500


class Changing:
    """Responds to each read of gateways with others than before: some that are new, and one that changes each time."""

    def __init__(self, *, still: int = 1) -> None:
        self._still = still
        self._reads = 0

    def __call__(self, received: ReceivedRequest) -> Any:
        self._reads += 1
        if received.method.name == "GetGatewayParameters":
            return types.GetGatewayParametersResponse(zones=[f"US-EAST-{self._reads}A"])
        if received.method.name != "ListGateways":
            return received.method.response()
        still = [gateway(f"still-{number}", 1) for number in range(self._still)]
        return containing(received.method, [*still, gateway("moving", self._reads), gateway(f"new-{self._reads}", 1)])


def gateway(name: str, second: int) -> types.Gateway:
    return types.Gateway(
        spec=types.GatewaySpec(id=name, name=name),
        status=types.GatewayStatus(updated_at=types.Timestamp(seconds=second), endpoints=[f"https://{second}.example"]),
    )


@pytest.mark.parametrize("still", [0, 3])
@pytest.mark.parametrize("transport", ["grpc", "all"])
async def test_resources_that_change_meanwhile_are_no_differences(transport: str, still: int) -> None:
    """With `grpc` the server does not understand Connect, which comes over HTTP/2 without TLS."""
    settings: dict[str, Any] = {} if transport == "grpc" else {"transport": "connect", "http_version": 1}
    with ScriptedServer("grpc", Changing(still=still)) as server:
        async with AsyncClient(TOKEN, endpoint=server.endpoint, **settings) as client:
            report = await doctor.examine(client)
    assert [each for each in report.findings if "change" in each.details] == []
    assert report.calls <= MOST_CALLS
    kinds = next(each.details["types"] for each in report.findings if "types" in each.details)
    assert ("GatewayStatus" in kinds) is bool(still)


def test_resources_that_change_meanwhile_are_counted_with_all_transports(emulator: Emulator) -> None:
    with Emulator() as own:
        fill(own)
        with Client(own.token, endpoint=own.endpoint, transport="rest") as other:

            def change(method: str, *rest: Any) -> None:
                if method == "ListGateways":
                    other.gateways.modify(other.gateways.find("front").spec.id, zones=["US-EAST-04A"])

            with Client(own.token, endpoint=own.endpoint, on_call=change) as client:
                report = doctor.examine(client)
    assert [each for each in report.findings if "change" in each.details] == []
    assert any("changed while they were read" in each for each in texts(report, "note"))
    assert report.calls <= MOST_CALLS


@pytest.mark.parametrize("drifting", ["grpc", "connect"])
def test_a_binary_transport_that_alone_differs_is_named(drifting: str) -> None:
    """What gRPC and Connect do not agree about is compared with JSON for each of them, if it does not change."""

    def respond(received: ReceivedRequest) -> Any:
        gateways = containing(received.method, [gateway("front", 1)] if received.method.name == "ListGateways" else [])
        over = "connect" if "connect-protocol-version" in received.headers else "grpc"
        if received.path != received.method.path or over != drifting or received.method.name != "ListGateways":
            return gateways
        binary = gateways.SerializeToString() + b"\xa0\x06\x05"
        if over == "grpc":
            return Raw(binary)
        return Raw(http_response(200, binary, {"content-type": "application/proto"}))

    with ScriptedServer("grpc", respond) as server:
        with Client(TOKEN, endpoint=server.endpoint, transport="connect", http_version=1) as client:
            report = doctor.examine(client)
        assert len(server.received) == report.calls <= MOST_CALLS
    [found] = [each for each in report.findings if "change" in each.details]
    assert (found.details["number"], found.text.endswith(f"(over {drifting} alone)")) == (100, True)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a certificate and its key."""
    return certificates.make(tmp_path_factory.mktemp("own"))


async def test_certificates_are_reported(kind: str, pair: tuple[Path, Path]) -> None:
    with Emulator(tls_cert=pair[0], tls_key=pair[1]) as emulator:
        async with open_client(kind, emulator.endpoint, emulator.token, tls=TLS(ca=pair[0])) as client:
            report = await examined(client)
        async with open_client(kind, emulator.endpoint, emulator.token) as client:
            distrusting = await examined(client)
    shown = next(each for each in report.findings if each.text.startswith("TLSv1.3 with a certificate of localhost"))
    assert (shown.level, shown.details["alpn"]) == ("warning", "h2")
    assert shown.advice.startswith("it expires in 1 days")
    assert report.exit_code == 0
    untrusted = next(each for each in distrusting.findings if "is not trusted" in each.text)
    assert "self-signed certificate" in untrusted.text
    assert untrusted.advice == "trust its authority with tls=TLS(ca=...), or --ca"
    assert distrusting.exit_code == 1


def test_a_server_that_wants_the_certificate_of_the_client_is_no_error(pair: tuple[Path, Path]) -> None:
    """The key of the client is not used to examine the certificates; that it works is seen by the calls."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    context.load_verify_locations(pair[0])
    context.verify_mode, context.maximum_version = ssl.CERT_REQUIRED, ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    with SocketServer(speak_rest, tls=context) as server:
        tls = TLS(ca=pair[0], cert=pair[0], key=pair[1])
        with Client(TOKEN, endpoint=f"https://localhost:{server.port}", transport="rest", tls=tls) as client:
            report = doctor.examine(client)
    assert report.exit_code == 0
    assert any("could not be examined without presenting the client's" in each for each in texts(report, "note"))
    assert any(each.startswith("REST responds: ") for each in texts(report, "ok"))


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_the_way_through_a_proxy_is_reported_without_its_password(mode: str, pair: tuple[Path, Path]) -> None:
    host = "https://inference.test:8443"
    with Emulator(tls_cert=pair[0], tls_key=pair[1], public_url=host) as emulator:
        proxy = RecordingProxy(int(emulator.endpoint.rpartition(":")[2]))
        with SocketServer(proxy) as server:
            url = f"http://proxy-user:hunter22@127.0.0.1:{server.port}"
            async with open_client(f"grpc-{mode}", host, emulator.token, tls=TLS(ca=pair[0]), proxy=url) as client:
                report = await examined(client)
    shown = f"{report}{report.to_json()}{report!r}"
    assert f"the route leads through the proxy http://127.0.0.1:{server.port}, named by the argument proxy=" in shown
    assert "hunter22" not in shown
    assert any(each.startswith("TLSv1.3 with a certificate of localhost") for each in texts(report, "warning"))
    assert report.exit_code == 0
    assert len(proxy.heads) == 4


def test_a_proxy_that_one_transport_cannot_use_is_reported(emulator: Emulator) -> None:
    with Client(
        "t", endpoint="https://inference.test", transport="rest", proxy="socks5://user:hunter22@127.0.0.1:1"
    ) as client:
        report = doctor.examine(client)
    assert any("gRPC can use http:// proxies only" in each for each in texts(report, "warning"))
    assert "hunter22" not in f"{report!r}"


def test_a_proxy_that_refuses_is_reported() -> None:
    def refuse(connection: Any) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")

    with SocketServer(refuse) as server:
        client = Client("t", endpoint="https://inference.test", proxy=f"http://127.0.0.1:{server.port}")
        report = doctor.examine(client)
    assert "the proxy opens no tunnel: 407" in texts(report, "error")


async def test_wrong_arguments_are_refused(kind: str, emulator: Emulator) -> None:
    examine: Any = doctor.examine
    async with open_client(kind, emulator.endpoint, TOKEN) as client:
        for wrong in ({"names": "yes"}, {"timeout": 0}, {"timeout": None}):
            with pytest.raises(errors.ConfigurationError, match=f"^{next(iter(wrong))}: "):
                await examined(client, **wrong)
    with pytest.raises(errors.ConfigurationError, match="closed"):
        await examined(client)
    with pytest.raises(errors.ConfigurationError, match="^client: expected a Client or an AsyncClient, got str"):
        examine("client")
    with pytest.raises(TypeError, match="did you mean 'names'"):
        examine(client, name=True)

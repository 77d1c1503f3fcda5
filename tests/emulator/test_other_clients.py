"""Clients written in other languages: `buf curl`, written in Go, and curl."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cwinference.emulator import Emulator
from tests.support import certificates

ROOT = Path(__file__).parents[2]
BUF = ROOT / ".venv-generate/bin/buf"
SERVICE = "coreweave.inference.v1alpha1.GatewayService"
GATEWAY = {"name": "front", "coreWeaveAuth": {}, "bodyBasedRouting": {"apiType": "API_TYPE_OPENAI"}}

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
needs_buf = pytest.mark.skipif(
    not BUF.exists() or not (ROOT / "third_party/googleapis").exists(), reason="created by `make setup lint`"
)


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)


def buf(emulator: Emulator, method: str, data: Any, *options: str) -> subprocess.CompletedProcess[str]:
    url = f"{emulator.endpoint}/{SERVICE}/{method}"
    header = f"Authorization: Bearer {emulator.token}"
    return run(str(BUF), "curl", "--schema", ".", "-H", header, "-d", json.dumps(data), *options, url)


VARIANTS = [
    ["--protocol", "connect"],
    ["--protocol", "connect", "--http2-prior-knowledge"],
    ["--protocol", "grpc"],
    ["--protocol", "grpcweb"],
    ["--protocol", "grpcweb", "--http2-prior-knowledge"],
]


@needs_buf
@pytest.mark.parametrize("variant", VARIANTS, ids="-".join)
def test_buf_curl_creates_a_gateway_and_reads_an_error(emulator: Emulator, variant: list[str]) -> None:
    gateway = {**GATEWAY, "name": f"by-{VARIANTS.index(variant)}"}
    created = json.loads(buf(emulator, "CreateGateway", gateway, *variant).stdout)["gateway"]
    assert created["spec"]["name"] == gateway["name"]
    second = buf(emulator, "CreateGateway", gateway, *variant)
    error = json.loads(second.stdout or second.stderr)
    assert error["code"] == "already_exists"
    assert error["details"][0]["type"].endswith("google.rpc.ResourceInfo")


def curl(*arguments: str) -> tuple[int, Any]:
    """Return the status and the JSON of a response."""
    done = run("curl", "--silent", "--show-error", "--write-out", "\n%{http_code} %{http_version}", *arguments)
    assert done.returncode == 0, done.stderr
    text, _, last = done.stdout.rpartition("\n")
    status, version = last.split()
    assert version == ("2" if "--http2-prior-knowledge" in arguments or "--http2" in arguments else "1.1")
    return int(status), json.loads(text)


@needs_curl
@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_curl_speaks_rest(emulator: Emulator, version: str) -> None:
    token, body = ("-H", f"authorization: Bearer {emulator.token}"), {**GATEWAY, "name": version.strip("-.")[:5]}
    url = f"{emulator.endpoint}/v1alpha1/inference/gateways"
    status, created = curl(version, *token, "--json", json.dumps(body), url)
    assert status == 200
    created_id = created["gateway"]["spec"]["id"]
    assert curl(version, *token, f"{url}/{created_id}")[1]["gateway"]["spec"] == created["gateway"]["spec"]
    assert curl(version, *token, "-X", "DELETE", f"{url}/{created_id}")[0] == 200
    status, error = curl(version, *token, f"{url}/{created_id}")
    assert (status, error["code"], error["message"]) == (404, 404, "gateway not found")


@needs_curl
def test_curl_speaks_connect(emulator: Emulator) -> None:
    token, url = ("-H", f"authorization: Bearer {emulator.token}"), f"{emulator.endpoint}/{SERVICE}"
    assert curl(*token, "--json", "{}", f"{url}/GetGatewayParameters")[1]["zones"]
    assert curl(*token, f"{url}/GetGatewayParameters?encoding=json&message=%7B%7D")[1]["zones"]


@needs_curl
def test_curl_negotiates_http_2_over_tls(tmp_path: Path) -> None:
    cert, key = certificates.make(tmp_path)
    with Emulator(tls_cert=cert, tls_key=key) as emulator:
        url, token = f"{emulator.endpoint}/v1alpha1/inference/gateways/parameters", f"Bearer {emulator.token}"
        assert curl("--http2", "--cacert", str(cert), "-H", f"authorization: {token}", url)[1]["zones"]


@needs_curl
def test_curl_sends_a_body_that_is_too_large_and_reads_the_error(emulator: Emulator, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(20_000_000))
    url, token = f"{emulator.endpoint}/v1alpha1/inference/gateways", f"authorization: Bearer {emulator.token}"
    for version in ("--http1.1", "--http2-prior-knowledge"):
        body = ("-H", "content-type: application/json", "--data-binary", f"@{large}")
        assert curl(version, "-H", token, *body, url)[0] == 429

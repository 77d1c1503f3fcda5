"""CoreWeave's cwtrain, reproduced request by request: REST over one HTTP/1.1 connection, with ids that it makes itself.

Its bodies, retries, waits and its interpretation of errors are those that were observed of cwtrain itself. Time passes
on the emulator's clock.
"""

import gzip
import http.client
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from cwinference.emulator import Emulator
from cwinference.errors import BY_NUMBER

ROOT = "/v1alpha1/inference"
_BY_STATUS = {
    400: "invalid_argument",
    401: "unauthenticated",
    403: "permission_denied",
    404: "not_found",
    409: "already_exists",
    412: "failed_precondition",
    429: "resource_exhausted",
    501: "unimplemented",
    503: "unavailable",
}
_ATTEMPTS = 4
_MEMBERS = {"gateways": "gateway", "deployments": "deployment", "hotLoads": "hotLoad"}


@dataclass
class Failed(Exception):
    """An error, with the code that cwtrain derives from it."""

    code: str
    message: str


class CwTrain:
    """A client of one emulator."""

    def __init__(self, emulator: Emulator, token: str = "") -> None:
        self._emulator = emulator
        self._headers = {
            "Accept": "application/json",
            "Authorization": f"Bearer {token or emulator.token}",
            "User-Agent": "cwtrain/1.0.2",
            "Accept-Encoding": "gzip, deflate, zstd",
        }
        self._connection = http.client.HTTPConnection(emulator.endpoint.removeprefix("http://"), timeout=60)

    def close(self) -> None:
        self._connection.close()

    def create(self, resource: str, body: dict[str, Any], id: str | None = None) -> Any:
        """POST with a UUID; if it already exists, a resource with that id and the same name is a success."""
        chosen = id or str(uuid.uuid4())
        try:
            return self._send("POST", f"/{resource}", {**body, "id": chosen}, retry=True)[_MEMBERS[resource]]
        except Failed as error:
            if error.code != "already_exists":
                raise
        try:
            found = self.get(resource, chosen)
        except Failed:
            raise Failed("already_exists", f"name taken: {body['name']}") from None
        if found["spec"]["name"] != body["name"]:
            raise Failed("already_exists", f"id taken: {chosen}")
        return found

    def get(self, resource: str, id: str) -> Any:
        return self._send("GET", f"/{resource}/{id}", retry=True)[_MEMBERS[resource]]

    def list(self, resource: str, **query: Any) -> list[Any]:
        items: list[Any] = self._send("GET", _path(f"/{resource}", query), retry=True).get("items", [])
        return items

    def parameters(self, resource: str, **query: Any) -> Any:
        return self._send("GET", _path(f"/{resource}/parameters", query), retry=True)

    def wait(self, resource: str, id: str, pause: float) -> Any:
        """Poll until READY; raise on FAILED and DELETING."""
        while True:
            found = self.get(resource, id)
            status = found["status"]["status"]
            if status == "STATUS_READY":
                return found
            if status in ("STATUS_FAILED", "STATUS_DELETING"):
                raise Failed("", status)
            self._emulator.clock.advance(pause)

    def delete(self, resource: str, id: str, pause: float = 5.0) -> None:
        """DELETE, retried while something uses the resource; then GET until it is gone."""
        while True:
            try:
                self._send("DELETE", f"/{resource}/{id}")
                break
            except Failed as error:
                if error.code == "not_found":
                    return
                if error.code != "failed_precondition":
                    raise
            self._emulator.clock.advance(pause)
        while True:
            try:
                self.get(resource, id)
            except Failed as error:
                if error.code != "not_found":
                    raise
                return
            self._emulator.clock.advance(pause)

    def hot_load(self, body: dict[str, Any], id: str | None = None) -> Any:
        """POST with a UUID; if it already exists, GET it."""
        chosen = id or str(uuid.uuid4())
        try:
            return self._send("POST", "/hotLoads", {**body, "hotLoadId": chosen}, retry=True)["hotLoad"]
        except Failed as error:
            if error.code != "already_exists":
                raise
            return self.get("hotLoads", chosen)

    def cancel(self, id: str) -> Any:
        return self._send("POST", f"/hotLoads/{id}:cancel", {})["hotLoad"]

    def pages(self, path: str, member: str, **query: Any) -> Iterator[Any]:
        """Yield the items of all pages; a page token that appears twice is an error."""
        seen, token = set[str](), ""
        while True:
            page = self._send("GET", _path(path, {**query, **({"pageToken": token} if token else {})}), retry=True)
            yield from page.get(member, [])
            token = page.get("nextPageToken", "")
            if not token:
                return
            assert token not in seen
            seen.add(token)

    def _send(self, verb: str, path: str, body: Any = None, *, retry: bool = False) -> Any:
        for left in reversed(range(_ATTEMPTS if retry else 1)):
            try:
                return self._once(verb, path, body)
            except Failed as error:
                if not left or error.code not in ("unavailable", "internal", "deadline_exceeded"):
                    raise
        raise AssertionError("there is a last attempt")

    def _once(self, verb: str, path: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = self._headers if data is None else {**self._headers, "Content-Type": "application/json"}
        try:
            self._connection.request(verb, ROOT + path, data, headers)
            response = self._connection.getresponse()
            text = response.read()
            text = gzip.decompress(text) if response.headers["content-encoding"] == "gzip" else text
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Failed("unavailable", str(error)) from None
        try:
            value = json.loads(text)
        except ValueError:
            raise Failed(_BY_STATUS.get(response.status, "unavailable"), "not JSON") from None
        if response.status >= 300:
            raise Failed(_code(value.get("code"), response.status), value.get("message", ""))
        return value


def _path(path: str, query: dict[str, Any]) -> str:
    return f"{path}?{urlencode(query, doseq=True)}" if query else path


def _code(code: object, status: int) -> str:
    """Return the code for a gRPC number or a name of Connect; otherwise the HTTP status decides."""
    if isinstance(code, int) and code in BY_NUMBER:
        return BY_NUMBER[code].code
    return code if isinstance(code, str) else _BY_STATUS.get(status, "internal")

"""The examination, as a flow: token, network, transports, and the comparison of what they return."""

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from math import inf
from typing import Any

from .. import errors, types
from .._calls.attempts import Context, attempts
from .._calls.deadline import Deadline
from .._calls.flow import Flow, GetToken, RunFunction
from .._calls.rpc import Rpc
from .._calls.session import ClientSession
from .._secrets import Secret
from .._signals import from_signal_handler
from ..auth import Metadata, TokenCredentials
from ..config import Settings, TransportName
from ..transports.base import ResponseMetadata
from ._changes import differences
from ._network_findings import network_findings
from ._pairs import BothSides, walk
from ._reads import BINARY, READS, Matched, ReadResponse, match
from ._redaction import Redaction
from ._report import Finding, Report
from ._transport_findings import CALL_SECONDS, Calls, Outcome, TransportCheck, reason_of_any, summary, token_findings
from ._wire_findings import findings_of

ORDER: Sequence[TransportName] = ("grpc", "rest", "connect")
"""JSON is read between the two binary transports, so that what these have in common was so in between."""


class Examination:
    """One examination of one client."""

    def __init__(self, session: ClientSession[Any], context: Context, *, names: bool, timeout: float) -> None:
        self._settings = session.settings
        self._session = session
        self._context = context
        self._names = names
        self._redaction = Redaction(names=names)
        self._calls = Calls()
        self._deadline = Deadline(timeout, context.clock.monotonic)
        self._findings: list[Finding] = []
        self._transports: dict[str, TransportCheck] = {}
        self._responses: dict[tuple[int, str], ReadResponse] = {}
        self._skipped = 0

    def run(self) -> Flow[Report]:
        """Examine everything, and return the report."""
        self._session.check_open()
        began = datetime.now(UTC)
        for secret in _secrets(self._settings):
            self._redaction.add_secret(secret)
        token = yield from self._get_token()
        self._findings += yield from network_findings(self._settings, self._remaining(CALL_SECONDS))
        if token:
            try:
                yield from self._read_all()
                yield from self._compare_all()
            finally:
                yield from self._close()
        outcomes = [each for transport in self._transports.values() for each in transport.outcomes]
        found = token_findings(self._origin(), outcomes) if token else []
        refused = not token or any(each.level == "error" for each in found)
        findings = [*found, *self._findings]
        self._hide(self._context.credentials.metadata())  # there may be a new one since
        return Report(
            endpoint=self._settings.endpoint.url,
            transport=self._settings.transport,
            findings=[self._redaction.clean(each) for each in findings],
            calls=self._calls.count,
            seconds=self._deadline.elapsed(),
            at=began.isoformat(timespec="seconds"),
            environment=_environment(),
            refused=refused,
        )

    def _remaining(self, most: float) -> float:
        return min(most, max(0.01, self._deadline.remaining() or 0.0))

    def _call_seconds(self) -> float:
        """Return the limit of the next call. A server that is silent must leave time for the other transports."""
        untried = sum(not each.outcomes for each in self._transports.values())
        left = self._remaining(inf)
        return min(CALL_SECONDS, left / (untried + 1) if untried else left)

    def _origin(self) -> str:
        credentials = self._context.credentials
        return credentials.origin if isinstance(credentials, TokenCredentials) else type(credentials).__name__

    def _get_token(self) -> Flow[bool]:
        """Return whether there is a token; a finding says why not."""
        credentials = self._context.credentials
        try:
            metadata: Metadata = credentials.metadata() or (
                yield GetToken(credentials, None, self._remaining(CALL_SECONDS))
            )
        except Exception as error:
            if from_signal_handler(error):
                raise
            reason = reason_of_any(error)
            if isinstance(error, errors.ConfigurationError):  # it says of itself what it is about
                reason = reason.removeprefix("token: ")
            else:
                reason = f"{self._origin()} gives none: {reason}"
            text = f"there is no token: {reason}"
            self._findings.append(Finding("error", "token", text, "mend the source of the token, or use another"))
            return False
        self._hide(metadata)
        return True

    def _hide(self, metadata: Metadata | None) -> None:
        if metadata is not None:
            self._redaction.add_secret(Secret(metadata.reveal()[0][1].removeprefix("Bearer ")))

    def _read_all(self) -> Flow[None]:
        """Make all reads by each transport that works, and note how they went."""
        for name in ORDER:
            self._transports[name] = TransportCheck(name, self._session.sibling(_settings_for(name, self._settings)))
        for number, request in enumerate(READS):
            for name in ORDER:
                if self._transports[name].works:
                    yield from self._read(number, request(), name)
            if self._is_refused():
                return

    def _is_refused(self) -> bool:
        """Return whether the token was refused by whatever responded."""
        outcomes = [each for transport in self._transports.values() for each in transport.outcomes]
        codes = {each.error.code for each in outcomes if isinstance(each.error, errors.ApiError)}
        return "unauthenticated" in codes and not any(each.error is None for each in outcomes)

    def _read(self, number: int, request: Any, name: str) -> Flow[ReadResponse | None]:
        transport = self._transports[name]
        if self._deadline.has_passed() or self._calls.is_spent:
            self._skipped += 1
            return None
        received, clock = ResponseMetadata(), self._context.clock
        call = Rpc[Any](request, _whole, self._call_seconds(), None)
        call.response_metadata = received
        context = self._context.replace(session=self._calls.through(transport.session))
        began = clock.monotonic()
        try:
            message = yield from attempts(call, context)
            response = ReadResponse.of(message, received.json)
        except Exception as error:  # of a token source, for example, when the server wants another token
            if from_signal_handler(error):
                raise
            transport.outcomes.append(Outcome(call.name, clock.monotonic() - began, error))
            return None
        transport.outcomes.append(Outcome(call.name, clock.monotonic() - began))
        for item in response.items:
            self._redaction.add_resource(item.side.message)
        self._responses.setdefault((number, name), response)
        return response

    def _compare_all(self) -> Flow[None]:
        """Add what was found of the transports, and by comparing their responses."""
        pairs: list[BothSides] = []
        moving = 0
        for number in range(len(READS) + 1):
            if number == len(READS) and self._responses and self._transports["rest"].works:
                yield from self._read(number, types.ListHotLoadsRequest(), "rest")
            matched = yield from self._match(number)
            pairs += _inside(matched.pairs)
            moving += matched.moving
        others_work = any(each.error is None for found in self._transports.values() for each in found.outcomes)
        for name in ORDER:
            is_own = name == self._settings.transport
            self._findings += summary(self._transports[name], is_own=is_own, others_work=others_work)
        found = findings_of(differences(pairs), names=self._names)
        self._findings += found
        self._findings += self._about_comparison(pairs, moving, is_equal=not found)

    def _match(self, number: int) -> Flow[Matched]:
        first = {name: each for (at, name), each in self._responses.items() if at == number}
        matched = match(first, {})
        binary = [name for name in BINARY if name in first]
        if number == len(READS) or "rest" not in first or not binary:
            return matched
        is_certain = len(binary) == 2 or not any(True for _ in differences(_inside(matched.pairs)))
        if matched.moving == 0 and is_certain:
            return matched
        second: dict[str, ReadResponse] = {}
        for name in (binary[0], "rest"):
            response = yield from self._read(number, READS[number](), name)
            if response is not None:
                second[name] = response
        return match(first, second)

    def _about_comparison(self, pairs: Sequence[BothSides], moving: int, *, is_equal: bool) -> list[Finding]:
        """Return how far the comparison went."""
        compared = [pair for pair in pairs if pair.binary is not None and pair.json is not None]
        kinds = {pair.descriptor.name for pair in compared}
        found: list[Finding] = []
        if compared and is_equal:
            text = f"{len(compared)} messages of {len(kinds)} types are the same in binary and in JSON"
            found.append(Finding("ok", "wire", text, details={"messages": len(compared), "types": sorted(kinds)}))
        elif not compared and any(each.works for each in self._transports.values()):
            text = "binary and JSON could not be compared: one of them could not be read"
            found.append(Finding("warning", "wire", text, "see above, and run it again when both can be read"))
        missing = [each for each in ("Gateway", "Deployment", "CapacityClaim") if each not in kinds]
        if compared and missing:
            text = f"not compared, because there was none: {', '.join(missing)}"
            found.append(Finding("note", "wire", text, "run it again where there are some"))
        if moving:
            text = f"{moving} resources changed while they were read, and were not compared"
            found.append(Finding("note", "wire", text, "run it again when nothing is being changed"))
        if compared:
            text = "requests cannot be checked by reads: fields that only requests have are as this release knows them"
            found.append(Finding("note", "wire", text))
        if self._skipped and self._deadline.has_passed():
            text = f"timed out after {self._deadline.timeout:g} s, before all reads were made"
            found.append(Finding("warning", "transports", text, "give it more time by timeout=, or --timeout"))
        return found

    def _close(self) -> Flow[None]:
        for each in self._transports.values():
            for opened in each.session.take_all():
                yield RunFunction(opened.close, opened.close)


def _whole(response: Any) -> Any:
    return response


def _inside(pairs: Sequence[BothSides]) -> list[BothSides]:
    return [each for pair in pairs for each in walk(pair)]


def _settings_for(name: TransportName, settings: Settings) -> Settings:
    """Return the settings by which a transport reaches the same endpoint."""
    if name == "rest":
        return settings.for_rest()
    forced = settings.http_version if name == "connect" and settings.transport != "grpc" else None
    return settings._replace(transport=name, codec="proto", http_version=forced)


def _secrets(settings: Settings) -> list[Secret[str]]:
    try:
        proxy = settings.proxy
    except errors.ConfigurationError:
        return []
    return [] if proxy is None or proxy.credentials is None else [Secret(proxy.credentials.reveal()[1])]


def _environment() -> Mapping[str, str]:
    found = {"Python": platform.python_version()}
    for package in ("grpcio", "protobuf", "pyqwest", "httptools"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "of unknown version"
    return {**found, platform.system() or "unknown": platform.machine()}

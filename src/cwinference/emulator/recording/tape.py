"""The file of a recording: one line of JSON for each request with its response, in the order of the responses."""

import json
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from ..._text import reason_of
from ...errors import ConfigurationError
from ..admin import masking

_log = logging.getLogger("cwinference.emulator")
_KINDS = {"method", "route"}


class Recorder:
    """Appends to a file. Secrets are masked. It is thread-safe."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the file, or create it, readable for its owner only.

        Raises:
            ConfigurationError: the file cannot be opened.
        """
        self._path = path
        self._lock = threading.Lock()
        self._failed = False
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"record: cannot write {os.fspath(path)}: {reason_of(error)}") from None
        self._file = os.fdopen(descriptor, "ab", buffering=0)

    def add(self, line: Mapping[str, Any]) -> None:
        """Write a line. A disk that is full is logged, once; requests are served all the same."""
        stamped = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **line}
        text = masking.body(json.dumps(stamped, ensure_ascii=False))
        with self._lock:
            try:
                self._file.write(text.encode("utf-8", "replace") + b"\n")
                self._failed = False
            except (OSError, ValueError) as error:
                if not self._failed:
                    _log.error("cannot write the recording %s: %s", os.fspath(self._path), reason_of(error))
                self._failed = True

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            self._file.close()


class Tape:
    """The content of a recording, by request. It is thread-safe."""

    def __init__(self, lines: Sequence[Mapping[str, Any]]) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Mapping[str, Any]]] = {}
        """The lines of each request, in reverse order."""
        for line in reversed(lines):
            self._waiting.setdefault(_key(line), []).append(line)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Tape":
        """Read a file.

        Raises:
            ConfigurationError: the file cannot be read, or a line in it is none of a recording.
        """
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"replay: cannot read {os.fspath(path)}: {reason_of(error)}") from None
        numbered = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        return cls([_parse(line, f"replay: {os.fspath(path)}:{number}") for number, line in numbered])

    def next(self, line: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the line that was recorded for a request, None if there is none.

        If there are several, each time another one, in their order, and then the last one again and again.
        """
        with self._lock:
            waiting = self._waiting.get(_key(json.loads(masking.body(json.dumps(line)))))
            if not waiting:
                return None
            return waiting.pop() if len(waiting) > 1 else waiting[0]


def _parse(text: str, location: str) -> Mapping[str, Any]:
    try:
        line: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{location}: not JSON: {error}") from None
    fields = cast(dict[str, Any], line if isinstance(line, dict) else {})
    if len(_KINDS & fields.keys()) != 1 or not isinstance(fields.get("request"), dict):
        raise ConfigurationError(f"{location}: expected an object with method or route, and a request")
    if "method" in fields and not isinstance(fields.get("response", fields.get("error")), dict):
        raise ConfigurationError(f"{location}: expected a response or an error")
    if "route" in fields and not (isinstance(fields.get("status"), int) and isinstance(fields.get("body"), str)):
        raise ConfigurationError(f"{location}: expected a status and a body")
    return fields


def _key(line: Mapping[str, Any]) -> str:
    """Return what two lines for the same request have in common."""
    request = dict(line["request"])
    if str(line.get("method")).startswith("Create"):
        # Clients make a new one for each create, so that they can retry it.
        request = {name: value for name, value in request.items() if name not in ("id", "hotLoadId")}
    identity = [line.get(name) for name in ("method", "route", "organization", "role")]
    return json.dumps([*identity, request], sort_keys=True)

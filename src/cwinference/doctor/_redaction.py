"""Keeps out of a report what nobody else may read: secrets always, names and ids of resources unless asked for."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, cast

from .._secrets import Secret
from .._text import one_line
from ._report import Finding

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_LONG = 8
"""Secrets of fewer letters are found as whole words only."""
_SHORTEST = 3
"""Names of fewer letters are left in texts: they would be found inside of other words."""


class Redaction:
    """Cleans texts. What must not be shown is added as it becomes known."""

    def __init__(self, *, names: bool) -> None:
        self._names = names
        self._secrets: list[Secret[str]] = []
        self._resources: set[str] = set()

    def add_secret(self, secret: Secret[str]) -> None:
        """Add a token or a password, that no text may have."""
        self._secrets.append(secret)

    def add_resource(self, resource: Any) -> None:
        """Add the names that are in the spec of a resource."""
        self._resources.update(each for each in _strings(resource.spec) if len(each) >= _SHORTEST)

    def clean(self, finding: Finding) -> Finding:
        """Return a finding that may be shown."""
        foreign = finding.area != "wire"  # there, all words are those of the API's definitions
        return replace(finding, text=self._text(finding.text, foreign=foreign), details=self._value(finding.details))

    def _text(self, text: str, *, foreign: bool) -> str:
        """Return a text that may be shown, on one line. `foreign`: whether it may quote a server."""
        text = one_line(text)
        for secret in self._secrets:
            pattern = re.escape(secret.reveal())
            if len(secret.reveal()) < _LONG:  # it may be inside of any word
                pattern = rf"(?<!\w){pattern}(?!\w)"
            text = re.sub(pattern, "***", text) if secret.reveal() else text
        if self._names or not foreign:
            return text
        text = _ID.sub("<id>", text)
        for name in sorted(self._resources, key=len, reverse=True):
            text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", "<name>", text)
        return text

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value, foreign=False)
        if isinstance(value, dict):
            return {key: self._value(each) for key, each in cast(dict[str, Any], value).items()}
        return [self._value(each) for each in cast(Iterable[Any], value)] if isinstance(value, list | tuple) else value


def _strings(message: Any) -> Iterator[str]:
    """Yield the names of a spec: its own strings, and those of its model. Engines and zones are no secret."""
    for name in ("id", "name", "identity", "organization_id", "deployment_id"):
        yield str(getattr(message, name, ""))
    model = getattr(message, "model", None)
    if model is not None:
        yield from (model.name, model.bucket, model.path)

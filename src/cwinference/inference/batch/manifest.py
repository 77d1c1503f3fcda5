"""The manifest of a batch, next to OUT: which requests were read, and where they were sent.

By it a run with another input or another model server is refused. It only adds to what each line of OUT says of its
request, so it may be missing, and may lag behind.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple, cast

from ..._text import one_line
from ..._version import __version__
from ...errors import ConfigurationError
from .access import open_existing
from .fingerprint import Fingerprint
from .replacing import replace_file, write_all

log = logging.getLogger("cwinference.batch")

_MARK = "cwinference_batch"
_FORMAT = 1
_LARGEST = 1 << 20


class Shard(NamedTuple):
    """A part of the requests: of `of` parts the one with this number, from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def has(self, line: int) -> bool:
        """Return whether the request in a line belongs to it."""
        return line % self.of == self.number % self.of


@dataclass(frozen=True)
class Manifest:
    """What a batch notes of itself."""

    servers: tuple[str, ...]
    """The ids of gateways and the URLs of other servers, sorted, without anything secret."""
    shard: Shard | None = None
    requests: Fingerprint | None = None
    """None where the requests had no order."""
    finished: bool = False
    """Whether all requests were read, and each is completed or has failed."""
    version: str = __version__
    out: str | None = None
    """The name of OUT. `run` and `run.jsonl` would have the same manifest, and the same file of failures."""

    @classmethod
    def load(cls, path: Path) -> "Manifest | None":
        """Read one; None if there is none, or only what a power loss has left of one.

        Raises:
            ConfigurationError: the file is something else, or of a later version that this one does not know.
        """
        file = open_existing(path, "out: the manifest")
        if file is None:
            return None
        with file:
            return cls.from_content(file.read(_LARGEST) or b"", path)

    @classmethod
    def from_content(cls, content: bytes, path: Path | str, argument: str = "out") -> "Manifest | None":
        """Return the one in the content of a file; None if that is only what a power loss has left of one.

        Raises:
            ConfigurationError: it is something else, or of a later version; `argument` says where to write instead.
        """
        try:
            value = json.loads(content)
            _refuse_later(value, path, argument)
            return _manifest_in(value)
        except ConfigurationError:  # which is a ValueError too
            raise
        except (ValueError, TypeError, KeyError, RecursionError):
            text = content.rstrip(b"\0")
            beginning = f'{{"{_MARK}"'.encode()
            if text.startswith(beginning) or beginning.startswith(text):
                log.warning("%s is damaged, so it is not compared with; the completions themselves are", path)
                return None
            raise ConfigurationError(
                f"{argument}: {path} is not the manifest of a batch, so it was left as it is; move it, or use another "
                f"{argument}"
            ) from None

    @property
    def content(self) -> bytes:
        """What is in the file."""
        value = {
            _MARK: _FORMAT,
            "version": self.version,
            "out": self.out,
            "servers": self.servers,
            "shard": self.shard,
            "requests": None if self.requests is None else self.requests.to_json(),
            "finished": self.finished,
        }
        return json.dumps(value, indent=None).encode() + b"\n"

    def save(self, path: Path) -> None:
        """Write it in place of the one that is there. Raises OSError with the path, and ConfigurationError."""
        content = self.content

        def write(file: FileIO) -> None:
            write_all(file, content)

        replace_file(path, write, "out: the manifest").close()

    def refuse_other_out(self, out: Path) -> None:
        """Raise ConfigurationError if it is that of another OUT that is still there, and not of one renamed since."""
        other = out.parent / (self.out or out.name)
        if other.name != out.name and other.exists() and not (out.exists() and other.samefile(out)):
            raise ConfigurationError(
                f"out: {out} would have the manifest and the failures of {other}, whose name differs only in .jsonl; "
                "use another out"
            )

    def refuse_other_servers(self, servers: Sequence[str], out: Path | str, argument: str = "out") -> None:
        """Raise ConfigurationError if requests are about to be sent elsewhere than before."""
        if sorted(servers) != sorted(self.servers):
            raise refused(
                f"{argument}: the completions in {out} are from {_joined(self.servers)}, and not from "
                f"{_joined(servers)}",
                "to mix them",
                argument,
            )

    def refuse_other_shard(self, shard: Shard | None, out: Path | str, argument: str = "out") -> None:
        """Raise ConfigurationError if another part of the requests is about to be sent than before."""
        if shard != self.shard:
            has, wanted = (f"shard {each}" if each else "all requests" for each in (self.shard, shard))
            raise refused(f"shard: {out} is for {has}, and not for {wanted}", "to mix them", argument)


def refused(what: str, purpose: str, argument: str = "out") -> ConfigurationError:
    """Return the error for a run that does not fit earlier ones, and say how it can be done nevertheless."""
    return ConfigurationError(
        f"{what}; use another {argument}, or force=True {purpose}",
        for_command=f"{what}; use another {argument.upper()}, or --force {purpose}",
    )


def _refuse_later(value: Any, path: Path | str, argument: str) -> None:
    """Raise ConfigurationError if a later version wrote it, in a form that only that one understands."""
    fields = cast(dict[str, Any], value) if isinstance(value, dict) else {}
    form = fields.get(_MARK)
    if isinstance(form, int) and form > _FORMAT:
        version = f"version {fields['version']}" if isinstance(fields.get("version"), str) else "a later version"
        raise ConfigurationError(
            one_line(
                f"{argument}: {path} was written by {version} of cwinference, which this one ({__version__}) cannot "
                f"continue; update cwinference, or use another {argument}"
            )
        )


def _manifest_in(value: Any) -> Manifest:
    """Return the manifest in a value of JSON. Raises ValueError, TypeError or KeyError if it is none."""
    if not isinstance(value, dict) or _MARK not in value:
        raise ValueError
    fields = cast(dict[str, Any], value)
    shard, requests = fields["shard"], fields["requests"]
    return Manifest(
        servers=tuple(str(each) for each in fields["servers"]),
        shard=None if shard is None else Shard(int(shard[0]), int(shard[1])),
        requests=None if requests is None else _fingerprint_in(requests),
        finished=fields["finished"] is True,
        version=str(fields["version"]),
        out=None if fields.get("out") is None else str(fields["out"]),
    )


def _fingerprint_in(fields: dict[str, Any]) -> Fingerprint:
    checkpoints = tuple((int(count), str(value)) for count, value in fields["checkpoints"])
    return Fingerprint(int(fields["count"]), str(fields["fingerprint"]), checkpoints)


def _joined(servers: Sequence[str]) -> str:
    return ", ".join(servers) or "nowhere"

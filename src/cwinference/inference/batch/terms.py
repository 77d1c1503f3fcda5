"""The terms of a run: what it does with what earlier runs have left."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from ..._arguments import check_flag
from ...errors import ConfigurationError
from .manifest import Manifest, Shard


class Terms(NamedTuple):
    """What somebody asked for, checked."""

    servers: tuple[str, ...] = ()
    """The servers that requests are sent to."""
    shard: Shard | None = None
    force: bool = False
    retry_failed: bool = False

    def manifest(self) -> Manifest:
        """Return the manifest of a run, without its requests."""
        return Manifest(self.servers, self.shard)


def check_terms(servers: tuple[str, ...], shard: object, *, force: bool, retry_failed: bool) -> Terms:
    """Return the terms that somebody asks for. Raises ConfigurationError if they cannot be."""
    return Terms(servers, _checked(shard), check_flag(force, "force"), check_flag(retry_failed, "retry_failed"))


def _checked(shard: object) -> Shard | None:
    """Return the part of the requests that somebody wants. Raises ConfigurationError if there is none such."""
    if shard is None:
        return None
    parts = [*cast(Sequence[Any], shard)] if isinstance(shard, list | tuple) else []
    if len(parts) == 2:
        number, of = parts
        if type(number) is int and type(of) is int and 1 <= number <= of:
            return Shard(number, of)
    raise ConfigurationError(f"shard: expected (k, n), the k-th of n parts from (1, n) to (n, n), got {shard!r}")

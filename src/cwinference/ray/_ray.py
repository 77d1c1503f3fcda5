"""The only importer of Ray, when it is needed: an extra, and 240 MB of it."""

import logging
import socket
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from .._extras import missing
from .._text import one_line, reason_of
from ..config import ray_address, set_default_variable
from ..errors import ConfigurationError

log = logging.getLogger("cwinference.batch")

_OFF = ("enable_progress_bars", "enable_operator_progress_bars", "print_on_execution_start", "use_datasource_v2")
"""What is switched off: progress bars, and a reader of Parquet that starts 32 actors, however small the cluster is."""
_PLACE = 1 << 20
"""Bytes of memory that Ray sets aside for an actor."""
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
_PATIENCE = 10.0
"""Seconds to wait for a cluster that is named."""


def ray_module(name: str = "ray") -> Any:
    """Return a module of Ray or pyarrow. Raises ConfigurationError that names the extra if it is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        package = (error.name or name).partition(".")[0]
        raise ConfigurationError(missing("cwinference.ray", package, "ray")) from None
    except ImportError as error:
        raise ConfigurationError(f"cwinference.ray cannot import {name}: {one_line(str(error))}") from None


def check_installed() -> None:
    """Raise ConfigurationError that names the extra, unless all of it is installed."""
    for name in ("ray", "pyarrow", "ray.data", "polars"):
        ray_module(name)


def connect(address: str | None) -> bool:
    """Connect to a cluster, unless this process is connected; return whether it was not.

    Without an address: that of RAY_ADDRESS, or one that runs on this machine; else one is started for this process.
    """
    ray = ray_module()
    if ray.is_initialized():
        return False
    argument, named = ("RAY_ADDRESS", ray_address()) if address is None else ("address", address)
    if named is not None:
        _check_listens(named, argument)
    set_default_variable("RAY_BACKEND_LOG_LEVEL", "fatal")  # notes of Ray's own code, on standard error
    if named is None and _is_gone():
        _start()
        return True
    try:
        ray.init(address=named or "auto", **_QUIET)
    except ConnectionError as error:
        if named is not None:
            raise ConfigurationError(f"{argument}: no Ray cluster at {named!r}: {error}") from None
        _start()
    except ValueError as error:
        raise ConfigurationError(f"{argument}: {error}") from None
    return True


def _start() -> None:
    """Start a cluster for this process."""
    set_default_variable("RAY_USAGE_STATS_ENABLED", "0")
    ray_module().init(address="local", include_dashboard=False, **_QUIET)


def _is_gone() -> bool:
    """Return whether nothing listens where Ray remembers a cluster on this machine: it tries for minutes."""
    try:
        address = str(ray_module("ray._private.utils").read_ray_address() or "")
    except Exception:  # Ray has changed: then it looks for one itself
        return False
    problem = _problem_at(address)
    if problem is not None:
        log.warning("there was a Ray cluster at %s (%s); one is started for this run", address, one_line(problem))
    return problem is not None


def _check_listens(address: str, argument: str) -> None:
    """Refuse HOST:PORT where nothing listens: Ray tries for minutes. Raises ConfigurationError."""
    problem = _problem_at(address)
    if problem is not None:
        raise ConfigurationError(f"{argument}: no Ray cluster at {address!r}: {problem}")


def _problem_at(address: str) -> str | None:
    """Return why nothing can be reached at HOST:PORT; None if it can, or if it is an address of another kind."""
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        return None
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()
    except (OSError, ValueError) as error:
        return reason_of(error)
    return None


@contextmanager
def spread(count: int) -> Generator[dict[str, Any]]:
    """Yield the options of so many actors that shall be on different nodes, as far as there are; end them at last.

    Left to Ray, all of them may be on one. Each gets a place of its own, which costs a bit of memory: CPUs are needed
    by what reads and writes, to the last fraction. Ray 2.64 will not take a `scheduling_strategy` like that any more.
    """
    place = {"memory": _PLACE}
    util, strategies = ray_module("ray.util"), ray_module("ray.util.scheduling_strategies")
    places = util.placement_group([place] * count, strategy="SPREAD")
    try:
        yield {**place, "num_cpus": 0, "scheduling_strategy": strategies.PlacementGroupSchedulingStrategy(places)}
    finally:
        util.remove_placement_group(places)


@contextmanager
def without_deprecations() -> Generator[None]:
    """Make a dataset without a warning for the `scheduling_strategy` of `spread`: a user cannot act on it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
        yield


@contextmanager
def quiet_data() -> Generator[Any]:
    """Run Ray Data without progress bars, notes, and tracebacks of what it raises anyway; yield its context."""
    context = ray_module("ray.data").DataContext.get_current()
    before = {name: getattr(context, name) for name in _OFF if hasattr(context, name)}
    logger = logging.getLogger("ray.data")
    level = logger.level
    try:
        for name in before:
            setattr(context, name, False)
        logger.setLevel(logging.CRITICAL)
        yield context
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            setattr(context, name, value)

"""How a gate is asked: on an event loop an async one is awaited, and a plain one is called on a thread."""

import asyncio
import inspect
from typing import Any

from .. import errors
from ._step import Gate, Step


def is_async(gate: object) -> bool:
    """Return whether a gate is an async function, or an object that is called like one."""
    return inspect.iscoroutinefunction(gate) or inspect.iscoroutinefunction(getattr(gate, "__call__", None))  # noqa: B004


def ask(gate: Gate, step: Step) -> Any:
    """Return what a gate says of a step. Raises ConfigurationError if it is async."""
    verdict = gate(step)
    if inspect.isawaitable(verdict):
        if inspect.iscoroutine(verdict):
            verdict.close()
        raise errors.ConfigurationError("gate: an async one needs AsyncClient")
    return verdict


async def ask_async(gate: Gate, step: Step) -> Any:
    """Do the same on an event loop, where it may be async."""
    verdict: Any = gate(step) if is_async(gate) else await asyncio.to_thread(gate, step)
    return await verdict if inspect.isawaitable(verdict) else verdict

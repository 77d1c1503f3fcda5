"""Fixtures of the tests of the documentation."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def restore_log_level() -> Iterator[None]:
    """Restore the log level that a page may set."""
    logger = logging.getLogger("cwinference")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Work in an empty folder, as a reader who follows a page."""
    monkeypatch.chdir(tmp_path)
    return tmp_path

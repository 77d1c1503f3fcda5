"""One Chromium for all tests of the page; each test gets a page without anything that it kept."""

from collections.abc import Generator

import pytest

from tests.support.browser import LAPTOP, Browser, chromium


@pytest.fixture(scope="session")
def one_browser(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Generator[Browser]:
    if not pytestconfig.getoption("--browser"):
        pytest.skip("`make browser` runs these")
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def browser(one_browser: Browser) -> Generator[Browser]:
    """A browser on a laptop. At the end, the console must have no errors, and no violations of the policy."""
    one_browser.open("about:blank")
    one_browser.size(LAPTOP)
    one_browser.prefer("light")
    one_browser.complaints()
    yield one_browser
    assert one_browser.complaints() == []

"""Take the pictures of the emulator's page for the documentation: `python -m tools.page_pictures docs/pictures`."""

import sys
import tempfile
from pathlib import Path

from tests.support.browser import PHONE, Browser, Scheme, chromium
from tests.support.lively_emulator import lively_emulator

_PICTURES: dict[str, tuple[tuple[int, int], Scheme]] = {
    "page-laptop.png": ((1280, 760), "light"),
    "page-phone.png": (PHONE, "dark"),
}


def main(folder: Path) -> None:
    """Write the pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as temporary,
        lively_emulator() as emulator,
        chromium(Path(temporary)) as browser,
    ):
        browser.open(emulator.page_url or "")
        browser.find("article", "chat")
        browser.find("#chat-text").type("Say something about GPUs.")
        browser.find("#chat-send").click()
        browser.find(".message-note", "ms")
        browser.find(".request-list summary", "chat/completions")
        browser.find("#hot-load-list .badge", "COMPLETED")
        for name, (size, scheme) in _PICTURES.items():
            take(browser, folder / name, size, scheme)


def take(browser: Browser, path: Path, size: tuple[int, int], scheme: Scheme) -> None:
    """Take a picture of what is in sight first."""
    browser.size(size)
    browser.prefer(scheme)
    browser.run("document.activeElement.blur(); scrollTo(0, 0); document.querySelector('#messages').scrollTop = 9999")
    path.write_bytes(browser.picture())


if __name__ == "__main__":
    main(Path(sys.argv[1]))

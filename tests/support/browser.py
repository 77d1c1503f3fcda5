"""A headless Chromium, driven by its own WebDriver over plain HTTP."""

import re
import shutil
import subprocess
import time
from base64 import b64decode
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx

T = TypeVar("T")
Scheme = Literal["light", "dark"]

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
CHROMEDRIVER = shutil.which("chromedriver") or ""
LAPTOP, PHONE = (1366, 768), (390, 844)
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no network but this machine
)
KEYS = {"Tab": "\ue004", "Enter": "\ue007", "Space": " ", "Escape": "\ue00c", "Backspace": "\ue003"}


class Element:
    """An element of a page."""

    def __init__(self, browser: "Browser", id: str) -> None:
        self.browser = browser
        self.id = id

    @property
    def text(self) -> str:
        return str(self.browser.ask("GET", f"element/{self.id}/text"))

    def click(self) -> None:
        # WebDriver scrolls it to the very edge, where the bar covers it.
        script = "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})"
        self.browser.run(script, {_ELEMENT: self.id})
        self.browser.ask("POST", f"element/{self.id}/click", {})

    def type(self, text: str, *, clear: bool = True) -> None:
        if clear:
            self.browser.ask("POST", f"element/{self.id}/clear", {})
        self.browser.ask("POST", f"element/{self.id}/value", {"text": text})


class Browser:
    """One window. All that is looked for is waited for."""

    def __init__(self, driver: httpx.Client, session: str) -> None:
        self._driver = driver
        self._session = session

    def ask(self, verb: str, path: str, body: Any = None) -> Any:
        """Send a WebDriver command, and return its value."""
        response = self._driver.request(verb, f"session/{self._session}/{path}", json=body)
        value = response.json()["value"]
        if response.is_error:
            raise BrowserError(f"{value['error']}: {value['message'].splitlines()[0]}")
        return value

    def open(self, url: str) -> None:
        self.ask("POST", "url", {"url": url})

    @property
    def url(self) -> str:
        return str(self.ask("GET", "url"))

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript in the page, and return what it returns."""
        return self.ask("POST", "execute/sync", {"script": script, "args": list(arguments)})

    def devtools(self, method: str, **parameters: Any) -> Any:
        """Call a method of the DevTools protocol."""
        return self.ask("POST", "goog/cdp/execute", {"cmd": method, "params": parameters})

    def size(self, size: tuple[int, int], *, scale: float = 1) -> None:
        width, height = size
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )

    def prefer(self, scheme: Scheme) -> None:
        features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        self.devtools(
            "Emulation.setEmulatedMedia", features=[{"name": name, "value": value} for name, value in features.items()]
        )

    def find(self, css: str, text: str = "") -> Element:
        """Wait for a visible element, which has a text, and return the first one."""

        def found() -> Element | None:
            script = (
                "const [css, text] = arguments;"
                "return [...document.querySelectorAll(css)].find((each) => each.checkVisibility()"
                " && (each.textContent + (each.getAttribute('aria-label') || '')).includes(text))"
            )
            element = self.run(script, css, text)
            return Element(self, element[_ELEMENT]) if element else None

        return self.wait(found, f"no visible {css} with {text!r}")

    def wait_for_change(self, css: str) -> None:
        """Wait until the text of an element changes."""
        before = self.find(css).text
        self.wait(lambda: self.find(css).text != before, f"{css} stays {before!r}")

    def press(self, key: str) -> None:
        """Press and release a key, or type a text into what has the focus."""
        keys = [KEYS[key]] if key in KEYS else list(key)
        actions = [{"type": kind, "value": each} for each in keys for kind in ("keyDown", "keyUp")]
        self.ask("POST", "actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def focused(self) -> str:
        """Return the name of what has the focus, as a screen reader says it, more or less."""
        script = (
            "const it = document.activeElement;"
            "const label = it.getAttribute('aria-label') || it.labels?.[0]?.textContent.trim();"
            "return label || it.textContent.trim() || it.id"
        )
        return str(self.run(script))

    def tab_to(self, name: str, most: int = 60) -> None:
        """Press Tab until something has the focus whose name begins so."""
        names: list[str] = []
        for _ in range(most):
            self.press("Tab")
            names.append(self.focused())
            if names[-1].startswith(name):
                return
        raise AssertionError(f"Tab does not lead to {name!r}, but to {names}")

    def complaints(self) -> Sequence[str]:
        """Return what the console has got since the last time: errors, and violations of the policy."""
        return [str(each["message"]) for each in self.ask("POST", "se/log", {"type": "browser"})]

    def picture(self, *, whole: bool = False) -> bytes:
        """Return a screenshot as PNG."""
        parameters: dict[str, Any] = {"captureBeyondViewport": True} if whole else {}
        return b64decode(self.devtools("Page.captureScreenshot", format="png", **parameters)["data"])

    def wait(self, get: Callable[[], T | None], problem: str, seconds: float = 10) -> T:
        """Wait until `get` returns something true. It is polled: a page does not report its changes to a driver."""
        end = time.monotonic() + seconds
        while True:
            try:
                if value := get():
                    return value
            except BrowserError as error:  # the page has changed in between
                problem = f"{problem} ({error})" if time.monotonic() >= end else problem
            if time.monotonic() >= end:
                raise AssertionError(f"{problem}; the page says: {self.run('return document.body.innerText')}")
            time.sleep(0.05)


class BrowserError(Exception):
    """A command failed."""


@contextmanager
def chromium(folder: Path) -> Generator[Browser]:
    """Run a headless Chromium with a fresh profile in a folder, which also gets the driver's log."""
    if not CHROMIUM or not CHROMEDRIVER:
        raise RuntimeError("no Chromium: install Debian's packages chromium and chromium-driver, or run `make browser`")
    log = folder / "chromedriver.log"
    command = [CHROMEDRIVER, "--port=0", f"--log-path={log}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            port = next(found[1] for line in process.stdout if (found := re.search(r"on port (\d+)\.", line)))
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as driver:
                options = {"binary": CHROMIUM, "args": [*_ARGUMENTS, f"--user-data-dir={folder / 'profile'}"]}
                capabilities = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
                response = driver.post("session", json={"capabilities": {"alwaysMatch": capabilities}})
                value = response.json()["value"]
                if response.is_error:
                    raise BrowserError(value["message"])
                try:
                    yield Browser(driver, value["sessionId"])
                finally:
                    driver.delete(f"session/{value['sessionId']}")
        finally:
            process.terminate()

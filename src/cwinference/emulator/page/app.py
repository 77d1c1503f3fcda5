"""The emulator's page as an ASGI application in front of another one, which gets all other requests.

The page is the same for everybody, and contains no token: what it shows comes from the admin routes and the API, with
the token that its user has. So its files need none.
"""

from importlib import resources
from urllib.parse import quote

from ..protocols.asgi import App, AsgiExchange, Disconnected, Receive, Scope, Send

FILES = {
    "/": ("index.html", b"text/html; charset=utf-8"),
    "/_emulator/page.css": ("page.css", b"text/css; charset=utf-8"),
    "/_emulator/page.js": ("page.js", b"text/javascript; charset=utf-8"),
}
"""The paths of the files, their names and their types."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Nothing inline, nothing from elsewhere, no text that becomes code; the picture is the icon in the tab."""
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-cache"),
)
_OFF = "the page is off beyond the loopback interface; start the emulator with --admin"


class Page:
    """An ASGI application that responds to browsers at `/`, and passes all other requests on."""

    def __init__(self, app: App, *, is_open: bool) -> None:
        """Wrap an application.

        Args:
            app: gets all other requests.
            is_open: whether the page is there, as the admin routes are.
        """
        self._app = app
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        found = FILES.get(scope["path"]) if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") else None
        if found is None or (scope["path"] == "/" and not _accepts_html(scope)):
            await self._app(scope, receive, send)
            return
        exchange = AsgiExchange(scope, receive, send)
        try:
            if not self._is_open:
                await exchange.respond_text(404, _OFF, *_HEADERS)
                return
            name, content_type = found
            body = resources.files("cwinference.emulator.page").joinpath(name).read_bytes()
            await exchange.respond(200, [(b"content-type", content_type), *_HEADERS], body)
        except Disconnected:
            return


def page_url(base: str, token: str) -> str:
    """Return the URL that opens the page with a token, in the fragment: browsers send that to no server."""
    return f"{base.rstrip('/')}/#token={quote(token, safe='')}"


def _accepts_html(scope: Scope) -> bool:
    """Return whether a request takes HTML, as browsers say, or anything, as curl does."""
    accept = dict(scope["headers"]).get(b"accept", b"*/*").decode("latin-1")
    ranges = accept.lower().split(",")
    return any(each.partition(";")[0].strip() in ("text/html", "text/*", "*/*") for each in ranges)

"""The page's files by path, with headers by which the page runs and asks nothing of elsewhere. Pure."""

from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

import clients

__all__ = ["CSP", "Files"]

_STATIC: Final = Path(__file__).with_name("static")
_CLIENT: Final = Path(clients.__file__).with_name("javascript") / "src"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)


class Files:
    """The files of the page, read once: ``/``, ``/….js``, and the client for JavaScript below ``/client/``."""

    def __init__(self) -> None:
        found = {f"/{it.name}": it for it in _STATIC.iterdir() if it.suffix in _TYPES}
        found |= {f"/client/{it.name}": it for it in _CLIENT.glob("*.js")}
        found["/"] = found.pop("/index.html")
        self._files = {path: (it.read_bytes(), _TYPES[it.suffix]) for path, it in found.items()}

    def __call__(self, _: Any, request: Request) -> Response | None:
        """Answer a plain GET of a file; the edge answers all else. The hook ``process_request`` of an edge."""
        file = self._files.get(request.path.partition("?")[0])
        if file is None or request.method not in ("GET", "HEAD") or "Upgrade" in request.headers:
            return None
        body, content_type = file
        return Response(HTTPStatus.OK, "OK", Headers(_headers(content_type, len(body))), body)


def _headers(content_type: str, size: int) -> list[tuple[str, str]]:
    return [
        ("Date", formatdate(usegmt=True)),
        ("Connection", "close"),
        ("Content-Type", content_type),
        ("Content-Length", str(size)),
        ("Cache-Control", "no-cache"),
        ("Content-Security-Policy", CSP),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
    ]

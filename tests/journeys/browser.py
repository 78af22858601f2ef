"""A page in a real Chromium: the test serves it, tells it what to do, and hears what it saw."""

import json
import queue
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from tests.journeys.processes import Processes, Running, program

_PAGE: Final = Path(__file__).with_name("page.html")
_POLL_S: Final = 0.5
_FLAGS: Final = (
    "--headless",
    "--no-sandbox",  # a test may run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP *.example 127.0.0.1",
)


class Page:
    """One page, served at an origin of its own; what it saw stands in ``saw``.

    Args:
        host: by which it is called; a name leads here too, in the browser that opens the page.
        html: None: a page that opens a WebSocket and does as it is told.
        scripts: the folder of modules that the page loads from ``/client/``.

    """

    def __init__(self, host: str = "127.0.0.1", html: bytes | None = None, scripts: Path | None = None) -> None:
        self.saw: list[dict[str, Any]] = []
        self.orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        page = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path.startswith("/next"):
                    self._answer(json.dumps(page.next_order()).encode(), "application/json")
                elif scripts is not None and self.path.startswith("/client/"):
                    self._answer((scripts / Path(self.path).name).read_bytes(), "text/javascript")
                else:
                    self._answer(_PAGE.read_bytes() if html is None else html, "text/html")

            def do_POST(self) -> None:
                page.saw.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self._answer(b"{}", "application/json")

            def _answer(self, body: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.origin = f"http://{host}:{self._server.server_address[1]}"

    def next_order(self) -> dict[str, Any]:
        """Return what to do next; nothing after a while, so that no thread waits for good."""
        try:
            return self.orders.get(timeout=_POLL_S)
        except queue.Empty:
            return {}

    @contextmanager
    def served(self) -> Iterator["Page"]:
        """Serve it."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def open(self, processes: Processes, edge_port: int, folder: Path, *, edge_host: str = "127.0.0.1") -> Running:
        """Open it in a Chromium of its own, where it connects to an edge; every name leads to this machine there."""
        chromium = shutil.which("google-chrome") or program("chromium", "chromium")
        url = f"{self.origin}/?edge={quote(f'ws://{edge_host}:{edge_port}')}"
        return processes.start(chromium, *_FLAGS, f"--user-data-dir={folder}", url)

    def first(self, key: str) -> Any:
        """Return what it saw first under ``key``, None until then."""
        return next((it[key] for it in self.saw if key in it), None)

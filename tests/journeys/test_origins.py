"""Pages in a real Chromium: the listed one is let in, another one is refused."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Final

import pytest

from bus.embedded import EmbeddedBroker
from tests.journeys.processes import EDGEBUS, Processes, environment, free_port, program, wait_ready

DEADLINE_S: Final = 30.0
PAGE: Final = """<!doctype html><title>a page</title><script>
const tell = (what) => fetch("/tell", {method: "POST", body: what});
const socket = new WebSocket("ws://127.0.0.1:%d/");
socket.onmessage = (message) => tell("welcomed: " + JSON.parse(message.data).event);
socket.onclose = (event) => tell("closed: " + event.code);
</script>"""


@contextmanager
def served(edge_port: int) -> Iterator[tuple[str, "SimpleQueue[str]"]]:
    """Serve the page on an origin of its own; give that, and what the page tells."""
    told: SimpleQueue[str] = SimpleQueue()

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer((PAGE % edge_port).encode() if self.path == "/" else b"")

        def do_POST(self) -> None:
            told.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever, name="page")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", told
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.timeout(90)
def test_pages_in_chromium(processes: Processes, broker: EmbeddedBroker, tmp_path: Path) -> None:
    """The listed page is welcomed; the same one from another port sees 1006, which is how browsers show a 403."""
    chromium = program("chromium", "chromium")
    port = free_port()
    with served(port) as (listed, told), served(port) as (other, told_other):
        env = environment(EDGEBUS_ALLOWED_ORIGINS=listed)
        edge = processes.start(*EDGEBUS, "edge", "mahavishnu", "--port", str(port), "--redis", broker.url, env=env)
        wait_ready(edge, port)
        words = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
        for number, page in enumerate((listed, other)):
            profile = f"--user-data-dir={tmp_path / str(number)}"
            processes.start(chromium, *words, profile, "--remote-debugging-port=0", f"{page}/")
        assert told_other.get(timeout=DEADLINE_S) == "closed: 1006"
        assert told.get(timeout=DEADLINE_S) == "welcomed: session.created"
        processes.end()

"""docs/moving-over.md: every block runs, and what is refused names the setting of the table."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bus.broker.embedded import EmbeddedBroker
from edgebus.compat import WebSocketServer
from edges import EdgeSettings
from tests.docs.pages import ROOT, blocks
from tests.edgebus.compat.services import MahavishnuWebSocketServer

DEADLINE_S = 30.0
PAGE = "docs/moving-over.md"


def block(language: str) -> str:
    (found,) = [it.text for it in blocks(PAGE) if it.language == language]
    return found


def test_import_line_has_names_that_there_are() -> None:
    """The line that replaces the old one imports the same names."""
    old, new = [line[1:] for line in block("diff").splitlines()]
    assert old.partition(" import ")[2] == new.partition(" import ")[2]
    subprocess.run([sys.executable, "-c", new], cwd=ROOT, timeout=DEADLINE_S, check=True)


def test_service_prints_what_the_page_says(broker: EmbeddedBroker) -> None:
    """Two replicas, a client of one, a broadcast of the other."""
    environment = {**os.environ, "EDGEBUS_REDIS_URL": broker.url, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-c", block("python")]
    ran = subprocess.run(argv, env=environment, timeout=DEADLINE_S, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == block("text")


def test_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable of the page shows in the server."""
    for line in block("sh").splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        monkeypatch.setenv(name, value)
    server = MahavishnuWebSocketServer()
    assert (server.require_auth, server.authenticator.token_expiry) == (True, 3600)
    assert server.authenticator.secret == os.environ["MAHAVISHNU_JWT_SECRET"]
    assert (server.tls_enabled, server.cert_file, server.key_file) == (True, "cert.pem", "key.pem")
    assert server.allowed_origins == "https://app.example.com"


def test_settings_file_is_read(tmp_path: Path) -> None:
    """The section of the page is taken, beside a section of the service's."""
    file = tmp_path / "settings.yaml"
    file.write_text(block("yaml"))
    server: WebSocketServer = MahavishnuWebSocketServer.from_settings(file)
    assert (server.host, server.port, server.max_connections) == ("127.0.0.1", 8690, 500)


def test_settings_of_the_table_are_settings() -> None:
    """Each variable that would allow what is refused is one that an edge reads."""
    named = re.findall(r"EDGEBUS_([A-Z_]+[A-Z])", (ROOT / PAGE).read_text("utf-8"))
    assert {name.lower() for name in named} <= EdgeSettings.model_fields.keys()

"""docs/tls.md: what it shows runs, and its table is that of the settings."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import yaml

from edges import EdgeSettings
from tests.docs.pages import ROOT, blocks

DEADLINE_S = 20.0
PAGE = "docs/tls.md"


def block(language: str) -> str:
    (found,) = [it.text for it in blocks(PAGE) if it.language == language]
    return found


def test_page_makes_a_certificate_serves_with_it_and_connects(tmp_path: Path) -> None:
    """The commands work as they stand, and the client is welcomed over TLS."""
    environment = {**os.environ, "EDGEBUS_REDIS_URL": "redis://127.0.0.1:1", "PYTHONPATH": str(ROOT)}
    make, serve = (shlex.split(line)[1:] for line in block("sh").splitlines())
    argv = [sys.executable, "-m", "edgebus"]
    subprocess.run([*argv, *make], cwd=tmp_path, env=environment, timeout=DEADLINE_S, check=True, capture_output=True)
    with subprocess.Popen(
        [*argv, *serve, "--port", "0"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as edge:
        try:
            assert edge.stdout is not None
            url = re.search(r"wss://127\.0\.0\.1:(\d+)", edge.stdout.readline().decode())
            assert url is not None
            client = [sys.executable, "-c", block("python").replace("8690", url[1])]
            ran = subprocess.run(client, cwd=tmp_path, capture_output=True, timeout=DEADLINE_S, check=False)
        finally:
            edge.kill()
    assert ran.returncode == 0, ran.stderr
    assert b'"session.created"' in ran.stdout
    assert b'"secure":true' in ran.stdout.replace(b" ", b"")


def test_page_has_settings_that_there_are(tmp_path: Path) -> None:
    """The YAML is read, and every name of the table is a setting."""
    (tmp_path / "edge.yaml").write_text(block("yaml"))
    settings = EdgeSettings.load(tmp_path / "edge.yaml")
    assert list(settings.allowed_origins) == yaml.safe_load(block("yaml"))["websocket"]["allowed_origins"]
    rows = re.findall(r"^\| (`.+?`) \|", (ROOT / PAGE).read_text(), re.M)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert len(named) == 6
    assert named <= EdgeSettings.model_fields.keys()

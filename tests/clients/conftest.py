"""A certificate for tests that speak TLS."""

import ssl
import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Make a certificate for 127.0.0.1 that is its own authority; return where it is, with its key beside it."""
    subject = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem"))
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*argv, *files, *subject, "-days", "1"], check=True, capture_output=True)
    return tmp_path / "cert.pem"


@pytest.fixture
def served(certificate: Path) -> ssl.SSLContext:
    """Return what an edge serves ``wss`` with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    return context


@pytest.fixture
def trusting(certificate: Path) -> ssl.SSLContext:
    """Return what a client trusts that edge with."""
    return ssl.create_default_context(cafile=certificate)

import socket
import ssl
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography import x509

from bus.errors import BusError
from edgebus.commands.certificates import own_names, write_dev

FILES = ("edgebus-ca.pem", "edgebus-cert.pem", "edgebus-key.pem")


def greet(directory: Path, name: str) -> str:
    """Let a strict client shake hands with a server that has the pair; return the version of TLS."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(directory / FILES[1], directory / FILES[2])
    client = ssl.create_default_context(cafile=directory / FILES[0])
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    here, there = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(there, server_side=True).close()
        except ssl.SSLError:
            there.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(here, server_hostname=name) as wrapped:
            return str(wrapped.version())
    finally:
        here.close()
        thread.join()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "bus.example", "10.1.2.3", "münchen.example"])
def test_certificate_is_good_for_each_of_its_names(tmp_path: Path, name: str) -> None:
    """A client that trusts the authority, and checks as strictly as Python can, accepts every name and address."""
    write_dev(tmp_path, extra=["bus.example", "10.1.2.3", "münchen.example"], days=7, force=False)
    assert greet(tmp_path, name) == "TLSv1.3"


def test_certificate_is_good_for_no_other_name(tmp_path: Path) -> None:
    """Names that were not given are refused."""
    write_dev(tmp_path, extra=[], days=7, force=False)
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        greet(tmp_path, "other.example")


def test_names_of_this_machine_are_there() -> None:
    """localhost, both loopback addresses and the machine's own name; what is given twice is there once."""
    assert own_names(["localhost", "x"]) == ["localhost", "127.0.0.1", "::1", socket.gethostname(), "x"]


def test_key_is_for_its_user_only(tmp_path: Path) -> None:
    """The key has mode 0600 from its first byte on, and the authority's key is nowhere."""
    write_dev(tmp_path / "new", extra=[], days=7, force=False)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == list(FILES)
    assert stat.S_IMODE((tmp_path / "new" / FILES[2]).stat().st_mode) == 0o600
    assert sum(b"PRIVATE KEY" in path.read_bytes() for path in (tmp_path / "new").iterdir()) == 1


def test_files_are_not_replaced_without_force(tmp_path: Path) -> None:
    """A key that is in use must not vanish by a slip; --force replaces all three, and the mode stays."""
    (tmp_path / FILES[2]).write_text("somebody's key")
    with pytest.raises(BusError, match="--force"):
        write_dev(tmp_path, extra=[], days=7, force=False)
    assert [path.name for path in tmp_path.iterdir()] == [FILES[2]]
    assert (tmp_path / FILES[2]).read_text() == "somebody's key"
    (tmp_path / FILES[2]).chmod(0o644)
    write_dev(tmp_path, extra=[], days=7, force=True)
    assert stat.S_IMODE((tmp_path / FILES[2]).stat().st_mode) == 0o600
    assert greet(tmp_path, "localhost")


def test_days_are_counted_from_now(tmp_path: Path) -> None:
    """Certificate and authority end after the days that were asked for, and began an hour ago for slow clocks."""
    write_dev(tmp_path, extra=[], days=90, force=False)
    for name in FILES[:2]:
        found = x509.load_pem_x509_certificate((tmp_path / name).read_bytes())
        assert (found.not_valid_after_utc - found.not_valid_before_utc).days == 90


@pytest.mark.parametrize("name", ["a b", "", "x..y", "http://x", "1.2.3.4/8", "a" * 300])
def test_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    """What no client could ask for is named, and nothing is written."""
    with pytest.raises(BusError, match="neither an address nor the name of a host"):
        write_dev(tmp_path, extra=[name], days=7, force=False)
    assert list(tmp_path.iterdir()) == []


def test_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """A file in the place of the directory is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BusError, match="file"):
        write_dev(tmp_path / "file", extra=[], days=7, force=False)


def test_command(tmp_path: Path) -> None:
    """The command says where the files are and how to use them; a second time it ends with 1 and changes nothing."""

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        argv = [sys.executable, "-m", "edgebus", "cert", *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)

    first = run("--dev", "--dir", str(tmp_path), "--name", "bus.example")
    assert first.returncode == 0, first.stderr
    assert "--set tls_certificate=" in first.stdout
    assert "bus.example" in first.stdout
    again = run("--dev", "--dir", str(tmp_path))
    assert (again.returncode, "--force" in again.stderr) == (1, True)
    without = run("--dir", str(tmp_path))
    assert (without.returncode, "--dev" in without.stderr) == (2, True)

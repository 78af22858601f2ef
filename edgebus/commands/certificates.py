"""``edgebus cert --dev``: a certificate for this machine, to try TLS with.

An authority is made, signs one certificate, and the authority's key is forgotten: trust in the authority is trust in
one certificate.
"""

import os
import platform
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bus.errors import BusError
from edgebus.terminal import show

__all__ = ["Pair", "issue", "make_authority", "own_names", "write_dev"]

_FILES: Final = ("edgebus-ca.pem", "edgebus-cert.pem", "edgebus-key.pem")
_HOST: Final = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_SKEW: Final = timedelta(hours=1)
"""A container's clock may be behind its host's."""


class Pair(NamedTuple):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate in PEM form."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key in PEM form, not encrypted."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def write_dev(directory: Path, *, extra: Iterable[str], days: int, force: bool) -> None:
    """Write authority, certificate and key, the key for the user's eyes only (mode 0600), and print the next steps.

    Raises:
        BusError: a file is there already, cannot be written, or a name is invalid.

    """
    authority = make_authority(days)
    names = own_names(extra)
    leaf = issue(authority, names, days, ExtendedKeyUsageOID.SERVER_AUTH)
    ca_file, certificate, key = (directory / name for name in _FILES)
    if not force and (found := [path for path in (ca_file, certificate, key) if path.exists()]):
        raise BusError(f"{found[0]} is there already; --force replaces it, --dir puts the files elsewhere")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _write(key, leaf.key_pem, mode=0o600)
        _write(certificate, leaf.pem, mode=0o644)
        _write(ca_file, authority.pem, mode=0o644)
    except OSError as error:
        raise BusError(f"{error.filename} cannot be written: {error.strerror}") from None
    show(f"{certificate} and {key}: for {', '.join(names)}, for {days} days")
    show(f"serve with it: edgebus edge SERVICE --set tls_certificate={certificate} --set tls_key={key}")
    show(f"clients must trust {ca_file}; its key is gone, so it vouches for this one certificate only")


def own_names(extra: Iterable[str]) -> list[str]:
    """Return the machine's names and addresses, with ``extra``, each once."""
    return list(dict.fromkeys(["localhost", "127.0.0.1", "::1", platform.node(), *extra]))


def make_authority(days: int) -> Pair:
    """Make an authority for certificates of servers and clients."""
    key = ec.generate_private_key(ec.SECP256R1())
    # RFC 5280, appendix A: a common name has at most 64 characters (ub-common-name).
    name = _name(f"edgebus development authority on {platform.node()}"[:64])
    builder = _begun(name, name, key.public_key(), days).add_extension(x509.BasicConstraints(True, 0), critical=True)
    return Pair(_with_usage(builder, signs=True).sign(key, hashes.SHA256()), key)


def issue(authority: Pair, names: Iterable[str], days: int, purpose: x509.ObjectIdentifier) -> Pair:
    """Make a certificate with names and addresses, signed by ``authority``, for one purpose (RFC 5280, 4.2.1.12).

    Raises:
        BusError: a name is neither an address nor the name of a host.

    """
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate
    listed = [_general(name) for name in names]
    builder = _begun(_name("edgebus development"), issuer.subject, key.public_key(), days)
    builder = (
        _with_usage(builder, signs=False)
        .add_extension(x509.BasicConstraints(False, None), critical=True)
        .add_extension(x509.SubjectAlternativeName(listed), critical=False)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    return Pair(builder.sign(authority.key, hashes.SHA256()), key)


def _begun(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _with_usage(builder: x509.CertificateBuilder, *, signs: bool) -> x509.CertificateBuilder:
    usage = x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
    return builder.add_extension(usage, critical=True)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        pass
    try:
        # Certificates hold names in ASCII (RFC 5280, 7.2), and clients compare in ASCII, too.
        ascii_name = name.encode("idna").decode().lower()
    except UnicodeError:
        ascii_name = ""
    if _HOST.fullmatch(ascii_name) is None:
        raise BusError(f"{name!a} is neither an address nor the name of a host")
    return x509.DNSName(ascii_name)


def _write(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file with ``mode`` from the first moment, and replace an older file in one step."""
    # `chmod` after the writing would leave a moment in which others read the key.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise

"""Certificate and key for ``wss``, their end, and no ``ws`` where other machines reach the port."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NoReturn

from bus.values import frozen
from edges.net.addresses import is_loopback
from edges.settings import EdgeSettings, SettingsError

__all__ = ["Identity", "check_exposure", "expiry_warning", "identity"]

_NOTICE: Final = timedelta(days=30)
_TRY: Final = "`edgebus cert --dev` makes a pair to try"


@frozen
class Identity:
    """The certificate of an edge; ``expires`` is the earliest end in the chain."""

    context: ssl.SSLContext
    expires: datetime


def identity(settings: EdgeSettings) -> Identity | None:
    """Load the files of the settings; None for settings without a certificate. TLS 1.2 or newer.

    Raises:
        SettingsError: a file cannot be read, has the wrong content, or does not go with the others.

    """
    certificate, key, client_ca = settings.tls_certificate, settings.tls_key, settings.tls_client_ca
    if certificate is None:
        for name, path in (("tls_key", key), ("tls_client_ca", client_ca)):
            if path is not None:
                raise SettingsError(f"{name}: is for an edge with tls_certificate only; set that too")
        return None
    expires = _expiry(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # it costs a server ten times what it costs a client
    context.num_tickets = 1  # a client comes back on one connection; a second ticket is 15 µs of each handshake
    context.set_alpn_protocols(["http/1.1"])
    _load_pair(context, certificate, key)
    if client_ca is not None:
        _demand_certificates(context, client_ca)
    return Identity(context, expires)


def expiry_warning(expires: datetime, now: datetime) -> str | None:
    """Return the warning about a certificate that ends within 30 days; None before."""
    left = expires - now
    if left > _NOTICE:
        return None
    remedy = "renew it, and restart the edge with the new one"
    if left <= timedelta(0):
        return f"the TLS certificate expired on {expires:%Y-%m-%d}, and clients refuse it; {remedy}"
    return f"the TLS certificate expires on {expires:%Y-%m-%d}, in {left.days} days; {remedy}"


def check_exposure(host: str, settings: EdgeSettings, *, is_tls: bool) -> None:
    """Refuse to listen without TLS where other machines may reach the port.

    Raises:
        SettingsError: ``host`` is no loopback address, there is no TLS, and no setting says that a proxy ends TLS.

    """
    # decisions/0026: a name other than localhost counts as public, whatever the name resolves to today.
    if is_tls or settings.insecure_behind_proxy or is_loopback(host):
        return
    raise SettingsError(
        f"host: will not listen on {host or 'every address'} without TLS, where others could read tokens and events; "
        f"set tls_certificate and tls_key ({_TRY}), or --insecure-behind-proxy where a proxy in front ends TLS"
    )


def _expiry(certificate: Path) -> datetime:
    from cryptography import x509  # here: few edges end TLS themselves, and all would load it

    content = _read("tls_certificate", certificate)
    try:
        found = x509.load_pem_x509_certificates(content)
    except ValueError:
        raise SettingsError(f"tls_certificate: {certificate} holds no certificate in PEM form; {_TRY}") from None
    return min(one.not_valid_after_utc for one in found).astimezone(UTC)


def _load_pair(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    holder, name = (certificate, "tls_certificate") if key is None else (key, "tls_key")
    _read(name, holder)

    def refuse() -> NoReturn:  # else OpenSSL asks at the terminal, and an edge under systemd waits for ever
        raise SettingsError(
            f"{name}: the key in {holder} is encrypted; "
            f"`openssl pkey -in {holder} -out plain.pem` writes one that an edge can read (then chmod 600)"
        )

    try:
        context.load_cert_chain(certificate, key, password=refuse)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise SettingsError(
                f"{name}: the key in {holder} does not belong to the certificate in {certificate}; "
                "take the one that was made with it, and put the edge's own certificate first in its file"
            ) from None
        raise SettingsError(f"{name}: {holder} holds no usable key in PEM form; {_TRY}") from None


def _demand_certificates(context: ssl.SSLContext, client_ca: Path) -> None:
    _read("tls_client_ca", client_ca)
    try:
        context.load_verify_locations(client_ca)
    except ssl.SSLError:
        raise SettingsError(f"tls_client_ca: {client_ca} holds no certificate in PEM form") from None
    context.verify_mode = ssl.CERT_REQUIRED


def _read(name: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(f"{name}: {file} cannot be read: {error.strerror}; {_TRY}") from None

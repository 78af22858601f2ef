"""What a service of the ecosystem has set already: its variables and its settings file, as arguments of a server."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from edgebus.compat.authenticator import WebSocketAuthenticator
from edges import EdgeSettings, SettingsError

__all__ = ["edge_settings", "from_environment", "from_file"]

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"", "0", "false", "no", "off"})
_TLS: Final = {"cert_file": "CERT_FILE", "key_file": "KEY_FILE", "ca_file": "CA_FILE"}
_FLAGS: Final = {"tls_enabled": "TLS_ENABLED", "verify_client": "VERIFY_CLIENT"}
_KEYS: Final = frozenset(
    (
        "host",
        "port",
        "max_connections",
        "message_rate_limit",
        "require_auth",
        "cert_file",
        "key_file",
        "ca_file",
        "tls_enabled",
        "verify_client",
        "server_name",
        "allowed_origins",
        "redis_url",
    )
)


class _Variables:
    """The variables of a service, by the end of their names."""

    def __init__(self, names: Sequence[str], environment: Mapping[str, str]) -> None:
        self._prefixes = [name.upper().replace("-", "_") for name in names]
        self._environment = environment

    def name(self, suffix: str) -> str:
        """Return the name that is set, else the name under the service's first name."""
        spelled = [f"{prefix}_{suffix}" for prefix in self._prefixes]
        return next((name for name in spelled if name in self._environment), spelled[0])

    def get(self, suffix: str) -> str | None:
        """Return the value of a variable, None where no name of the service has one."""
        return self._environment.get(self.name(suffix))

    def truth(self, suffix: str) -> bool:
        """Return the value of a switch, False where it is not set.

        Raises:
            SettingsError: the value is none of a switch.

        """
        value = (self.get(suffix) or "").lower()
        if value not in _TRUE | _FALSE:
            raise SettingsError(f"{self.name(suffix)}: expected true or false")
        return value in _TRUE


def from_environment(names: Sequence[str], environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the arguments set by ``{SERVICE}_JWT_SECRET``, ``_AUTH_ENABLED``, ``_WS_TLS_ENABLED`` and the like.

    ``names`` are the service's.

    Raises:
        SettingsError: a variable has a wrong value, or authentication is on without a secret.

    """
    variables = _Variables(names, environment)
    found: dict[str, Any] = {}
    for name, suffix in _TLS.items():
        if value := variables.get(f"WS_{suffix}"):
            found[name] = value
    found |= {name: variables.truth(f"WS_{suffix}") for name, suffix in _FLAGS.items()}
    if value := variables.get("WS_ALLOWED_ORIGINS"):
        found["allowed_origins"] = value
    if variables.truth("AUTH_ENABLED"):
        found |= {"authenticator": _authenticator(variables), "require_auth": True}
    return found


def _authenticator(variables: _Variables) -> WebSocketAuthenticator:
    secret, expiry = variables.get("JWT_SECRET"), variables.get("TOKEN_EXPIRY") or "3600"
    if not secret:
        switch, wanted = variables.name("AUTH_ENABLED"), variables.name("JWT_SECRET")
        raise SettingsError(f"{switch} is on and {wanted} is not set; set it, or pass authenticator=")
    if not expiry.isdecimal() or int(expiry) < 1:
        raise SettingsError(f"{variables.name('TOKEN_EXPIRY')}: expected seconds, such as 3600")
    return WebSocketAuthenticator(secret, token_expiry=int(expiry))


def from_file(file: Path) -> dict[str, Any]:
    """Return the arguments in a settings file's ``websocket:`` section; other sections are the service's own.

    Raises:
        SettingsError: the file cannot be read, or a key of the section is unknown.

    """
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SettingsError(f"{file}: is not YAML: {' '.join(str(error).split())}") from None
    section = (content or {}).get("websocket") if isinstance(content or {}, dict) else None
    if not isinstance(section, dict):
        raise SettingsError(f"{file}: expected a section 'websocket'")
    # `enabled` is the service's own switch: whether there is a server at all, nobody asks here.
    section = {name: value for name, value in section.items() if name != "enabled"}
    if unknown := sorted(map(str, section.keys() - _KEYS)):
        raise SettingsError(f"websocket.{unknown[0]} in {file}: no such key; there are {', '.join(sorted(_KEYS))}")
    return section


def edge_settings(given: Mapping[str, Any], authenticator: Any, *, require_auth: bool) -> EdgeSettings:
    """Return the settings of the edge; ``given`` by the edge's names, None for what the environment may say.

    Raises:
        SettingsError: a value cannot be taken over; the sentence names the setting for such a value.

    """
    values = {name: value for name, value in given.items() if value is not None}
    if authenticator is not None:
        values["auth_secret"] = authenticator.secret
    if require_auth and authenticator is None:
        raise SettingsError(
            "require_auth is on without an authenticator; pass authenticator=WebSocketAuthenticator(secret)"
        )
    try:
        settings = EdgeSettings(auth_required=require_auth, **values)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    if authenticator is not None:
        _check_tokens(authenticator, settings)
    return settings


def _check_tokens(authenticator: Any, settings: EdgeSettings) -> None:
    # RFC 7518, 3.2: a key of HS256 is at least as long as its hash, 32 bytes.
    size, expiry = len(authenticator.secret.encode()), authenticator.token_expiry
    if size < 32 and not settings.auth_weak_secret:
        raise SettingsError(
            f"the authenticator's secret has {size} bytes, at least 32 are needed; make one with: openssl rand -base64 "
            "48; or, in development, set EDGEBUS_AUTH_WEAK_SECRET=true"
        )
    if expiry > settings.auth_max_lifetime_s:
        raise SettingsError(
            f"token_expiry is {expiry} s, and an edge takes tokens of at most {settings.auth_max_lifetime_s:g} s; "
            f"issue shorter ones, or set EDGEBUS_AUTH_MAX_LIFETIME_S={expiry} (2592000 is the most)"
        )

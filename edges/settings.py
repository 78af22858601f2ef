"""Settings of an edge: a YAML file, then ``EDGEBUS_…`` variables, then flags, each over the earlier."""

import os
import re
import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self, cast, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bus.envelope import LINE_LIMIT_BYTES
from bus.errors import BusError
from bus.redis.address import check_url, default_url, without_password
from bus.shape import MESSAGE_VALUES
from bus.suggestion import did_you_mean
from edges.net.addresses import host_of, port_of, unbracketed
from edges.net.forwarded import Network, parse_network
from edges.net.origins import check_origin

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["EdgeSettings", "SettingsError", "at_hand"]

_PREFIX: Final = "EDGEBUS_"
_OF_OTHERS: Final = frozenset(
    {
        "EDGEBUS_LOG_FORMAT",
        "EDGEBUS_LOG_LEVEL",
        "EDGEBUS_PYTEST",
        "EDGEBUS_RUN_ID",
        "EDGEBUS_TESTS_STRICT",
        "EDGEBUS_TOKEN",
    }
)
"""Variables that other parts of the project read; everything else that begins with the prefix must be a setting."""


_FLAGS: Final = {"redis_url": "--redis"}
"""Flags of ``edgebus edge`` that are not called like their setting."""


_OF_SERVICES: Final = re.compile(
    r"EDGEBUS(_[A-Z0-9_]+)?(_SERVICE_HOST|_SERVICE_PORT(_[A-Z0-9_]+)?|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_PORT_OF_SERVICES: Final = re.compile(r"EDGEBUS(_[A-Z0-9_]+)?_PORT")
_ENDPOINT: Final = re.compile(r"(tcp|udp|sctp)://\S+:\d+")
"""Of Kubernetes: kubernetes.io/docs/concepts/services-networking/service, "Environment variables"."""


class SettingsError(BusError, ValueError):
    """A setting is unknown or has a wrong value; the message names the setting and the place."""


class EdgeSettings(BaseModel):
    """The settings of an edge. Arguments win over the environment; ``load`` adds the file below both."""

    # decisions/0167: pydantic alone. Of pydantic-settings the variables were used, which are six lines, and its command
    # line, its files of secrets and its .env files were loaded in a twentieth of an edge's start.
    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True, arbitrary_types_allowed=True
    )

    enabled: bool = Field(True, description="false: `edgebus edge` says so and ends")
    host: str = Field("127.0.0.1", description="address to listen on; `::` takes IPv4 too")
    port: int | None = Field(
        None, ge=0, le=65_535, description="port to listen on; None takes the service's, 0 a free one"
    )
    redis_url: str = Field(default_factory=default_url, description="URL of Redis, database 0")
    max_connections: int = Field(1_000, ge=1, description="clients at once; the next one is closed with 1013")
    message_rate_limit: int = Field(100, ge=1, description="messages per second of one client; the bucket holds twice")
    max_message_bytes: int = Field(64 * 1024, ge=128, description="largest message from a client, bytes")
    max_message_values: int = Field(
        MESSAGE_VALUES,
        ge=128,
        description="most values (commas and brackets outside of texts) in a message from a client",
    )
    max_fragments: int = Field(64, ge=1, description="most fragments of one message from a client")
    control_rate_limit: int = Field(
        100, ge=1, description="ping and pong frames per second of one client; the bucket holds twice"
    )
    max_rooms: int = Field(100, ge=1, description="most rooms of one client")
    max_waiting_commands: int = Field(
        64, ge=1, description="most commands of one client that wait for the one before; then its bytes wait"
    )
    max_waiting_command_bytes: int = Field(
        128 * 1024, ge=1024, description="most bytes of such commands; then, too, its bytes wait"
    )
    max_waiting_bytes: int = Field(1024 * 1024, ge=4096, description="most bytes that may wait for one client")
    slow_deadline_s: float = Field(
        10.0, gt=0, description="within which what waits for a client gets less, seconds; then it is closed with 3008"
    )
    max_handshakes: int = Field(
        2_000, ge=1, description="opening handshakes under way at once; the oldest of whoever has most gives way"
    )
    max_open_rooms: int = Field(20_000, ge=1, description="rooms of the whole edge; further ones are refused")
    max_replays: int = Field(64, ge=1, description="replays of the whole edge at once; further ones wait their turn")
    max_requests: int = Field(
        8, ge=1, description="requests of the whole edge that are answered at once; further ones wait their turn"
    )
    max_answer_bytes: int = Field(4_000_000, ge=1024, description="largest answer to a request, bytes")
    max_presence_members: int = Field(
        20_000, ge=1, description="most users of a room that are known by name; a larger room is counted"
    )
    max_questions: int = Field(
        256, ge=1, description="questions to responders at once, of the whole edge; further ones wait their turn"
    )
    max_question_s: float = Field(
        60.0, gt=0, description="longest wait for a responder, seconds; cuts a longer timeout_s of the catalogue"
    )
    max_connections_per_address: int | None = Field(
        None, ge=1, description="clients at once of one address (IPv6: of one /64); None: any number"
    )
    connects_per_second_per_address: int | None = Field(
        None, ge=1, description="new clients per second of one address; the bucket holds twice; None: any number"
    )
    max_connections_per_user: int | None = Field(
        None, ge=1, description="clients at once of one user; None: any number"
    )
    connects_per_second_per_user: int | None = Field(
        None, ge=1, description="new clients per second of one user; the bucket holds twice; None: any number"
    )
    publish_rate_limit: int = Field(
        50, ge=1, description="events per second that one client may publish; the bucket holds twice"
    )
    publish_bytes_per_second: int = Field(
        256 * 1024, ge=1024, description="bytes of such events per second; the bucket holds twice"
    )
    publish_rate_limit_per_user: int = Field(
        200, ge=1, description="events per second of one user over all connections; without a token, of one address"
    )
    publish_bytes_per_second_per_user: int = Field(
        1024 * 1024, ge=1024, description="bytes of such events per second, likewise"
    )
    max_publish_bytes: int = Field(32 * 1024, ge=128, description="largest data of an event that a client publishes")
    send_buffer_bytes: int = Field(128 * 1024, ge=4096, description="SO_SNDBUF of a client's socket, bytes")
    io_uring: bool = Field(True, description="send to many clients by one call of the kernel, if it lets that")
    max_line_bytes: int = Field(LINE_LIMIT_BYTES, ge=1024, description="largest event as a line, bytes")
    probe_interval_s: float = Field(5.0, gt=0, description="between two probes of the link to Redis, seconds")
    welcome_delay_ms: int = Field(100, ge=0, description="after which a client that has sent nothing is welcomed")
    open_timeout_s: float = Field(5.0, gt=0, description="for a client's opening handshake, seconds")
    close_timeout_s: float = Field(5.0, gt=0, description="for a client's closing handshake, seconds")
    ping_interval_s: float = Field(20.0, gt=0, description="of silence after which a client is pinged, seconds")
    ping_timeout_s: float = Field(20.0, gt=0, description="for the answer to a ping, seconds")
    allowed_origins: tuple[str, ...] = Field(
        (), description="pages that may come in, such as https://app.example.com; a list or a,b; empty: see docs/tls.md"
    )
    trusted_proxies: tuple[Network, ...] = Field(
        (), description="proxies whose X-Forwarded-For and -Proto are believed: addresses or networks; a list or a,b"
    )
    tls_certificate: Path | None = Field(None, description="PEM file: the certificate and what its issuer gave with it")
    tls_key: Path | None = Field(None, description="PEM file of its key; None: it stands in tls_certificate")
    tls_client_ca: Path | None = Field(None, description="PEM file: who signs the certificates that clients must show")
    insecure_behind_proxy: bool = Field(
        False, description="true: listen without TLS where others reach it, because a proxy in front ends TLS"
    )
    metrics: bool = Field(False, description="true: whoever reaches the port may read GET /metrics")
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="GET /metrics on a port of its own of the same host, without TLS; 0: a free one",
    )
    metrics_names: Literal["own", "ecosystem"] = Field(
        "own", description="ecosystem: the names of the services' dashboards beside the edge's own"
    )
    drain_notice_s: float = Field(
        3.0, ge=0, description="from SIGTERM on: not ready, serving on, until balancers have noticed, seconds"
    )
    drain_window_s: float = Field(
        5.0, ge=0, description="after that: over which clients are sent to other replicas, seconds"
    )

    auth_required: bool = Field(False, description="true: nothing but `auth` and `ping` before a valid token")
    auth_secret: SecretStr | None = Field(None, description="shared secret of HS256 tokens, at least 32 bytes")
    auth_weak_secret: bool = Field(
        False, description="true: take a shorter auth_secret, or a placeholder; for development and tests only"
    )
    auth_key_file: Path | None = Field(None, description="PEM file with the public key of RS256, ES256, EdDSA tokens")
    auth_jwks: str | None = Field(None, description="file or https URL with the issuer's public keys (JWKS)")
    auth_audience: str | None = Field(None, description="must be in a token's aud; None refuses tokens that have one")
    auth_issuer: str | None = Field(None, description="must be a token's iss; None takes any")
    auth_max_lifetime_s: float = Field(
        24 * 60 * 60, gt=0, le=30 * 24 * 60 * 60, description="longest life of a token, seconds"
    )
    auth_max_token_bytes: int = Field(8 * 1024, ge=256, description="largest token, bytes")
    auth_leeway_s: float = Field(5.0, ge=0, le=300, description="an issuer's clock may be ahead by, seconds")
    auth_deadline_s: float = Field(5.0, gt=0, description="for a token where one is required, seconds")
    auth_warning_s: float = Field(30.0, ge=0, description="before a token expires, its client is warned, seconds")
    auth_in_query: bool = Field(False, description="true: a token may stand in the URL (?token=), where logs catch it")
    anonymous_permissions: tuple[str, ...] | None = Field(
        None, description="of who shows no token, with spaces between; None: all without keys, none with keys"
    )

    @model_validator(mode="before")
    @classmethod
    def _read_environment(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Put variables below arguments; read none but ours, and none that Kubernetes put there."""
        variables = _variables(os.environ)
        found = {name: variables[name] for name in cls.model_fields if name in variables}
        return {**found, **given}

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truth(cls, value: Any, info: ValidationInfo) -> Any:
        # pydantic takes `true` for 1, so a slip in the file would be a number.
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("expected a number or a text, not true or false")
        return value

    @field_validator("host")
    @classmethod
    def _unbracket(cls, host: str) -> str:
        return unbracketed(host)

    @field_validator("anonymous_permissions", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _check_origins(cls, value: Any) -> Any:
        return tuple(check_origin(entry) for entry in _listed(value))

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _parse_proxies(cls, value: Any) -> Any:
        return tuple(parse_network(str(entry)) for entry in _listed(value))

    @field_validator("redis_url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        check_url(url)
        return url

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show Redis' URL without the password; the shared secret is hidden by its type."""
        for name, value in super().__repr_args__():
            yield name, without_password(value) if name == "redis_url" else value

    @property
    def shows_metrics(self) -> bool:
        """Whether ``GET /metrics`` is answered anywhere."""
        return self.metrics or self.metrics_port is not None

    def bound_to(self, sockets: Sequence[socket.socket]) -> Self:
        """Return settings with the host and port of bound ``sockets``; without sockets, the same settings."""
        return self.model_copy(update={"host": host_of(sockets), "port": port_of(sockets)}) if sockets else self

    @classmethod
    def load(cls, file: Path | None = None, more: Mapping[str, str] | None = None, /, **flags: Any) -> Self:
        """Return the settings of ``file`` (the ecosystem's form, a ``websocket:`` section), environment and flags.

        Args:
            file: None for none.
            more: settings by their names, as ``--set`` gives them.
            flags: settings with flags of their own; None counts as not given.

        Raises:
            SettingsError: a key, variable or value is wrong, or a setting is given in two ways; the message says which.

        """
        # decisions/0005: unknown settings end the start. An edge with a slip in a name would run with the default.
        _check_environment(os.environ, cls.model_fields)
        typed, named = {name: value for name, value in flags.items() if value is not None}, dict(more or {})
        _check_flags(typed, named, cls.model_fields)
        # decisions/0077: pydantic-settings' own YAML source is silent about files and sections that are missing.
        from_file = _read(file, cls.model_fields) if file is not None else {}
        in_environment = cls.model_fields.keys() & _variables(os.environ).keys()
        below = {name: value for name, value in from_file.items() if name not in in_environment}
        try:
            return cls(**{**below, **typed, **named})
        except ValidationError as error:
            problem = error.errors()[0]
            name = str(problem["loc"][0]) if problem["loc"] else "settings"
            spelled = _spelled(name, typed, named, in_environment, file)
            raise SettingsError(f"{spelled}: {_sentence(problem)}") from None


_SECRETS: Final = frozenset(
    name for name, it in EdgeSettings.model_fields.items() if SecretStr in get_args(it.annotation)
)


class _AtHand:
    """The values of settings; what else settings have is theirs."""

    def __init__(self, settings: EdgeSettings) -> None:
        self.__dict__.update(settings.__dict__, _settings=settings)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_settings"], name)


def at_hand(settings: EdgeSettings) -> EdgeSettings:
    """Return an object with the values of ``settings`` as plain attributes."""
    # decisions/0165: an attribute of a model is looked for by pydantic's `__getattr__` slot, 650 instructions each; a
    # client that comes asks for twenty. Settings are frozen, so a copy says the same.
    return cast(EdgeSettings, _AtHand(settings))


def _variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the values of variables by the names of their settings, in whatever case the variables are written."""
    begin = len(_PREFIX)
    return {
        name[begin:].lower(): value
        for name, value in environment.items()
        if name[:begin].upper() == _PREFIX and not _is_of_kubernetes(name, value)
    }


def _is_of_kubernetes(variable: str, value: str) -> bool:
    """Tell whether Kubernetes put a variable into the container, for a Service called ``edgebus``.

    ``EDGEBUS_PORT`` is a setting as well, and is told apart by the value.
    """
    name = variable.upper()
    return _OF_SERVICES.fullmatch(name) is not None or (
        _PORT_OF_SERVICES.fullmatch(name) is not None and _ENDPOINT.fullmatch(value) is not None
    )


def _listed(value: Any) -> list[Any]:
    """Return the entries of a list, or of a text with commas, as in a variable or a flag."""
    if isinstance(value, str):
        return [entry.strip() for entry in value.split(",") if entry.strip()]
    if not isinstance(value, list | tuple) or not all(isinstance(entry, str) for entry in value):
        raise ValueError("expected a list of texts, or one text with commas between them")
    return list(value)


def _flag(name: str) -> str:
    return _FLAGS.get(name, f"--{name.replace('_', '-')}")


def _spelled(
    name: str, typed: Collection[str], named: Collection[str], in_environment: Collection[str], file: Path | None
) -> str:
    """Return a setting as spelled by the user: a flag, a variable or a key of the file."""
    if name in typed:
        return _flag(name)
    if name in named:
        return f"--set {name}"
    return f"{_PREFIX}{name}".upper() if name in in_environment else f"websocket.{name} in {file}"


def _sentence(problem: "ErrorDetails") -> str:
    """Return the fault of a value: the edge's own words unchanged, pydantic's in small letters."""
    text = problem["msg"]
    return text.removeprefix("Value error, ") if problem["type"] == "value_error" else text.lower()


def _check_flags(typed: Mapping[str, Any], named: Mapping[str, str], known: Mapping[str, Any]) -> None:
    for name in named:
        if name not in known:
            raise SettingsError(
                f"--set {name}: no such setting{did_you_mean(name, known)}; there are {', '.join(known)}"
            )
        if name in typed:
            raise SettingsError(f"{_flag(name)}, --set {name}: give one of them")
        if name in _SECRETS:
            raise SettingsError(
                f"--set {name}: a secret that is typed as an argument stands in `ps` for everybody on this machine; "
                f"set {_PREFIX}{name.upper()}, or write it into the file of --config"
            )


def _check_environment(environment: Mapping[str, str], known: Mapping[str, Any]) -> None:
    allowed = {f"{_PREFIX}{name}".upper() for name in known} | _OF_OTHERS
    for variable, value in environment.items():
        if _is_of_kubernetes(variable, value):
            continue
        if variable.upper().startswith(_PREFIX) and variable.upper() not in allowed:
            close = did_you_mean(variable.upper(), allowed)
            raise SettingsError(f"{variable}: no such variable{close}; there are {', '.join(sorted(allowed))}")


def _read(file: Path, known: Mapping[str, Any]) -> dict[str, Any]:
    import yaml  # here: most edges have no file

    try:
        content = yaml.safe_load(file.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date such as 2001-99-99 is a ValueError
        raise SettingsError(f"{file}: is not YAML: {' '.join(str(error).split())}") from None
    section = _section({} if content is None else content, file)
    for key in section:
        if key not in known:
            close = did_you_mean(str(key), known)
            raise SettingsError(f"websocket.{key} in {file}: no such key{close}; there are {', '.join(known)}")
    return section


def _section(content: Any, file: Path) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise SettingsError(f"{file}: expected a mapping with the key 'websocket'")
    for key in content:
        if key != "websocket":
            raise SettingsError(f"{key} in {file}: no such key; the settings stand under 'websocket'")
    section = content.get("websocket") or {}
    if not isinstance(section, dict):
        raise SettingsError(f"websocket in {file}: expected a mapping")
    return section

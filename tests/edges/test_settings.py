from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edges import EdgeSettings, SettingsError
from edges.settings import at_hand
from tests.edges.signing import SECRET

SEED = "websocket:\n  enabled: true\n  host: 0.0.0.0\n  port: 8690\n  max_connections: 500\n  message_rate_limit: 50\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file in the ecosystem's form."""
    path = tmp_path / "settings.yaml"
    path.write_text(SEED)
    return path


def wrong(file: Path | None = None, more: Mapping[str, Any] | None = None, /, **flags: Any) -> str:
    """Return the message with which the settings are refused."""
    with pytest.raises(SettingsError) as caught:
        EdgeSettings.load(file, more, **flags)
    return str(caught.value)


def test_defaults() -> None:
    """Without anything the limits are those of the specification."""
    settings = EdgeSettings.load()
    assert settings.enabled
    assert (settings.max_connections, settings.message_rate_limit) == (1_000, 100)
    assert (settings.max_message_bytes, settings.max_waiting_bytes) == (64 * 1024, 1024 * 1024)
    assert (settings.welcome_delay_ms, settings.max_line_bytes) == (100, 256 * 1024)
    assert settings.redis_url == "redis://127.0.0.1:6390"


def test_settings_at_hand() -> None:
    """The plain copy that clients' sessions read has the values, and all else that settings have."""
    settings = EdgeSettings(port=7, metrics_port=9)
    copy = at_hand(settings)
    assert {name: getattr(copy, name) for name in EdgeSettings.model_fields} == dict(settings)
    assert (copy.shows_metrics, "port" in vars(copy)) == (settings.shows_metrics, True)


def test_file_of_the_ecosystem(file: Path) -> None:
    """The ecosystem's own YAML form is read as it is."""
    settings = EdgeSettings.load(file)
    assert (settings.host, settings.port) == ("0.0.0.0", 8690)  # noqa: S104 (a value in a test)
    assert (settings.max_connections, settings.message_rate_limit) == (500, 50)


def test_rising_order(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment wins over the file, a flag over both; a flag that was not given is none."""
    monkeypatch.setenv("EDGEBUS_PORT", "2000")
    monkeypatch.setenv("EDGEBUS_MAX_CONNECTIONS", "2")
    settings = EdgeSettings.load(file, port=3000, max_connections=None, host=None)
    assert (settings.port, settings.max_connections, settings.message_rate_limit) == (3000, 2, 50)


def test_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis' address is a setting like the others."""
    monkeypatch.setenv("EDGEBUS_REDIS_URL", "redis://10.0.0.1:7000")
    assert EdgeSettings.load().redis_url == "redis://10.0.0.1:7000"


def test_environment_in_small_letters_wins_over_the_file_too(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is accepted at all stands above the file."""
    monkeypatch.setenv("edgebus_port", "2000")
    assert EdgeSettings.load(file).port == 2000


@pytest.mark.parametrize("text", ["", "websocket:\n", "websocket: {}\n", "# nothing\n"])
def test_file_empty(file: Path, text: str) -> None:
    """A file that says nothing changes nothing."""
    file.write_text(text)
    assert EdgeSettings.load(file) == EdgeSettings.load()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("websocket: {prot: 1}", "prot"),
        ("websocked: {port: 1}", "websocked"),
        ("websocket: {port: many}", "websocket.port"),
        ("websocket: {port: 70000}", "websocket.port"),
        ("websocket: {port: 1.5}", "websocket.port"),
        ("websocket: {port: true}", "websocket.port"),
        ("websocket: {port: [1]}", "websocket.port"),
        ("websocket: {max_connections: 0}", "websocket.max_connections"),
        ("websocket: {message_rate_limit: -1}", "websocket.message_rate_limit"),
        ("websocket: {enabled: perhaps}", "websocket.enabled"),
        ("websocket: {ping_interval_s: .nan}", "websocket.ping_interval_s"),
        ("websocket: {redis_url: 'redis://h:1/3'}", "websocket.redis_url"),
        ("websocket: 5", "websocket"),
        ("5", "websocket"),
        ("[", "YAML"),
        ("[\n" * 5_000, "YAML"),
        ("websocket: {port: 2001-99-99}", "YAML"),
    ],
)
def test_file_wrong_names_key_and_file(file: Path, text: str, name: str) -> None:
    """An unknown key or a wrong value is an error that names it, and the file."""
    file.write_text(text)
    message = wrong(file)
    assert name in message
    assert str(file) in message


def test_file_missing_is_named(tmp_path: Path) -> None:
    """A file that is not there is named."""
    assert "nowhere.yaml" in wrong(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("variable", "value"),
    [("EDGEBUS_PORT", "many"), ("EDGEBUS_PRT", "1"), ("EDGEBUS_REDIS_URL", "http://x"), ("EDGEBUS_MAX_ROOMS", "")],
)
def test_environment_wrong_names_the_variable(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """An unknown variable or a wrong value in one is an error that names it."""
    monkeypatch.setenv(variable, value)
    assert variable in wrong()


def test_flag_wrong_is_named() -> None:
    """A wrong flag is named as it is typed."""
    assert wrong(max_connections=0).startswith("--max-connections: ")
    assert wrong(redis_url="redis://h/5").startswith("--redis: ")


@pytest.mark.parametrize("name", EdgeSettings.model_fields)
def test_every_setting_goes_by_its_name(name: str) -> None:
    """``--set`` takes each of them, those with a flag of their own too; a wrong value is named as it was written."""
    assert wrong(None, {name: {}}).startswith(f"--set {name}: ")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("port", "0", 0), ("max_connections", "50", 50), ("redis_url", "redis://h:1", "redis://h:1")],
)
def test_setting_with_a_flag_goes_by_its_name_too(name: str, value: str, expected: object) -> None:
    """A setting that has a flag means the same under ``--set``."""
    assert getattr(EdgeSettings.load(None, {name: value}), name) == expected


def test_setting_given_twice_is_refused() -> None:
    """A flag beside ``--set`` of the same name leaves open which is meant."""
    assert (
        wrong(None, {"redis_url": "redis://a"}, redis_url="redis://b") == "--redis, --set redis_url: give one of them"
    )


def test_mistyped_setting_is_answered_with_the_right_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Among some sixty names the right one stands first, however the setting was given."""
    assert wrong(None, {"max_conections": "5"}).startswith(
        "--set max_conections: no such setting (did you mean max_connections?); there are enabled"
    )
    file = tmp_path / "edge.yaml"
    file.write_text("websocket: {prot: 5}\n")
    assert f"websocket.prot in {file}: no such key (did you mean port?); there are" in wrong(file)
    monkeypatch.setenv("EDGEBUS_MAX_ROOM", "5")
    assert wrong().startswith("EDGEBUS_MAX_ROOM: no such variable (did you mean EDGEBUS_MAX_ROOMS?); there are")


@pytest.mark.parametrize("name", ["file", "more", "cls", "self", "nope", ""])
def test_unknown_name_is_refused_in_a_sentence(name: str) -> None:
    """A name that is no setting is no setting, whatever else it may be called like."""
    assert wrong(None, {name: "x"}).startswith(f"--set {name}: no such setting; there are enabled, host")


def test_password_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong address does not put its password into the message."""
    monkeypatch.setenv("EDGEBUS_REDIS_URL", "redis://:hidden@h:1/7")
    assert "hidden" not in wrong()


def test_settings_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are set like all others: from the environment, a file, a flag; a list of permissions is one text."""
    monkeypatch.setenv("EDGEBUS_AUTH_REQUIRED", "true")
    monkeypatch.setenv("EDGEBUS_ANONYMOUS_PERMISSIONS", "a:read b:read")
    settings = EdgeSettings.load(None, auth_in_query="true", auth_deadline_s="2.5", auth_key_file="key.pem")
    assert (settings.auth_required, settings.auth_in_query, settings.auth_deadline_s) == (True, True, 2.5)
    assert settings.anonymous_permissions == ("a:read", "b:read")
    assert settings.auth_key_file == Path("key.pem")
    assert (settings.auth_max_lifetime_s, settings.auth_max_token_bytes) == (86_400, 8192)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("auth_required", "perhaps"),
        ("auth_max_lifetime_s", 31 * 86_400),
        ("auth_max_lifetime_s", "nan"),
        ("auth_deadline_s", 0),
        ("auth_deadline_s", True),
        ("auth_max_token_bytes", 10),
        ("auth_secret", True),
        ("anonymous_permissions", 5),
    ],
)
def test_settings_of_tokens_refused(name: str, value: Any) -> None:
    """A wrong value is named."""
    assert wrong(None, {name: value}).startswith(f"--set {name}: ")


def test_secret_is_not_told(file: Path) -> None:
    """A secret shows neither in what settings print nor in what is said about a wrong one."""
    file.write_text("websocket: {auth_secret: [hidden-secret]}")
    assert "hidden-secret" not in wrong(file)
    file.write_text("websocket: {auth_secret: hidden-secret}")
    assert "hidden-secret" not in f"{EdgeSettings.load(file)!r}{EdgeSettings.load(file)}"


def test_lists_in_every_form(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Origins and proxies are a list in the file, and one text with commas in a variable or a flag."""
    file.write_text(
        "websocket: {allowed_origins: ['https://a.example', 'https://b.example'], trusted_proxies: ['::1']}\n"
    )
    settings = EdgeSettings.load(file)
    assert settings.allowed_origins == ("https://a.example", "https://b.example")
    assert [str(network) for network in settings.trusted_proxies] == ["::1/128"]
    monkeypatch.setenv("EDGEBUS_ALLOWED_ORIGINS", "https://c.example, https://d.example")
    assert EdgeSettings.load(file).allowed_origins == ("https://c.example", "https://d.example")
    flagged = EdgeSettings.load(file, trusted_proxies="10.0.0.0/8,192.0.2.1")
    assert [str(network) for network in flagged.trusted_proxies] == ["10.0.0.0/8", "192.0.2.1/32"]


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [
        ("allowed_origins", "https://a.example/app", "write https://a.example"),
        ("allowed_origins", "*", "empty list"),
        ("trusted_proxies", "10.0.0.1/8", "write 10.0.0.0/8"),
        ("trusted_proxies", "haproxy", "write 10.0.0.7"),
        ("drain_notice_s", "-1", "greater than or equal to 0"),
    ],
)
def test_wrong_entry_is_refused_with_the_fix(name: str, value: str, fix: str) -> None:
    """The start ends with a sentence that names the setting and what to write."""
    message = wrong(None, {name: value})
    assert message.startswith(f"--set {name}: ")
    assert fix in message
    assert "alue error" not in message


KUBERNETES = {
    "EDGEBUS_SERVICE_HOST": "10.96.0.7",
    "EDGEBUS_SERVICE_PORT": "8690",
    "EDGEBUS_SERVICE_PORT_WS": "8690",
    "EDGEBUS_PORT": "tcp://10.96.0.7:8690",
    "EDGEBUS_PORT_8690_TCP": "tcp://10.96.0.7:8690",
    "EDGEBUS_PORT_8690_TCP_PROTO": "tcp",
    "EDGEBUS_PORT_8690_TCP_PORT": "8690",
    "EDGEBUS_PORT_8690_TCP_ADDR": "10.96.0.7",
    "EDGEBUS_REDIS_SERVICE_HOST": "10.96.0.8",
    "EDGEBUS_REDIS_SERVICE_PORT_REDIS": "6379",
    "EDGEBUS_REDIS_PORT": "tcp://10.96.0.8:6379",
    "EDGEBUS_REDIS_PORT_6379_TCP": "tcp://10.96.0.8:6379",
    "EDGEBUS_DNS_PORT": "udp://[fd00::8]:53",
    "EDGEBUS_DNS_PORT_53_UDP_ADDR": "fd00::8",
}
"""What Kubernetes puts into every container beside Services called ``edgebus``, ``edgebus-redis``, ``edgebus-dns``
(https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables)."""


def test_variables_of_kubernetes_are_let_through(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They tell of Services that are called like us; none of them is a setting, and the file's port stands."""
    for name, value in KUBERNETES.items():
        monkeypatch.setenv(name, value)
    assert EdgeSettings.load().port is None
    assert EdgeSettings().port is None
    assert EdgeSettings.load(file).port == 8690
    assert EdgeSettings.load(file, port=1).port == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EDGEBUS_PORT", "tcp://10.96.0.7"),
        ("EDGEBUS_PORT", "http://10.96.0.7:8690"),
        ("EDGEBUS_PORT", ":8690"),
        ("EDGEBUS_REDIS_PORT", "6379"),
        ("EDGEBUS_SERVICE", "mahavishnu"),
        ("EDGEBUS_PORT_WS", "8690"),
    ],
)
def test_variables_that_kubernetes_never_sets_are_told(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """What only looks like them is a mistake of somebody's, and named as ever."""
    monkeypatch.setenv(name, value)
    assert name in wrong()


def test_secret_on_the_command_line_is_refused() -> None:
    """What is typed as an argument stands in ``ps`` and in the shell's history; the message says where it goes."""
    refusal = wrong(None, {"auth_secret": SECRET})
    assert refusal.startswith("--set auth_secret: ")
    assert "EDGEBUS_AUTH_SECRET" in refusal
    assert SECRET not in refusal


def test_settings_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as text nor in a debugger: the shared secret, and the password in Redis' URL."""
    monkeypatch.setenv("EDGEBUS_AUTH_SECRET", SECRET)
    settings = EdgeSettings(redis_url="rediss://svc:hidden@h:1?ssl_password=hidden2")
    for shown in (repr(settings), str(settings), f"{settings!r:.99999}"):
        assert SECRET not in shown
        assert "hidden" not in shown
        assert "redis_url='rediss://…@h:1'" in shown
    assert settings.redis_url.startswith("rediss://svc:hidden@")

from pathlib import Path
from typing import Any

import pytest

from edges import EdgeSettings, SettingsError

SEED = "websocket:\n  enabled: true\n  host: 0.0.0.0\n  port: 8690\n  max_connections: 500\n  message_rate_limit: 50\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file in the ecosystem's form."""
    path = tmp_path / "settings.yaml"
    path.write_text(SEED)
    return path


def wrong(file: Path | None = None, **flags: Any) -> str:
    """Return the message with which the settings are refused."""
    with pytest.raises(SettingsError) as caught:
        EdgeSettings.load(file, **flags)
    return str(caught.value)


def test_defaults() -> None:
    """Without anything the limits are those of the specification."""
    settings = EdgeSettings.load()
    assert settings.enabled
    assert (settings.max_connections, settings.message_rate_limit) == (1_000, 100)
    assert (settings.max_message_bytes, settings.max_waiting_bytes) == (64 * 1024, 1024 * 1024)
    assert (settings.welcome_delay_ms, settings.max_line_bytes) == (100, 256 * 1024)
    assert settings.redis_url == "redis://127.0.0.1:6390"


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
        ("[" * 5_000, "YAML"),
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
    assert "--max-connections" in wrong(max_connections=0)


def test_password_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong address does not put its password into the message."""
    monkeypatch.setenv("EDGEBUS_REDIS_URL", "redis://:hidden@h:1/7")
    assert "hidden" not in wrong()

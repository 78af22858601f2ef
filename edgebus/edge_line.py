"""``edgebus edge …``: the work of the line, and usual lines read without Typer.

Typer takes a tenth of the time until an edge is ready. Usual are lines of known options, each with a value in its form.
Every other line is Typer's to read, with help and all mistakes, as ``edgebus.commands.edge`` declares the command.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from edgebus.terminal import Exit, exit_with, exits, show

__all__ = ["FLAGS", "NAMES", "OPTIONS", "read", "run_edge", "run_usual", "setting_pairs"]

OPTIONS: Final[Mapping[str, type]] = {
    "config": Path,
    "host": str,
    "log_format": str,
    "log_level": str,
    "max_connections": int,
    "message_rate_limit": int,
    "more": str,
    "port": int,
    "redis": str,
}
"""Options with a value."""
FLAGS: Final = ("insecure_behind_proxy",)
_CHOICES: Final = {
    "log_level": ("debug", "info", "warning", "error"),
    "log_format": ("auto", "json", "console"),
}
NAMES: Final[Mapping[str, str]] = {f"--{it.replace('_', '-')}": it for it in (*OPTIONS, *FLAGS) if it != "more"} | {
    "--set": "more"
}
"""Arguments by the options that stand for them."""


def read(words: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the arguments of ``run_edge`` for a usual line behind ``edgebus edge``; None for any other line."""
    given: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        option, equals, value = word.partition("=")
        name = NAMES.get(option) if word.startswith("-") else "service"
        if name in FLAGS and not equals:
            given[name] = True
            continue
        text = word if name == "service" else value if equals else next(rest, "")
        if name is None or name in FLAGS or not _take(given, name, text):
            return None
    for name in _CHOICES:
        text = environment.get(f"EDGEBUS_{name.upper()}", "")
        if text and name not in given and not _take(given, name, text):
            return None
    return given if "service" in given else None


def _take(given: dict[str, Any], name: str, text: str) -> bool:
    """Put a value to those ``given``; tell whether the value is in its form, and the first of its option."""
    kind = OPTIONS.get(name, str)
    is_sound = text.isdecimal() and text.isascii() if kind is int else bool(text) and not text.startswith("-")
    if not is_sound or text not in _CHOICES.get(name, (text,)) or (name in given and name != "more"):
        return False
    if name == "more":
        given.setdefault(name, []).append(text)
    else:
        given[name] = kind(text)
    return True


def run_usual(given: Mapping[str, Any]) -> None:
    """Run an edge as the whole program, and end the program as Typer would."""
    try:
        run_edge(**given)
    except KeyboardInterrupt:
        print("Aborted!", file=sys.stderr)
        sys.exit(Exit.FAILED)
    except Exception as error:
        import typer  # here: a program that has come to an end may take its time

        if isinstance(error, typer.Exit):
            sys.exit(error.exit_code)
        raise


def run_edge(  # noqa: PLR0913 (every option of the command)
    service: str,
    *,
    config: Path | None = None,
    host: str | None = None,
    port: int | None = None,
    redis: str | None = None,
    max_connections: int | None = None,
    message_rate_limit: int | None = None,
    insecure_behind_proxy: bool = False,
    more: list[str] | None = None,
    log_level: str = "info",
    log_format: str = "auto",
) -> None:
    """Run an edge until told to stop."""
    from edgebus.catalogue import find_service
    from edgebus.logs import configure
    from edgebus.run import run
    from edgebus.serving import serve_edge
    from edges import EdgeSettings

    configure(log_level, log_format)
    with exits():
        settings = EdgeSettings.load(
            config,
            setting_pairs(more or []),
            host=host,
            port=port,
            redis_url=redis,
            max_connections=max_connections,
            message_rate_limit=message_rate_limit,
            # None leaves the setting to file and environment; a flag that was not typed must not say no.
            insecure_behind_proxy=insecure_behind_proxy or None,
        )
        if not settings.enabled:
            show("websocket.enabled is false: nothing to do")
            return
        run(serve_edge(find_service(service), settings))


def setting_pairs(pairs: list[str]) -> dict[str, str]:
    """Return the values of ``--set NAME=VALUE`` by name; a pair without a value ends the command."""
    for pair in pairs:
        if "=" not in pair:
            exit_with(Exit.USAGE, f"--set {pair}: write NAME=VALUE")
    return {name.replace("-", "_"): value for name, _, value in (pair.partition("=") for pair in pairs)}

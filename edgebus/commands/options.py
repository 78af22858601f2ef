"""Options of several commands, and their values. Every command loads this module, ``--help`` too."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "ConfigOption",
    "CursorOption",
    "EdgesOption",
    "JsonOption",
    "Level",
    "LevelOption",
    "LimitOption",
    "LogFormat",
    "LogFormatOption",
    "MoreOption",
    "RedisOption",
    "ServiceOption",
    "redis_url",
]


class Level(StrEnum):
    """How much a process logs."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How lines of the log look."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


RedisOption = Annotated[
    str | None,
    typer.Option("--redis", metavar="URL", help="Redis; else EDGEBUS_REDIS_URL, else redis://127.0.0.1:6390."),
]
ServiceOption = Annotated[
    str | None,
    typer.Option("--service", metavar="MODULE:ATTR", help="A service of your own, beside the built-in ones."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines, for programs.")]
LevelOption = Annotated[
    Level, typer.Option("--log-level", envvar="EDGEBUS_LOG_LEVEL", help="How much to log, to standard error.")
]
LogFormatOption = Annotated[
    LogFormat,
    typer.Option(
        "--log-format", envvar="EDGEBUS_LOG_FORMAT", help="json, console; auto: console on a terminal, else JSON."
    ),
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="The edge's YAML file, for its settings.")]
EdgesOption = Annotated[
    list[str] | None, typer.Option("--edge", metavar="EDGE", help="Only edges whose ids begin so; may be repeated.")
]
LimitOption = Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many.")]
CursorOption = Annotated[str | None, typer.Option(help="To go on where the page before ended, as it said.")]
MoreOption = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the edge.")]


def redis_url(given: str | None, *, is_for_others: bool = False) -> str:
    """Return the URL of Redis, checked. A URL that is only printed may name files of another machine.

    Raises:
        AddressError: the URL cannot be used.

    """
    from bus.redis.address import check_url, default_url, read_url

    url = given or default_url()
    (read_url if is_for_others else check_url)(url)
    return url

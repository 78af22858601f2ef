"""``edgebus edges``, ``drain``, ``undrain`` and ``log-level``: their arguments."""

import time
from enum import StrEnum
from typing import Annotated

import typer

from edgebus.commands.options import JsonOption, RedisOption, redis_url
from edgebus.terminal import exits

__all__ = ["drain", "edges", "log_level", "undrain"]

_EDGE = typer.Argument(help="The beginning of its id, as `edgebus edges` shows it.")


class LogLevel(StrEnum):
    """How much an edge logs."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


def edges(
    service: Annotated[str | None, typer.Argument(help="Only the edges of this service.")] = None,
    *,
    redis: RedisOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the edges that are there, and what is wrong with them."""
    from edgebus.commands import listing
    from edgebus.run import run

    with exits():
        run(listing.show_edges(redis_url(redis), service, time.time() * 1000, as_json=as_json))


def drain(
    edge: Annotated[str, _EDGE],
    *,
    redis: RedisOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have an edge send its clients away, and take no others until `undrain`."""
    from edgebus.commands import orders
    from edgebus.run import run

    with exits():
        run(orders.drain(redis_url(redis), edge, as_json=as_json))


def undrain(
    edge: Annotated[str, _EDGE],
    *,
    redis: RedisOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have a drained edge take clients again."""
    from edgebus.commands import orders
    from edgebus.run import run

    with exits():
        run(orders.undrain(redis_url(redis), edge, as_json=as_json))


def log_level(
    edge: Annotated[str, _EDGE],
    level: Annotated[LogLevel, typer.Argument(help="How much to log from now on.")],
    *,
    redis: RedisOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change how much an edge logs, without a restart."""
    from edgebus.commands import orders
    from edgebus.run import run

    with exits():
        run(orders.log_level(redis_url(redis), edge, level, as_json=as_json))

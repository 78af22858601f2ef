"""``edgebus trace``: its arguments."""

from typing import Annotated

import typer

from edgebus.commands.options import JsonOption, RedisOption, redis_url
from edgebus.terminal import exits

__all__ = ["trace"]


def trace(
    event_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Of the event; without one, the newest that are kept.")
    ] = None,
    *,
    count: Annotated[int, typer.Option(min=1, max=1000, help="Without an ID: at most this many.")] = 20,
    redis: RedisOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show when an event was made, appended, read by each edge, and written to how many clients."""
    from edgebus.commands import tracing
    from edgebus.run import run

    with exits():
        run(tracing.show_trace(redis_url(redis), event_id, count=count, as_json=as_json))

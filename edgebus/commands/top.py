"""``edgebus top``: its arguments."""

from typing import Annotated

import typer

from edgebus.commands.options import JsonOption, RedisOption, redis_url
from edgebus.terminal import exits

__all__ = ["top"]


def top(
    service: Annotated[str | None, typer.Argument(help="Only the edges of this service.")] = None,
    *,
    once: Annotated[bool, typer.Option("--once", help="Print one second, and end; so does a pipe.")] = False,
    redis: RedisOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show edges, rates, busy rooms and slow clients once a second, and what is wrong first."""
    from edgebus.commands import watching
    from edgebus.run import run

    with exits():
        url = redis_url(redis)
        run(watching.show_top(url, service, once=once, as_json=as_json))

"""``edgebus lag``: its arguments."""

from typing import Annotated

import typer

from edgebus.commands.options import EdgesOption, JsonOption, RedisOption, ServiceOption, redis_url
from edgebus.terminal import Exit, exits

__all__ = ["lag"]


def lag(
    channel: Annotated[
        str | None, typer.Argument(help="Watch this channel and publish nothing; else probe a channel of our own.")
    ] = None,
    *,
    url: Annotated[
        list[str] | None, typer.Option(metavar="ws://…", help="An edge, may be repeated; else all that Redis knows.")
    ] = None,
    token: Annotated[str | None, typer.Option(envvar="EDGEBUS_TOKEN", help="What lets you in at the edges.")] = None,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many events to measure.")] = 100,
    timeout: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds to watch CHANNEL at most.")] = 10.0,
    edge: EdgesOption = None,
    redis: RedisOption = None,
    service: ServiceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how long events take: to Redis, and from there through each edge to a client."""
    from edgebus.catalogue import all_services
    from edgebus.commands import lagging
    from edgebus.run import run

    with exits():
        measure = lagging.Measure(redis_url(redis), token, count, timeout, all_services(service))
        is_whole = run(lagging.show_lag(measure, channel, url or [], edges=edge or [], as_json=as_json))
    if not is_whole:
        raise typer.Exit(Exit.FAILED)

"""``edgebus history``: its arguments."""

from typing import Annotated

import typer

from edgebus.commands.options import JsonOption, RedisOption, ServiceOption, redis_url
from edgebus.terminal import exits

__all__ = ["history"]


def history(
    channel: Annotated[str, typer.Argument(help="Such as workflow:wf_123, or mahavishnu/global.")],
    *,
    count: Annotated[int, typer.Option(min=1, max=100_000, help="At most this many, the newest.")] = 1000,
    redis: RedisOption = None,
    service: ServiceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what Redis holds of a channel's past, oldest first."""
    from edgebus.catalogue import all_services, channel_by_name
    from edgebus.commands import events
    from edgebus.run import run

    with exits():
        found, stranger = channel_by_name(channel, all_services(service))
        run(events.show_history(redis_url(redis), found, count=count, as_json=as_json, stranger=stranger))

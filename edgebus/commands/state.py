"""``edgebus state``: its arguments."""

from typing import Annotated

import typer

from edgebus.commands.options import JsonOption, RedisOption, ServiceOption, redis_url
from edgebus.terminal import exits

__all__ = ["state"]


def state(
    channel: Annotated[str, typer.Argument(help="Such as pool:p1.")],
    *,
    redis: RedisOption = None,
    service: ServiceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the state of a channel as Redis holds it: the newest event of each key, oldest first."""
    from edgebus.catalogue import all_services, channel_by_name
    from edgebus.commands import events
    from edgebus.run import run

    with exits():
        found, stranger = channel_by_name(channel, all_services(service))
        run(events.show_state(redis_url(redis), found, as_json=as_json, stranger=stranger))

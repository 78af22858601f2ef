"""``edgebus replay``: its arguments."""

from typing import Annotated

import typer

from edgebus.commands.options import RedisOption, ServiceOption, redis_url
from edgebus.terminal import Exit, exit_with, exits

__all__ = ["replay"]


def replay(
    channel: Annotated[str, typer.Argument(help="Such as workflow:wf_123, or mahavishnu/global.")],
    *,
    since: Annotated[str, typer.Option(help="A position, an ISO time with its offset, or a span such as -15m.")],
    until: Annotated[str | None, typer.Option(help="The same forms; else all there is.")] = None,
    speed: Annotated[float | None, typer.Option(min=0.001, help="Times the pace at which it happened; else 1.")] = None,
    at_once: Annotated[bool, typer.Option("--at-once", help="Do not wait at all.")] = False,
    redis: RedisOption = None,
    service: ServiceOption = None,
) -> None:
    """Print a channel's past as JSON lines, at its own pace or a multiple of it."""
    from edgebus.catalogue import all_services, channel_by_name
    from edgebus.commands import replaying
    from edgebus.run import run

    with exits():
        found, stranger = channel_by_name(channel, all_services(service))
        if at_once and speed is not None:
            exit_with(Exit.USAGE, "--at-once, --speed: give one of them")
        pace = None if at_once else speed or 1.0
        run(replaying.replay(redis_url(redis), found, since=since, until=until, speed=pace, stranger=stranger))

"""``edgebus get``: its arguments."""

from typing import Annotated

import typer

from edgebus.commands.options import JsonOption, RedisOption, ServiceOption, redis_url
from edgebus.terminal import exits

__all__ = ["get"]


def get(
    wanted: Annotated[str, typer.Argument(metavar="POSITION|ID", help="Of the event, as other commands show it.")],
    channel: Annotated[
        str | None, typer.Argument(help="Such as workflow:wf_123; else the channels without an id, such as global.")
    ] = None,
    *,
    redis: RedisOption = None,
    service: ServiceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one event of a log, by its position or its id."""
    from edgebus.catalogue import all_services, channel_by_name
    from edgebus.commands import finding
    from edgebus.run import run

    with exits():
        services = all_services(service)
        channels = finding.bare_channels(services) if channel is None else [channel_by_name(channel, services)[0]]
        run(finding.show_event(redis_url(redis), wanted, channels, as_json=as_json))

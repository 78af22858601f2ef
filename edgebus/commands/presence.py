"""``edgebus presence``: its arguments."""

from typing import Annotated

import typer

from edgebus.commands.options import JsonOption, ServiceOption
from edgebus.terminal import exits

__all__ = ["presence"]


def presence(
    channel: Annotated[str, typer.Argument(help="Such as diagram:d1; its family has presence.")],
    *,
    url: Annotated[str | None, typer.Option(metavar="ws://…", help="The edge; else the service's port here.")] = None,
    token: Annotated[str | None, typer.Option(envvar="EDGEBUS_TOKEN", help="What lets you in.")] = None,
    service: ServiceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who is in a room, over all edges."""
    from edgebus.catalogue import all_services, channel_at_edge, find_channel
    from edgebus.commands import occupants
    from edgebus.run import run

    with exits():
        owner, found = (find_channel if url is None else channel_at_edge)(channel, all_services(service))
        run(occupants.show_room(owner, found, url=url, token=token, as_json=as_json))

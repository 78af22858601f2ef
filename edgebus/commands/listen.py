"""``edgebus listen``: its arguments."""

from typing import Annotated

import typer

from edgebus.commands.options import JsonOption, ServiceOption
from edgebus.terminal import Exit, exit_with, exits

__all__ = ["listen"]


def listen(
    channels: Annotated[list[str], typer.Argument(help="Such as workflow:wf_123, or mahavishnu/global.")],
    *,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Begin in the past: -15m, an ISO time, a position.")
    ] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Begin with this many past events.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after this many events.")] = None,
    timeout: Annotated[float | None, typer.Option(min=0.1, metavar="SECONDS", help="Give up after that.")] = None,
    url: Annotated[str | None, typer.Option(metavar="ws://…", help="The edge; else the service's port here.")] = None,
    token: Annotated[str | None, typer.Option(envvar="EDGEBUS_TOKEN", help="What lets you in.")] = None,
    service: ServiceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a client of the edge sees on some channels."""
    from edgebus.catalogue import all_services, channel_at_edge, find_channel
    from edgebus.commands import listening
    from edgebus.run import run

    with exits():
        services = all_services(service)
        find = find_channel if url is None else channel_at_edge
        wanted = [find(text, services) for text in channels]
        if url is not None and len({owner.name for owner, _ in wanted if owner is not None}) > 1:
            exit_with(Exit.USAGE, "--url names one edge, and the channels belong to several services")
        if since is not None and last is not None:
            exit_with(Exit.USAGE, "--since, --last: give one of them")
        following = listening.listen(
            wanted, url=url, token=token, since=since, last=last, count=count, timeout_s=timeout, as_json=as_json
        )
        try:
            run(following)
        except KeyboardInterrupt:  # the usual end of a command that goes on for ever, and no failure
            raise typer.Exit(Exit.OK) from None

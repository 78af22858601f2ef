"""``edgebus publish``: its arguments."""

from typing import Annotated

import typer

from edgebus.commands.options import JsonOption, RedisOption, ServiceOption, redis_url
from edgebus.terminal import exits

__all__ = ["publish"]


def publish(
    event: Annotated[str, typer.Argument(help="Name of the event, such as workflow.started.")],
    data: Annotated[str, typer.Argument(help="Its data as a JSON object, or - for standard input.")] = "{}",
    *,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Publish as a client, through the edge: ws(s)://… or http(s)://…"),
    ] = None,
    token: Annotated[str | None, typer.Option(envvar="EDGEBUS_TOKEN", help="What lets you in, with --url.")] = None,
    redis: RedisOption = None,
    service: ServiceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Validate an event and publish it on the channels that follow from its model.

    With --url the edge validates, and publishes what its service opens to clients.
    """
    from edgebus.catalogue import all_services, find_event
    from edgebus.commands import events
    from edgebus.run import run

    if url is not None:
        from edgebus.commands import publishing

        with exits():
            run(publishing.publish_at(url, event, events.read_data(data), token=token, as_json=as_json))
        return
    with exits():
        _, model = find_event(event, all_services(service))
        run(events.publish(redis_url(redis), model, events.read_data(data), as_json=as_json))

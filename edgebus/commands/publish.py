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
    redis: RedisOption = None,
    service: ServiceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Validate an event and publish it on the channels that follow from its model."""
    from edgebus.catalogue import all_services, find_event
    from edgebus.commands import events
    from edgebus.run import run

    with exits():
        _, model = find_event(event, all_services(service))
        run(events.publish(redis_url(redis), model, events.read_data(data), as_json=as_json))

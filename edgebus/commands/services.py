"""``edgebus services``: its arguments."""

from typing import Annotated

import typer

from edgebus.commands.options import JsonOption
from edgebus.terminal import exits, show_json

__all__ = ["services"]


def services(
    name: Annotated[str | None, typer.Argument(help="One service, in full.")] = None, *, as_json: JsonOption = False
) -> None:
    """List the services, or what one has: channels, events with their fields, requests."""
    from bus.description import describe
    from edgebus.catalogue import all_services, find_service
    from edgebus.commands.tables import show_service, show_services

    with exits():
        chosen = [find_service(name)] if name else all_services()
        if as_json:
            for service in chosen:
                show_json(describe(service))
        elif name:
            show_service(chosen[0])
        else:
            show_services(chosen)

"""``edgebus schema``: its arguments."""

from typing import Annotated

import typer

from edgebus.terminal import exits, show

__all__ = ["typescript"]


def typescript(
    service: Annotated[str | None, typer.Argument(help="mahavishnu, akosha, … or package.module:ATTRIBUTE.")] = None,
) -> None:
    """Print types of the events and requests of one service, or of all, for the JavaScript client."""
    from edgebus.catalogue import all_services, find_service
    from edgebus.typescript import types_of

    with exits():
        chosen = [find_service(service)] if service else all_services()
        for line in "\n\n".join(map(types_of, chosen)).split("\n"):
            show(line)

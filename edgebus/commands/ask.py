"""``edgebus ask``: its arguments."""

from typing import Annotated

import typer

from edgebus.commands.options import ServiceOption
from edgebus.terminal import Exit, exit_with, exits

__all__ = ["ask"]


def ask(
    request: Annotated[str, typer.Argument(help="Such as get_workflow_status, or mahavishnu/get_workflow_status.")],
    data: Annotated[str, typer.Argument(metavar="JSON", help="The question, as a JSON object.")] = "{}",
    *,
    url: Annotated[str | None, typer.Option(metavar="ws://…", help="The edge; else the service's port here.")] = None,
    token: Annotated[str | None, typer.Option(envvar="EDGEBUS_TOKEN", help="What lets you in.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Give up after that.")] = 65.0,
    service: ServiceOption = None,
) -> None:
    """Ask a service, by an edge, and print the answer as JSON."""
    from edgebus.catalogue import all_services
    from edgebus.commands import asking
    from edgebus.run import run

    with exits():
        question = asking.parse(data)
        name, edge = (request, url) if url else asking.find_edge(request, all_services(service))
        if edge is None:
            exit_with(Exit.USAGE, f"{request}: several services have this request; write SERVICE/{request}")
        run(asking.ask(name, question, edge=edge, token=token, timeout_s=timeout))

"""``edgebus mcp``: its arguments."""

from importlib.util import find_spec
from typing import Annotated

import typer

from edgebus.commands.options import Level, LevelOption, RedisOption, ServiceOption, redis_url
from edgebus.terminal import Exit, exit_with, exits

__all__ = ["mcp"]


def mcp(
    *,
    http: Annotated[
        str | None, typer.Option(metavar="[HOST:]PORT", help="By streamable HTTP at /mcp; else on stdin and stdout.")
    ] = None,
    allow_publish: Annotated[bool, typer.Option("--allow-publish", help="Offer tools that publish.")] = False,
    redis: RedisOption = None,
    service: ServiceOption = None,
    log_level: LevelOption = Level.WARNING,
) -> None:
    """Serve an operator's tools to agents (MCP); they only read, unless --allow-publish."""
    if find_spec("mcp") is None:
        exit_with(Exit.FAILED, "edgebus mcp needs the package mcp: pip install 'edgebus[mcp]'")
    from edgebus.agents.serving import serve
    from edgebus.catalogue import all_services
    from edgebus.logs import configure
    from edgebus.run import run
    from edgebus.serving import why

    configure(log_level)
    with exits():
        try:
            run(serve(redis_url(redis), all_services(service), http=http, allow_publish=allow_publish))
        except OSError as error:
            exit_with(Exit.FAILED, f"cannot listen on {http}: {why(error)}")

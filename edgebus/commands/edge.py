"""``edgebus edge``: its arguments."""

from pathlib import Path
from typing import Annotated

import typer

from edgebus.commands.options import Level, LevelOption, LogFormat, LogFormatOption, RedisOption
from edgebus.edge_line import run_edge

__all__ = ["edge"]


def edge(
    service: Annotated[str, typer.Argument(help="mahavishnu, akosha, … or package.module:ATTRIBUTE.")],
    *,
    config: Annotated[Path | None, typer.Option(help="YAML file with a 'websocket:' section.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; else the service's.")] = None,
    redis: RedisOption = None,
    max_connections: Annotated[int | None, typer.Option(help="Clients at once.")] = None,
    message_rate_limit: Annotated[int | None, typer.Option(help="Messages per second of one client.")] = None,
    insecure_behind_proxy: Annotated[
        bool, typer.Option("--insecure-behind-proxy", help="No TLS, though others reach it: a proxy in front ends TLS.")
    ] = False,
    more: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any setting.")] = None,
    log_level: LevelOption = Level.INFO,
    log_format: LogFormatOption = LogFormat.AUTO,
) -> None:
    """Serve one service's clients over WebSocket, until told to stop."""
    run_edge(
        service,
        config=config,
        host=host,
        port=port,
        redis=redis,
        max_connections=max_connections,
        message_rate_limit=message_rate_limit,
        insecure_behind_proxy=insecure_behind_proxy,
        more=more,
        log_level=log_level,
        log_format=log_format,
    )

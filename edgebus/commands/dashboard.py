"""``edgebus dashboard``: its arguments."""

from pathlib import Path
from typing import Annotated

import typer

from edgebus.commands.options import Level, LevelOption, RedisOption
from edgebus.edge_line import setting_pairs
from edgebus.terminal import exits

__all__ = ["dashboard"]


def dashboard(
    *,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on.")] = 8600,
    host: Annotated[str | None, typer.Option(help="Address to listen on; others need tokens.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with a 'websocket:' section, as of an edge.")] = None,
    redis: RedisOption = None,
    service: Annotated[
        list[str] | None, typer.Option(metavar="MODULE:ATTR", help="A service of your own; may be repeated.")
    ] = None,
    insecure_behind_proxy: Annotated[
        bool, typer.Option("--insecure-behind-proxy", help="No TLS, though others reach it: a proxy in front ends TLS.")
    ] = False,
    more: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting, as of an edge.")
    ] = None,
    log_level: LevelOption = Level.WARNING,
) -> None:
    """Show the bus in a browser: what is wrong, events as they come, edges and clients."""
    from edgebus.catalogue import all_services, find_service
    from edgebus.dashboard.serving import serve_dashboard
    from edgebus.logs import configure
    from edgebus.run import run
    from edges import EdgeSettings

    configure(log_level)
    with exits():
        settings = EdgeSettings.load(
            config,
            setting_pairs(more or []),
            host=host,
            port=port,
            redis_url=redis,
            insecure_behind_proxy=insecure_behind_proxy or None,
        )
        services = [*(find_service(name) for name in service or []), *all_services()]
        run(serve_dashboard(settings, services))

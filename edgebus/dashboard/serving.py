"""``edgebus dashboard``: the page until a signal."""

from collections.abc import Sequence

from bus.redis.address import without_password
from bus.service import Service
from edgebus.dashboard.dashboard import Dashboard
from edgebus.run import signalled
from edgebus.serving import until, why
from edgebus.terminal import Exit, exit_with, show
from edges import EdgeSettings
from edges.net.addresses import written

__all__ = ["serve_dashboard"]


async def serve_dashboard(settings: EdgeSettings, services: Sequence[Service]) -> None:
    """Show the page until a signal, or until a part fails."""
    async with signalled() as asked:
        try:
            async with Dashboard(settings, services) as dashboard:
                show(f"the dashboard is at {dashboard.url}, Redis is {without_password(settings.redis_url)}")
                await until(asked, dashboard.wait())
        except OSError as error:
            where = written(settings.host, settings.port or 0)
            exit_with(Exit.FAILED, f"cannot listen on {where}: {why(error)}; try --port")

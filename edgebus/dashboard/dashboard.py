"""The dashboard's composition: an edge of its own, owned by a desk for pages, and the desk's sources."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final, Self

from bus.admin.operator import Operator
from bus.service import Service
from bus.tasks import end
from edgebus.dashboard.actions import Actions
from edgebus.dashboard.answers import Answers
from edgebus.dashboard.desk import Desk, has_keys
from edgebus.dashboard.files import Files
from edgebus.dashboard.names import Names
from edgebus.dashboard.reads import Reads
from edgebus.dashboard.sums import NAME
from edgebus.dashboard.watch import Watch
from edges import Edge, EdgeSettings, SettingsError
from edges.lifecycle.tasks import Tasks
from edges.net.addresses import is_loopback, written

__all__ = ["PORT", "Dashboard"]

PORT: Final = 8600


class Dashboard:
    """A dashboard, listening inside ``async with``.

    Args:
        settings: of its edge.
        services: whose catalogues are at hand; others are seen by their edges' word.

    Raises:
        SettingsError: others would reach the page, and no tokens are set up.

    """

    # decisions/0136: an edge like any other, for its origin policy, limits, tokens, TLS and drain; with an owner, since
    # its answers come from Redis' registry and must come while Redis is away, too.

    def __init__(self, settings: EdgeSettings, services: Sequence[Service]) -> None:
        if not is_loopback(settings.host):
            if not has_keys(settings):
                raise SettingsError(
                    f"host: will not show events to everybody who reaches {settings.host or 'any address'}; set "
                    "EDGEBUS_AUTH_SECRET (or another key, docs/access.md), and make tokens: "
                    f"edgebus token make alice {NAME}:read"
                )
            settings = settings.model_copy(update={"auth_required": True})
        self._url, self._tasks = settings.redis_url, Tasks()
        self._operator, self._reads = Operator(self._url), Reads(self._url)
        names = Names(services)
        self._watch = Watch(self._url, self._operator, names)
        self._actions = Actions(self._url, self._operator, names)
        desk = Desk(Answers(self._watch, self._operator, self._reads), self._actions, settings, self._tasks.spawn)
        service = Service(name=NAME, port=PORT, welcome="Connected to the dashboard", families=(), events=())
        self._edge = Edge(service, settings, owner=desk, process_request=Files())
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            OSError: the port cannot be had.

        """
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._operator)
            stack.push_async_callback(self._reads.close)
            stack.push_async_callback(self._actions.close)
            await stack.enter_async_context(self._edge)
            self._watching = asyncio.create_task(self._watch.run(), name="dashboard")
            stack.push_async_callback(self._end_tasks)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close in order."""
        await self._stack.aclose()

    async def _end_tasks(self) -> None:
        await end([self._watching, *self._tasks.running])

    @property
    def url(self) -> str:
        """The address of the page."""
        scheme = "https" if self._edge.settings.tls_certificate else "http"
        return f"{scheme}://{written(self._edge.host, self._edge.port)}"

    async def wait(self) -> None:
        """Wait until a part fails.

        Raises:
            Exception: the failure of the part.

        """
        parts = {asyncio.create_task(self._edge.wait(), name="edge of the dashboard"), self._watching}
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(parts - {self._watching})
        for part in done:
            part.result()

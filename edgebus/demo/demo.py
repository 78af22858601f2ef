"""The demo's composition: broker, seven edges in this process, and the producers with real input."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

from bus.broker.embedded import DEFAULT_PORT, EmbeddedBroker, PortTakenError
from bus.event import now
from bus.redis.address import client
from bus.service import Service
from bus.tasks import end
from edgebus.dashboard.dashboard import PORT, Dashboard
from edgebus.demo.machine import Machine
from edgebus.demo.quality import Quality, run_id
from edgebus.demo.steps import Steps
from edgebus.demo.workflow import Workflows
from edgebus.run import signalled
from edgebus.serving import until, why
from edgebus.terminal import Exit, exit_with, show
from edges import Edge, EdgeSettings
from edges.net.addresses import written
from producers import Producer
from producers.services import NAMES, load
from producers.services.session_buddy import SessionBuddy

__all__ = ["Demo"]

_BY_HAND: Final = (
    ("dhruva", "adapter.stored", '{"adapter_id":"a1"}', "adapter:a1"),
    ("excalidraw", "diagram.created", '{"diagram_id":"d1"}', "diagram:d1"),
    ("fastblocks", "ui.updated", '{"component_id":"c1"}', "ui:c1"),
)
"""Services that have no real source on a bare machine: the line that publishes one event."""

_CLOSE_TIMEOUT_S: Final = 1.0
"""For clients to answer at the end: Ctrl-C means now, also to one that is suspended."""

_OTHER_PORTS: Final = "choose other ports: --shift NUMBER"


@dataclass
class _Count:
    """The summary's last counts."""

    lines: int = 0
    deliveries: int = 0


class Demo:
    """The whole system in one process and its children.

    Args:
        rate: files per second of the workflow.
        shift: added to every port, for a machine where the usual ports are taken.

    """

    # decisions/0006: seven edge processes would each import half of the house: seconds on two cores, and memory. An
    # edge holds no state at module level, so seven in one process are seven edges all the same.

    def __init__(self, *, rate: float, shift: int = 0) -> None:
        self._rate, self._shift = rate, shift
        self._url = f"redis://127.0.0.1:{DEFAULT_PORT + shift}"
        self._steps = Steps()
        self._edges: list[Edge] = []
        self._dashboard: Dashboard | None = None

    async def run(self, for_s: float | None) -> None:
        """Run for ``for_s`` seconds, or until a signal."""
        async with signalled() as asked, AsyncExitStack() as stack:
            await self._start_servers(stack)
            producer = await stack.enter_async_context(Producer(self._url, name="demo"))
            work = [asyncio.create_task(job, name="demo") for job in self._jobs(producer)]
            # Pushed last, and so ended first: no task meets a closed producer or a dead broker.
            stack.push_async_callback(end, work)
            self._explain()
            await self._wait(asked, work, for_s)
        show("demo ended; nothing of it is left running")

    async def _start_servers(self, stack: AsyncExitStack) -> None:
        try:
            await stack.enter_async_context(EmbeddedBroker(DEFAULT_PORT + self._shift))
        except PortTakenError:
            exit_with(Exit.FAILED, f"something else is on port {DEFAULT_PORT + self._shift} already; {_OTHER_PORTS}")
        stack.push_async_callback(self._stop_edges)
        for edge in (self._edge(load(name)) for name in NAMES):
            try:
                await edge.start()
            except OSError as error:
                exit_with(
                    Exit.FAILED, f"cannot listen on {written(edge.host, edge.port)}: {why(error)}; {_OTHER_PORTS}"
                )
            self._edges.append(edge)
        await self._start_dashboard(stack)

    async def _start_dashboard(self, stack: AsyncExitStack) -> None:
        """Show the page, of all that runs here."""
        port = PORT + self._shift
        settings = EdgeSettings(port=port, redis_url=self._url, close_timeout_s=_CLOSE_TIMEOUT_S)
        try:
            dashboard = Dashboard(settings, [load(name) for name in NAMES])
            self._dashboard = await stack.enter_async_context(dashboard)
        except OSError as error:
            exit_with(Exit.FAILED, f"cannot listen on {written(settings.host, port)}: {why(error)}; {_OTHER_PORTS}")

    async def _stop_edges(self) -> None:
        """Stop all edges at once: a client that does not answer delays the end once, and not for each of its edges."""
        await asyncio.gather(*(edge.stop() for edge in self._edges))

    def _edge(self, service: Service) -> Edge:
        port = service.port + self._shift
        return Edge(service, EdgeSettings(port=port, redis_url=self._url, close_timeout_s=_CLOSE_TIMEOUT_S))

    def _jobs(self, producer: Producer) -> Iterator[Coroutine[Any, Any, None]]:
        yield Workflows(producer, self._steps, rate=self._rate).run()
        yield self._session(producer)
        yield Machine(producer, lambda: self._steps.total).run()
        if Quality.is_possible():
            yield Quality(producer, self._steps, url=self._url).run()
        yield self._summarise()

    async def _wait(self, asked: asyncio.Event, work: Sequence["asyncio.Task[None]"], for_s: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                await until(asked, _first_to_fail(work))

    async def _session(self, producer: Producer) -> None:
        """Stream the skill metrics of the demo's own steps, as one session."""
        events, session = SessionBuddy(producer), f"demo-{os.getpid()}"
        await events.broadcast_session_created(session, {"program": "edgebus demo", "python": sys.version.split()[0]})
        await events.stream_metrics(self._steps.read, interval_s=1.0)

    # What a person sees.

    def _explain(self) -> None:
        page = "" if self._dashboard is None else f"Look at {self._dashboard.url} in a browser. "
        lines = [f"{page}Everything runs; Redis is {self._url}", ""]
        lines += [f"  {edge.service.name:<14} ws://127.0.0.1:{edge.port}" for edge in self._edges]
        port, shifted = DEFAULT_PORT + self._shift, self._shift > 0
        edge_url = f" --url ws://127.0.0.1:{self._edges[0].port}" if shifted else ""
        redis_url = f" --redis {self._url}" if shifted else ""
        lines += [
            "",
            "Watch it as a client, in a second terminal:",
            f"  .venv/bin/edgebus listen pool:demo{edge_url}",
            "Watch it in Redis:",
            f"  redis-cli -p {port} SUBSCRIBE pool:demo",
            f"  redis-cli -p {port} XRANGE 'bus:log:{{test:{run_id(1)}}}' - +",
            f"  redis-cli -p {port} PUBSUB CHANNELS '*'",
            "These have no real source on a bare machine; publish an event by hand:",
        ]
        lines += [f"  .venv/bin/edgebus publish {event} '{data}'{redis_url}" for _, event, data, _ in _BY_HAND]
        if not Quality.is_possible():
            lines.append("pytest is not installed, so crackerjack stays silent: pip install 'edgebus[demo]'")
        lines += ["", "Ctrl-C ends it.", ""]
        for line in lines:
            show(line)

    async def _summarise(self) -> None:
        before = _Count()
        async with client(self._url, "edgebus-demo") as redis:
            while True:
                await asyncio.sleep(1)
                stats = await redis.info("commandstats")
                # Each call of the script publishes one line. Counted by Redis, since pytest publishes from a child.
                calls = int(stats.get("cmdstat_evalsha", {}).get("calls", 0))
                before = self._summary(before, calls)

    def _summary(self, before: _Count, lines: int) -> _Count:
        statistics = [edge.statistics() for edge in self._edges]
        deliveries = sum(hub.deliveries for _, hub in statistics)
        clients = sum(registry.connections for registry, _ in statistics)
        rooms = sum(hub.rooms for _, hub in statistics)
        show(
            f"{now()[11:19]}  published {lines - before.lines:>4}/s  delivered {deliveries - before.deliveries:>5}/s"
            f"  clients {clients}  rooms {rooms}  steps {self._steps.total}"
        )
        return _Count(lines, deliveries)


async def _first_to_fail(work: Sequence["asyncio.Task[None]"]) -> None:
    done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()

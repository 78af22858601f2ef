"""Looking at edges and the flow while a page is open: begun by a page's first question, and ended by silence."""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, Final

from bus.admin.operator import Operator
from bus.errors import BusError
from bus.tasks import end
from edgebus.dashboard.flow import Filter, Flow, Viewer
from edgebus.dashboard.names import Names
from edgebus.dashboard.sums import NAME, now_of
from edgebus.dashboard.tap import Tap
from edgebus.top.frames import Frame
from edgebus.top.source import OperatorSource

__all__ = ["Watch"]

_IDLE_S: Final = 5.0
"""Pages ask once a second; after so long without a question nobody looks."""


def _now_ms() -> float:
    return time.time() * 1000


class Watch:
    """The sight of pages.

    Args:
        url: of Redis.
        operator: asks edges.
        names: channels to services.

    """

    def __init__(self, url: str, operator: Operator, names: Names) -> None:
        self._operator, self.names = operator, names
        self.flow = Flow(names, _now_ms)
        self._tap = Tap(url, self.flow.take)
        self._frame = Frame(has_begun=False)
        self._wanted = asyncio.Event()
        self._asked_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether a page was there in the last seconds."""
        return asyncio.get_running_loop().time() - self._asked_s < _IDLE_S

    def now(self) -> dict[str, Any]:
        """Return the second that passed, and keep looking."""
        self._look_on()
        counts = self.flow.counts()
        return {
            **now_of(self._frame, self.names, counts, _now_ms()),
            "published": self.flow.total,
            "latency": self.flow.latencies(),
            "tap": self._tap.trouble,
            "at": _now_ms(),
        }

    def rows(self, viewer: str, wanted: Filter) -> dict[str, Any]:
        """Return a page's rows since its last question."""
        self._look_on()
        view = self.flow.viewers.setdefault(viewer, Viewer(wanted))
        if view.filter != wanted:
            view.filter, view.matched, view.every = wanted, 0, 1
            view.pending.clear()
        return view.answer(self.names, _now_ms())

    def _look_on(self) -> None:
        self._asked_s = asyncio.get_running_loop().time()
        self._wanted.set()

    async def run(self) -> None:
        """Look while pages do, for ever."""
        while True:
            await self._wanted.wait()
            work = [self._keep(self._tap.run, "tap"), self._keep(self._learn, "learn services")]
            try:
                await self._until_idle()
            finally:
                await end(work)
            # Old figures would be shown as new to the next page.
            self._wanted.clear()
            self._tap.trouble = "not begun"
            self._frame = Frame(has_begun=False)

    @staticmethod
    def _keep(work: Callable[[], Any], name: str) -> "asyncio.Task[None]":
        return asyncio.create_task(work(), name=f"dashboard: {name}")

    async def _until_idle(self) -> None:
        async with aclosing(OperatorSource(self._operator).frames()) as frames:  # type: ignore[type-var]
            async for frame in frames:
                self._frame = frame
                self.flow.forget(_IDLE_S * 1000)
                if not self.is_open:
                    return

    async def _learn(self) -> None:
        """Ask edges of services without code at hand about a form of channels, a form a second."""
        while True:
            await asyncio.sleep(1.0)
            strangers = {it.entry.service for it in self._frame.present} - {*self.names.services, NAME}
            # A form that no edge serves is asked about again only when one of its lines comes.
            if self.names.unknown and strangers:
                _, channel = next(iter(self.names.unknown.items()))
                self.names.learn(channel, await self._served_by(channel, sorted(strangers)))

    async def _served_by(self, channel: str, strangers: list[str]) -> str:
        for service in strangers:
            try:
                info = await self._operator.room(f"{service}/{channel}")
            except BusError:
                continue
            if info.retention:
                return service
        return ""

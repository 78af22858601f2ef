"""A log that is read and appended to by the same test: in the product, readers and publishers are apart."""

from collections.abc import Awaitable, Callable, Sequence

import pytest

from bus.errors import BusError
from bus.log.appender import Appender
from bus.log.appending import Appended, Entry, Replicas
from bus.log.log import Log

Append = Callable[[Appender, Sequence[Entry]], Awaitable[list[Appended | BusError]]]


def append_by(append: Append, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every pipeline of a publisher go by ``append``, and none past the publisher's task."""
    monkeypatch.setattr(Appender, "append", append)
    monkeypatch.setattr(Appender, "is_up", False)


class AppendingLog(Log):
    """A log, and beside its connection a link for publishing."""

    def __init__(self, url: str, *, name: str, once: bool = False) -> None:
        super().__init__(url, name=name)
        self.appender = Appender(url, name=name, once=once)
        self.sent_ms: int | None = None

    async def append(self, entries: Sequence[Entry], *, replicas: Replicas | None = None) -> list[Appended | BusError]:
        """Do as ``Appender.append``."""
        try:
            return await self.appender.append(entries, replicas=replicas)
        finally:
            self.sent_ms = self.appender.sent_ms

    async def close(self) -> None:
        """Close both."""
        await self.appender.close()
        await super().close()

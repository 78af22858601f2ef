"""The publishes of a client: sent in order at the edge's pace, and repeated with their ids until answered.

An edge stores a repetition once (docs/wire.md), so a publish outlives its connection; a request does not.
"""

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bus.words import Verb
from clients.comeback import advised_s
from clients.connection import Connection
from clients.errors import Refused, RequestTimeout, Unsendable
from clients.pace import Pace
from clients.requests import Heard
from clients.settings import Timing
from clients.values import Published
from clients.wire import Answer, Refusal

__all__ = ["Publishes"]

_RETRY_MS: Final = 1_000
_MOST: Final = 256
"""Publishes without an answer; further callers wait for room."""


@dataclass(slots=True, eq=False)
class _Pending:
    """A publish without an answer; ``is_due``: to be sent, for the first time or anew."""

    data: Mapping[str, Any]
    answer: "asyncio.Future[Published]"
    is_due: bool = True


class Publishes:
    """The publishes of one client, over all connections.

    Args:
        timing: clock and sleep.

    """

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._pending: dict[str, _Pending] = {}
        self._room = asyncio.Semaphore(_MOST)
        self._wake = asyncio.Event()
        self._silent_until = 0.0

    async def publish(self, event: str, data: Mapping[str, Any], event_id: str | None, limit_s: float) -> Published:
        """Publish, and return the edge's answer.

        Raises:
            Refused: the edge does not take the event.
            RequestTimeout: no good answer came in ``limit_s``.
            Unsendable: JSON cannot carry the data, or the edge takes no such length.
            ValueError: a publish with this id is under way.

        """
        own = event_id if event_id is not None else str(uuid.uuid4())
        if own in self._pending:
            raise ValueError(f"a publish with the id {own} is under way")
        pending = _Pending({"event": event, "data": data}, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(limit_s), self._room:
                self._pending[own] = pending
                self._wake.set()
                return await pending.answer
        except TimeoutError:
            raise RequestTimeout(f"{event}: not published within {limit_s:g} s, or the answer was lost") from None
        finally:
            if self._pending.get(own) is pending:
                del self._pending[own]

    def connection_came(self, connection: Connection) -> None:
        """Send all publishes without an answer, in their order, and later ones."""
        for pending in self._pending.values():
            pending.is_due = True
        self._wake.set()
        connection.spawn(self._send(connection), "client publishes")

    def end(self, error: Exception) -> None:
        """Answer all callers: no connection will come."""
        for pending in list(self._pending.values()):
            if not pending.answer.done():
                pending.answer.set_exception(error)

    async def _send(self, connection: Connection) -> None:
        pace, heard_rate = Pace(None, self._timing.clock()), None
        while True:
            own = next((name for name, it in self._pending.items() if it.is_due and not it.answer.done()), None)
            if own is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            now = self._timing.clock()
            if connection.publish_rate != heard_rate and connection.publish_rate:
                heard_rate = connection.publish_rate
                pace.welcomed(heard_rate, now)
            wait_s = max(pace.wait_s(now), self._silent_until - now)
            if wait_s > 0:
                await self._timing.sleep(wait_s)
                continue
            pace.spend(now)
            self._say(connection, own)

    def _say(self, connection: Connection, own: str) -> None:
        pending = self._pending[own]
        pending.is_due = False
        try:
            connection.requests.ask(
                Verb.PUBLISH, pending.data, lambda heard: self._heard(pending, heard), request_id=own
            )
        except Unsendable as error:
            pending.answer.set_exception(error)

    def _heard(self, pending: _Pending, heard: Heard) -> None:
        if pending.answer.done():
            return
        match heard:
            case Answer(data=data):
                pending.answer.set_result(Published.of(data))
            case Refusal(is_passing=True):
                # The same id again: had the edge stored the event all the same, it answers with the first position.
                self._silent_until = self._timing.clock() + advised_s(heard.retry_after_ms or _RETRY_MS)
                pending.is_due = True
                self._wake.set()
            case Refusal():
                pending.answer.set_exception(Refused(heard.code, heard.sentence, heard.retry_after_ms))
            case Unsendable():
                pending.answer.set_exception(heard)
            # None: the connection ended; the next one repeats.

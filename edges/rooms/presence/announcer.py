"""The events of users who come and leave, where a service has such events: made of changes, and published in order."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, TypeAlias

from bus.channel import Channel
from bus.envelope import Message, compose
from bus.event import Attempt, Event, now
from bus.presence.entries import Change
from bus.service import Service
from bus.tasks import Spawn
from edges.limits.mishaps import Mishaps

__all__ = ["Announcer", "Send"]

Send: TypeAlias = Callable[[Message, Attempt], Awaitable[Any]]
"""Publishes, or raises ``BusError``."""

_logger: Final = logging.getLogger("edgebus.edges")


class Announcer:
    """Publishes the events of changes.

    Args:
        service: has the families and the events.
        send: publishes.
        spawn: runs and owns a task.
        mishaps: is told of events that were not published.
        line_bytes: the longest line.

    """

    # decisions/0113: by the edge whose write was the change, behind the script. An edge that dies in between publishes
    # nothing; the room itself is right all the same.

    def __init__(self, service: Service, send: Send, spawn: Spawn, mishaps: Mishaps, *, line_bytes: int) -> None:
        self._service, self._send, self._spawn = service, send, spawn
        self._mishaps, self._line_bytes = mishaps, line_bytes
        self._under_way: set[asyncio.Task[None]] = set()

    def told(self, channel: Channel, change: Change) -> None:
        """Publish the events of a change; tasks begin in the order of the calls, and the queue to Redis keeps it."""
        for model, data in self._facts(channel, change):
            made = Attempt(str(uuid.uuid4()), now())
            try:
                message = compose(model(**data), limit_bytes=self._line_bytes, made=made)
            except ValueError:  # of the model, or of the line: a user's id need not fill a channel's name
                _logger.warning("a user's coming or leaving makes no event", extra={"channel": channel.name})
            else:
                task = self._spawn(self._publish(message, made), f"announce on {channel.redis}")
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)

    async def settle(self, within_s: float) -> None:
        """Wait for the events under way."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=within_s)

    async def _publish(self, message: Message, made: Attempt) -> None:
        with self._mishaps.spared("users' events"):
            await self._send(message, made)

    def _facts(self, channel: Channel, change: Change) -> Iterator[tuple[type[Event], dict[str, Any]]]:
        """Give each event's model and data."""
        presence, family = channel.presence, self._service.family(channel)
        if presence is None:
            return
        joined, left = (
            None if name is None else self._service.event(name) for name in (presence.joined, presence.left)
        )
        room = {} if family.field is None else {family.field: family.value(channel)}
        if joined is not None:
            for member in change.joined:
                yield joined, {**room, presence.user: member.user, presence.info: dict(member.info)}
        if left is not None:
            for user in change.left:
                yield left, {**room, presence.user: user}

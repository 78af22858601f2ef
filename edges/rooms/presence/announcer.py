"""The service's own events of users that come into rooms and leave, published from what Redis says is owed.

The script that finds a user gone notes the event as owed, in the same step. Whichever edge hears of the room publishes
all that is owed there, in order; by a name known to Redis each is stored once, though several edges try
(decisions/0111).
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from pydantic import ValidationError

from bus.channel import Channel
from bus.envelope import Message, compose
from bus.errors import BusError, EventError
from bus.event import Attempt, Event, now
from bus.log.once import once_name
from bus.presence.store import Owed, PresenceStore
from bus.service import Service

__all__ = ["Announcer", "Send"]

Send: TypeAlias = Callable[[Message, Attempt, str], Awaitable[Any]]
"""Publishes once by a name, or raises ``BusError``."""

_RETRY_S: Final = 1.0
_NAMES: Final = uuid.UUID("3f6b2a52-6f0f-4c3c-9c0d-2d5a3b1c7e10")

_logger = logging.getLogger("edgebus.edges")


class Announcer:
    """Publishes owed events.

    Args:
        service: has the families and the events.
        store: says what is owed.
        send: publishes.
        line_bytes: the longest line.

    """

    def __init__(self, service: Service, store: PresenceStore, send: Send, *, line_bytes: int) -> None:
        self._service, self._store, self._send, self._line_bytes = service, store, send, line_bytes
        self._due: dict[str, Channel] = {}
        self._woken = asyncio.Event()
        self._turn = asyncio.Lock()

    def note(self, channel: Channel) -> None:
        """Take note that events may be owed in the room of ``channel``."""
        if channel.presence is not None and channel.presence.events:
            self._due[channel.redis] = channel
            self._woken.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            if not await self.publish_due():
                await asyncio.sleep(_RETRY_S)
                self._woken.set()

    async def publish_due(self) -> bool:
        """Publish all that is owed in the rooms noted; tell whether nothing is left."""
        async with self._turn:
            for name, channel in list(self._due.items()):
                del self._due[name]
                try:
                    await self._publish(channel)
                except BusError as error:
                    _logger.debug("owed events wait", extra={"channel": name, "reason": str(error)})
                    self._due.setdefault(name, channel)
        return not self._due

    async def _publish(self, channel: Channel) -> None:
        owed, strange = await self._store.owed(channel)
        if strange:
            await self._store.settle(channel, strange)
        for one in owed:  # one by one: a later event must not overtake an event that fails
            await self._publish_one(channel, one)
            await self._store.settle(channel, [one.token])

    async def _publish_one(self, channel: Channel, owed: Owed) -> None:
        event = self._event(channel, owed)
        if event is None:
            return
        made = Attempt(str(uuid.uuid5(_NAMES, f"{channel.redis} {owed.token}")), now())
        try:
            message = compose(event, limit_bytes=self._line_bytes, made=made)
        except EventError as error:
            _logger.warning("a user's coming or leaving makes no event", extra={"reason": str(error)})
            return
        await self._send(message, made, once_name(None, made.id, event.event_name, {}))

    def _event(self, channel: Channel, owed: Owed) -> Event | None:
        """Return the event of a user that came or left; None for no event, or where the model wants another value."""
        presence, family = channel.presence, self._service.family(channel)
        name = None if presence is None else presence.left if owed.has_left else presence.joined
        model = None if name is None else self._service.event(name)
        if presence is None or model is None:
            return None
        room = {} if family.field is None else {family.field: family.value(channel)}
        info = {} if owed.has_left else {presence.info: dict(owed.info)}
        try:
            return model(**room, **{presence.user: owed.user}, **info)
        except ValidationError:  # a user's id need not fill a channel's name
            _logger.warning("a user's coming or leaving makes no event", extra={"channel": channel.name})
            return None

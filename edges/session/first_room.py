"""The first room of a client, where the dialect has a first room: entered unless the client finds another room."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, Final

from bus.errors import BusError
from bus.words import Verb
from edges.protocol.messages import Outgoing
from edges.session.authentication import Admission
from edges.session.context import Context
from edges.session.dialect_choice import DialectChoice
from edges.session.subscriptions import Subscriptions

__all__ = ["QUIET_S", "TALK_S", "Carry", "FirstRoom"]

QUIET_S: Final = 0.25
"""The silence of a client who waits for no answer."""
TALK_S: Final = 1.0
"""After which a client who goes on talking enters all the same: the old server's ticks were a second apart."""
_RETRY_S: Final = 1.0

Carry = Callable[[AsyncGenerator[Outgoing, None], str, str | None], Coroutine[Any, Any, None]]
"""Writes what a generator yields, for a verb, in reply to a message."""


class FirstRoom:
    """The way into the first room.

    Args:
        context: the parts of the edge.
        rooms: the client's.
        choice: names the first room.
        admission: says whether the client may be in the room.
        carry: writes a refusal.
        name: of the connection.
        is_busy: tells whether a command of the client is under way.

    """

    __slots__ = (
        "_admission",
        "_carry",
        "_choice",
        "_context",
        "_heard_at",
        "_is_busy",
        "_is_entering",
        "_name",
        "_rooms",
    )

    def __init__(
        self,
        context: Context,
        rooms: Subscriptions,
        choice: DialectChoice,
        admission: Admission,
        carry: Carry,
        name: str,
        is_busy: Callable[[], bool],
    ) -> None:
        self._context, self._rooms, self._choice, self._admission = context, rooms, choice, admission
        self._carry, self._name, self._is_entering = carry, name, False
        self._is_busy, self._heard_at = is_busy, 0.0

    def enter(self) -> None:
        """Put the client into the first room, unless the client has found a room, or must show a token first."""
        name = self._choice.dialect.first_room
        if name is None or self._admission.is_locked or self._rooms.rooms or self._is_entering:
            return
        self._is_entering = True
        self._heard_at = asyncio.get_running_loop().time()
        work = self._carry(self._enter(name), Verb.SUBSCRIBE, None)
        self._context.spawn(work, f"first room of {self._name}")

    def heard(self) -> None:
        """Take note of a message: the client waits for an answer, and takes the next frame for the answer."""
        if self._is_entering:
            self._heard_at = asyncio.get_running_loop().time()

    async def _enter(self, name: str) -> AsyncGenerator[Outgoing, None]:
        """Enter; the client has not asked for the room, and would not ask again, so a failure is repeated here."""
        channel = self._context.service.channel(name)
        if not self._admission.may_read(channel):
            # decisions/0022: told once; the client never asked to be there, and would wait for events in vain.
            yield self._admission.forbidden(Verb.SUBSCRIBE, channel)
        await self._context.first_link()
        while self._wants(name):
            is_silent = await self._silence(name)
            if not self._wants(name):
                break
            try:
                await self._context.hub.open(channel)
            except BusError:
                await asyncio.sleep(_RETRY_S)
                continue
            # A room chosen while the first room was being opened wins.
            joined = self._rooms.join(channel) if self._wants(name) else None
            for frame in joined.frames if joined is not None and is_silent else ():
                yield frame
        self._is_entering = False

    async def _silence(self, name: str) -> bool:
        """Return when the client has been silent for a while; False for a client who talks on (decisions/0094)."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + TALK_S
        while self._wants(name):
            now = loop.time()
            if self._is_busy():
                self._heard_at = now
            elif now >= self._heard_at + QUIET_S:
                return True
            elif now >= ends_at:
                return False
            await asyncio.sleep(self._heard_at + QUIET_S - now)
        return False

    def _wants(self, name: str) -> bool:
        is_free = not self._rooms.has_ended and not self._rooms.rooms and self._choice.dialect.first_room == name
        return is_free and self._admission.may_read(self._context.service.channel(name))

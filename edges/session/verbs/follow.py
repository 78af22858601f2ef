"""``GET /events``: into rooms by the query of a request, and answers as a stream tells them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import ClassVar, Final, Self

from bus.channel import Channel
from bus.errors import BusError
from bus.log.replay import Replay, Since
from bus.values import frozen, mutable
from bus.words import Verb
from edges.protocol.event_stream import EVENT_STREAM, GAP, RECOVERED, SUBSCRIBED, StreamDialect
from edges.protocol.messages import Outgoing, Refused, Reply, Said, gap
from edges.session.client import Client
from edges.session.command import Command
from edges.session.subscriptions import Joined
from edges.session.verbs.subscribe import Subscribe

__all__ = ["Follow", "Watch"]

_RETRY_S: Final = 1.0


@mutable
class Follow(Subscribe):
    """Join the room of a channel; the answer is an event of the stream."""

    dialect: StreamDialect = EVENT_STREAM

    @property
    def place(self) -> str:
        """The position that the client stood at; empty where there is none."""
        return self.start.position if isinstance(self.start, Since) else ""

    # By the name of the class, not by `super()`: a dataclass with slots is a second class.

    def joined(self, channel: Channel, joined: Joined) -> tuple[Outgoing, ...]:
        """Return the answer to a client that has joined at the end of the log, and the latest event."""
        reply, *frames = Subscribe.joined(self, channel, joined)
        return (self._told(channel, reply, SUBSCRIBED, joined.position, is_at_end=not frames), *frames)

    def resumed(self, channel: Channel, replay: Replay) -> Outgoing:
        """Return the answer to a client that is given a replay."""
        is_at_end, position = not replay.lines, replay.position
        reply = Subscribe.resumed(self, channel, replay)
        if replay.reason is None or replay.gap_after is not None or channel.retention.kind == "latest":
            name = RECOVERED if isinstance(self.start, Since) else SUBSCRIBED
            return self._told(channel, reply, name, position, is_at_end=is_at_end)
        start = self.start.position if isinstance(self.start, Since) else None
        end = position if replay.lines == () else replay.lines[0].position
        notice = gap(channel.name, start, end, replay.reason)
        return self._told(channel, notice, GAP, position, is_at_end=is_at_end)

    def _told(
        self, channel: Channel, message: Outgoing, name: str, position: str | None, *, is_at_end: bool
    ) -> Outgoing:
        """Return the answer, with the client's place where no line follows that has one of its own.

        A latest event is shown behind the answer, and a client cut in between must be shown the event again.
        """
        if not isinstance(message, Reply) and name is not GAP:
            return message
        place = position if is_at_end and channel.retention.kind == "history" else None
        return self.dialect.told(name, message, channel.name, place)  # type: ignore[arg-type]


@frozen
class Watch(Command):
    """Join all rooms of a stream, one after the other; the edge's own command, in no table."""

    follows: tuple[Follow, ...]
    told: str | None = None
    """The channel that the client was told to wait for."""
    verb: ClassVar = Verb.SUBSCRIBE
    reply_to: ClassVar = None
    is_long: ClassVar = True

    @classmethod
    def parse(cls, said: Said) -> Self:
        """Take no data; no message is read as a stream's."""
        return cls(())

    async def run(self, client: Client) -> AsyncGenerator[Outgoing, None]:
        """Join room by room; a stream that cannot have a room at the moment is told so, and waits for the room."""
        for number, follow in enumerate(self.follows):
            try:
                async with contextlib.aclosing(_run(client, follow)) as items:
                    async for item in items:
                        yield item
            except Refused as refused:
                yield refused.refusal
            except BusError as error:  # a browser would come back for ever, so the edge itself tries again
                refusal = client.unavailable(error, self.verb, None)
                if self.told != follow.channel:
                    yield refusal
                await asyncio.sleep(_RETRY_S)
                if not client.rooms.has_ended:  # in turn: rooms joined before may have lines for the client to recover
                    client.inbox.put(Watch(self.follows[number:], follow.channel))
                return


async def _run(client: Client, follow: Follow) -> AsyncGenerator[Outgoing, None]:
    outcome = follow.run(client)
    if isinstance(outcome, tuple):
        for item in outcome:
            yield item
        return
    async with contextlib.aclosing(outcome) as items:
        async for item in items:
            yield item

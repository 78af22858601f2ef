"""``presence``: who is in a room, over all edges."""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import orjson

from bus.channel import Channel
from bus.presence.entries import is_user
from bus.spelling import canonical_name
from bus.values import frozen
from bus.words import Verb
from edges.protocol.messages import Code, Outgoing, Refusal, Reply, Said
from edges.session.client import Client
from edges.session.command import Command
from edges.session.verbs.subscribe import asked, channel_of, named

if TYPE_CHECKING:
    from bus.presence.store import Snapshot
    from edges.rooms.presence.looks import Page

__all__ = ["Presence"]

_LIMIT: Final = 100
_MOST: Final = 1_000


@frozen
class Presence(Command):
    """Ask for the users in a room: ``limit`` of them, with ids behind ``after``."""

    channel: str
    limit: int = _LIMIT
    after: str | None = None
    reply_to: str | None = None
    verb: ClassVar = Verb.PRESENCE
    is_long: ClassVar = True
    is_small: ClassVar = True

    @property
    def topic(self) -> str:
        """The channel, however spelled."""
        return canonical_name(self.channel)

    @classmethod
    def parse(cls, said: Said) -> Self:
        """Read the channel and the page."""
        limit, after = said.data.get("limit", _LIMIT), said.data.get("after")
        if type(limit) is not int or not 1 <= limit <= _MOST:
            raise said.refused(f"limit: expected a number from 1 to {_MOST}")
        if after is not None and not is_user(after):
            raise said.refused("after: expected the next of the answer before")
        return cls(named(said), limit, after, said.reply_to)

    async def run(self, client: Client) -> AsyncGenerator[Outgoing, None]:
        """Answer, at the client's pace; the permission is that of the channel."""
        channel = channel_of(client, self.channel, self)
        refusal = channel if isinstance(channel, Refusal) else self._refusal(client, channel)
        presence = client.context.presence
        if isinstance(channel, Refusal) or refusal is not None or presence is None:
            if refusal is not None:
                yield refusal
            return
        await client.context.first_link()
        network = client.rooms.network
        found, page = await presence.look(channel, limit=self.limit, after=self.after, network=network)
        refusal = self._refusal(client, channel)  # a token that opens less may have overtaken
        if refusal is not None:
            yield refusal
            return
        if not found.is_complete:
            client.context.counters.hit("max_presence_members")
        data = orjson.dumps(self._data(channel, found, page))
        async with client.pacing.room_for(len(data)):
            yield Reply(self.verb, orjson.Fragment(data), self.reply_to)

    def _refusal(self, client: Client, channel: Channel) -> Refusal | None:
        if not client.admission.may_read(channel):
            return client.admission.forbidden(self.verb, channel, self.reply_to)
        if channel.presence is not None and client.context.presence is not None:
            return None
        sentence = f"channel: nobody notes who is in {channel.name}: its family has no presence"
        return Refusal(Code.INVALID_REQUEST, sentence, self.verb, self.reply_to)

    def _data(self, channel: Channel, found: "Snapshot", page: "Page") -> dict[str, Any]:
        data = {**asked(self.channel, channel), "count": found.count, "connections": found.connections}
        if channel.presence is not None and channel.presence.kind == "count":
            return data
        return {**data, "complete": found.is_complete, "members": list(page.members), "next": page.next}

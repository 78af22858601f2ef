"""``subscribe`` and ``unsubscribe`` of the session-buddy dialect: out of every room, and into another room."""

from collections.abc import AsyncGenerator
from typing import ClassVar, Self

from bus.channel import Channel
from bus.errors import BusError
from bus.values import frozen
from bus.words import Verb
from edges.protocol.messages import Outgoing, Refusal, Reply, Said
from edges.session.client import Client
from edges.session.command import Command

__all__ = ["Switch"]


@frozen
class Switch(Command):
    """Leave every room and join another; ``skill`` is the client's word for the room, None for all skills."""

    channel: str
    skill: str | None
    verb: ClassVar = Verb.SUBSCRIBE
    reply_to: ClassVar = None
    chooses_room: ClassVar = True

    @classmethod
    def parse(cls, said: Said) -> Self:
        """Take the channel, made of the skill by the dialect."""
        return cls(said.data["channel"], said.data["skill"])

    def permission(self, client: Client, channel: Channel) -> Refusal | None:
        """Return the refusal for a client without permission, None for others."""
        return None if client.admission.may_read(channel) else client.admission.forbidden(self.verb, channel)

    async def run(self, client: Client) -> AsyncGenerator[Outgoing, None]:
        """Open the new room, and switch; a client stays where the new room cannot be opened."""
        channel = client.context.service.channel(self.channel)
        refusal = self.permission(client, channel)
        try:
            if refusal is None:
                await client.context.first_link()
                await client.rooms.open(channel)
        except BusError as error:
            yield client.unavailable(error, self.verb, None)
            if client.first_room is not None:
                client.first_room.enter()
            return
        refusal = refusal or self.permission(client, channel)  # a token that opens less may have overtaken
        if refusal is not None:
            yield refusal
            return
        joined = client.rooms.switch(channel)
        if joined is not None:
            yield Reply(self.verb, {"skill": self.skill})
            for frame in joined.frames:
                yield frame

"""``unsubscribe``: out of a room, or out of the replay before the room."""

from typing import ClassVar, Self

from bus.spelling import canonical_name
from bus.values import frozen
from bus.words import Verb
from edges.protocol.messages import Refusal, Reply, Said
from edges.session.client import Client
from edges.session.command import Command, Lane, Outcome
from edges.session.verbs.subscribe import asked, channel_of, named

__all__ = ["Unsubscribe"]


@frozen
class Unsubscribe(Command):
    """Leave the room of a channel; ``channel`` is the name that the client asked by."""

    channel: str
    reply_to: str | None = None
    verb: ClassVar = Verb.UNSUBSCRIBE
    lane: ClassVar = Lane.OVERTAKING

    @property
    def topic(self) -> str:
        """The channel, however spelled: commands about a channel stay in order (decisions/0042)."""
        return canonical_name(self.channel)

    @classmethod
    def parse(cls, said: Said) -> Self:
        """Read the channel."""
        return cls(named(said), said.reply_to)

    def run(self, client: Client) -> Outcome:
        """Leave; a room without the client is answered alike."""
        channel = channel_of(client, self.channel, self)
        if isinstance(channel, Refusal):
            return (channel,)
        client.rooms.leave(channel)  # decisions/0022: leaving needs no permission
        return (Reply(self.verb, {"status": "unsubscribed", **asked(self.channel, channel)}, self.reply_to),)

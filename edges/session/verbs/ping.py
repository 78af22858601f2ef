"""``ping``: answered at once, before a token too."""

from typing import ClassVar, Self

from bus.values import frozen
from bus.words import Verb
from edges.protocol.messages import Pong, Said
from edges.session.client import Client
from edges.session.command import Command, Lane, Outcome

__all__ = ["Ping"]


@frozen
class Ping(Command):
    """Ask for a pong."""

    reply_to: str | None = None
    verb: ClassVar = Verb.PING
    lane: ClassVar = Lane.OVERTAKING
    needs_token: ClassVar = False
    is_small: ClassVar = True

    @classmethod
    def parse(cls, said: Said) -> Self:
        """Read no data: a ping has none."""
        return cls(said.reply_to)

    def run(self, client: Client) -> Outcome:
        """Answer with a pong."""
        return (Pong(self.reply_to),)

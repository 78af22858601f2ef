"""Any message to an edge with an owner: the owner answers. The edge itself answers ``auth`` and ``ping``."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any, ClassVar, Self

from bus.values import frozen
from bus.words import Verb
from edges.protocol.envelope import heard
from edges.protocol.messages import Outgoing, Said
from edges.session.client import Client
from edges.session.command import Command
from edges.session.owned import Asked
from edges.session.verbs.subscribe import start_of

__all__ = ["Told", "told"]

_OF_THE_EDGE = (Verb.AUTH, Verb.PING)


@frozen
class Told(Command):
    """Have the owner answer."""

    asked: Asked
    is_long: ClassVar = True

    @property
    def verb(self) -> str:
        """The name of the request or event."""
        return self.asked.verb

    @property
    def reply_to(self) -> str | None:
        """Correlation id of the reply."""
        return self.asked.reply_to

    @classmethod
    def parse(cls, said: Said) -> Self:
        """Take a request without the message around; ``told`` takes the message, too."""
        return cls(Asked(dict(said.data), said.verb, said.reply_to, None))

    async def run(self, client: Client) -> AsyncGenerator[Outgoing, None]:
        """Wait for the owner; a client without an answer is welcomed all the same."""
        if client.owned is None:  # only edges with an owner read messages so
            raise LookupError(self.verb)
        await client.owned.tell(self.asked)
        for item in client.greeting.take():
            yield item


def told(value: dict[str, Any], verbs: Mapping[str, type[Command]]) -> Command:
    """Return the command in a message to an edge with an owner.

    Raises:
        Refused: the message is no envelope.

    """
    _, said = heard(value)
    if said.verb in _OF_THE_EDGE:
        return verbs[said.verb].parse(said)
    start = start_of(said) if said.verb == Verb.SUBSCRIBE else None
    return Told(Asked(value, said.verb, said.reply_to, start))

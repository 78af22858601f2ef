"""``publish``: an event of the client, where the catalogue opens the event to clients."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from bus.values import frozen
from bus.words import Verb
from edges.protocol.messages import Outgoing, Refused, Reply, Said
from edges.session.client import Client
from edges.session.command import Command, Outcome
from edges.session.publishes import Publishes
from edges.session.publishing import Prepared, Publishing, Wish

if TYPE_CHECKING:
    from bus.log.publication import Published

__all__ = ["Publish", "report", "wish_of"]


@frozen
class Publish(Command):
    """Publish an event.

    The answer comes when Redis has the event; commands behind do not wait for that, and later publishes of the client
    stay behind the earlier ones.
    """

    wish: Wish
    verb: ClassVar = Verb.PUBLISH
    is_long: ClassVar = True

    @property
    def reply_to(self) -> str | None:
        """Correlation id of the reply, and the event's id."""
        return self.wish.id

    @classmethod
    def parse(cls, said: Said) -> Self:
        """Read the event's name and its data; the model reads the data."""
        return cls(wish_of(said))

    def run(self, client: Client) -> Outcome:
        """Begin; a client with many publishes under way waits for room first."""
        publishing, publishes = client.context.publishing, client.publishes
        if publishing is None or publishes is None:  # no row without events that are open to clients
            raise LookupError(self.verb)
        if publishes.is_full:
            return self._when_free(client, publishing, publishes)
        return self._begin(client, publishing, publishes)

    async def _when_free(
        self, client: Client, publishing: Publishing, publishes: Publishes
    ) -> AsyncGenerator[Outgoing, None]:
        await publishes.room()
        for item in self._begin(client, publishing, publishes):
            yield item

    def _begin(self, client: Client, publishing: Publishing, publishes: Publishes) -> tuple[Outgoing, ...]:
        caller, network = client.admission.caller, client.rooms.network
        now_s = asyncio.get_running_loop().time()
        try:
            prepared = publishing.prepare(self.wish, caller, network, publishes.account, now_s)
        except Refused as refused:
            return (refused.refusal,)
        # A task, not a command under way: a slow Redis holds up no other verb. Tasks begin in the order of the calls,
        # and the queue to Redis keeps that order.
        publishes.begin()
        answer = _answered(publishing, publishes, prepared, self.reply_to)
        client.context.spawn(client.carry(answer, self.verb, self.reply_to), f"publish of {client.transport.name}")
        return ()


async def _answered(
    publishing: Publishing, publishes: Publishes, prepared: Prepared, reply_to: str | None
) -> AsyncGenerator[Outgoing, None]:
    try:
        published = await publishing.publish(prepared)
    finally:
        publishes.end()
    yield Reply(Verb.PUBLISH, report(published), reply_to)


def report(published: "Published") -> dict[str, Any]:
    """Return the data of the answer to a publish."""
    position = next(iter(published.positions.values()), None)
    return {
        "status": "published",
        "id": published.id,
        "positions": published.positions,
        "position": position,
    }


def wish_of(said: Said) -> Wish:
    """Return the client's wish.

    Raises:
        Refused: there is no event's name, or the data are no object.

    """
    event, data = said.data.get("event"), said.data.get("data", {})
    if not isinstance(event, str) or not event:
        raise said.refused("event: expected the name of an event in data, such as 'cursor.moved'")
    if not isinstance(data, Mapping):
        raise said.refused("data: expected an object, the event's fields")
    return Wish(event, data, said.reply_to)

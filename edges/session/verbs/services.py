"""``services``: what the edge serves, for clients without the service's code."""

from collections.abc import AsyncGenerator
from functools import lru_cache
from typing import ClassVar, Self

import orjson

from bus.description import described
from bus.service import Service
from bus.values import frozen
from bus.words import Verb
from edges.protocol.messages import Outgoing, Reply, Said
from edges.session.client import Client
from edges.session.command import Command

__all__ = ["Services", "catalogue_of"]


@frozen
class Services(Command):
    """Ask for the catalogue of the edge's service."""

    reply_to: str | None = None
    verb: ClassVar = Verb.SERVICES
    is_small: ClassVar = True

    @classmethod
    def parse(cls, said: Said) -> Self:
        """Read no data: an edge serves a single service."""
        return cls(said.reply_to)

    async def run(self, client: Client) -> AsyncGenerator[Outgoing, None]:
        """Answer, at the client's pace; decisions/0099: no permission is asked, for names open no channel."""
        data = catalogue_of(client.context.service)
        async with client.pacing.room_for(len(data)):
            yield Reply(self.verb, orjson.Fragment(data), self.reply_to)


@lru_cache(maxsize=16)
def catalogue_of(service: Service) -> bytes:
    """Return the answer's data; composed when an edge is, and kept."""
    # Schemas of forty models took 60 ms: on the event loop, other clients would wait for the first who asks.
    return orjson.dumps(described(service))

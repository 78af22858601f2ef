"""A request of the service: a question answered by a responder, or from logs."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any, ClassVar, Self

import orjson

from bus.asking.question import Asker
from bus.values import frozen
from edges.protocol.messages import Code, Outgoing, Refused, Reply, Said
from edges.session.client import Client
from edges.session.command import Command
from edges.session.requests import Check
from edges.session.verbs.effects import carry_out

__all__ = ["Request"]


@frozen
class Request(Command):
    """Ask the service."""

    name: str
    data: Mapping[str, Any]
    reply_to: str | None = None
    is_long: ClassVar = True

    @property
    def verb(self) -> str:
        """The request's name."""
        return self.name

    @classmethod
    def parse(cls, said: Said) -> Self:
        """Take the data unread: the request's model reads the data, in turn."""
        return cls(said.verb, said.data, said.reply_to)

    def permission(self, client: Client, own: str | None = None) -> Check:
        """Return a check of channels, which refuses channels closed to the client; ``own`` is the request's own."""
        return client.admission.check(self.name, self.reply_to, own)

    async def run(self, client: Client) -> AsyncGenerator[Outgoing, None]:
        """Answer, at the client's pace."""
        context, network = client.context, client.rooms.network
        request = context.service.request(self.name)
        if request is None:  # the table has rows for known names only
            raise LookupError(self.name)
        try:
            check = self.permission(client, request.permission)
            await context.first_link()
            data = None
            if request.effect is not None:
                data = await carry_out(client, request, self.data, self.reply_to, check)
            elif request.live and context.live is not None:
                asker = Asker(client.admission.caller.user_id, client.admission.caller.permissions)
                data = await context.live.answer(request, self.data, self.reply_to, check, asker, network)
            if data is None:  # nobody is there, or the request is none for a responder
                data = await context.answers.answer(request, self.data, self.reply_to, check, network)
        except Refused as refused:
            if refused.refusal.code is Code.ANSWER_TOO_LARGE:
                context.counters.hit("max_answer_bytes")
            raise
        async with client.pacing.room_for(len(data)):
            yield Reply(self.name, orjson.Fragment(data), self.reply_to)

"""A client's conversation over plain HTTP: one request says all commands, and the answers are a stream."""

from collections.abc import Sequence
from typing import Final

from bus.channel import Channel
from bus.words import Code
from edges.protocol.event_stream import StreamDialect
from edges.protocol.messages import Dismissal, Refusal
from edges.session.command import Command
from edges.session.context import Context
from edges.session.conversation import Conversation
from edges.session.dialect_choice import DialectChoice
from edges.session.inbox import Item
from edges.session.transport import Transport
from edges.session.verbs.auth import let_in
from edges.session.verbs.follow import Follow, Watch
from edges.session.verbs.subscribe import channel_of

__all__ = ["Feed"]

_NO_TOKEN: Final = Refusal(Code.AUTH_REQUIRED, "authenticate first: send Authorization: Bearer and a token")


class Feed(Conversation):
    """A client that hears, and says no more.

    Args:
        transport: the connection.
        context: the parts of the edge.
        dialect: of the stream.
        follows: the channels.

    """

    __slots__ = ("_follows",)

    def __init__(
        self, transport: Transport, context: Context, dialect: StreamDialect, follows: Sequence[Follow]
    ) -> None:
        super().__init__(transport, context, DialectChoice(context.service, dialect))
        self._follows = tuple(follows)

    async def refusal(self, tokens: Sequence[str]) -> Refusal | None:
        """Look at the token, then at the channels; return why the client gets no stream, None: it may have one.

        A client without a token that is needed learns nothing of the service.
        """
        if tokens and not self._context.authenticator.is_open:
            for item in await let_in(self._client, tokens, None) or ():
                if isinstance(item, Dismissal):
                    return item.refusal
                if isinstance(item, Refusal):
                    return item
        if self.admission.is_locked:
            return _NO_TOKEN
        return next((it for follow in self._follows if (it := self._judged(follow)) is not None), None)

    def _judged(self, follow: Follow) -> Refusal | None:
        channel = channel_of(self._client, follow.channel, follow)
        return channel if isinstance(channel, Refusal) else follow.permission(self._client, channel)

    @property
    def channels(self) -> list[Channel]:
        """The channels that the client asked for, in order; all are of the service."""
        return [self._context.service.channel(follow.channel) for follow in self._follows]

    def begin(self) -> None:
        """Welcome the client, and join the rooms."""
        self._write(self.greeting.take())
        self._run(Watch(self._follows))

    def carry_out(self, item: Item) -> None:
        """Begin the next command of the inbox."""
        if isinstance(item, Command):
            self._run(item)

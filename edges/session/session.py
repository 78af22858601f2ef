"""A client's conversation: messages are read, commands carried out in turn, results written.

A session knows the connection only as a transport. A task runs only while a waiting command is under way.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Final

from edges.limits.rates import Patience, TokenBucket
from edges.protocol.envelope import ENVELOPE, decode
from edges.protocol.messages import ABUSE, Outgoing, Refusal, Refused
from edges.protocol.session_buddy import FLAT
from edges.session import replies
from edges.session.client import SENT_AWAY
from edges.session.command import COMMON_BYTES, Command, Lane
from edges.session.context import Context
from edges.session.conversation import Conversation
from edges.session.inbox import Item
from edges.session.transport import Transport
from edges.session.verbs.auth import let_in
from edges.session.verbs.table import FLAT_VERBS
from edges.session.verbs.told import told

__all__ = ["Session"]

_UNIT_BYTES: Final = 8 * 1024
"""A message counts once more for every so many bytes; over the rate, only a smaller message is read."""
_BESIDE_TOKEN_BYTES: Final = 1024
"""The most bytes around a token in a message."""


class Session(Conversation):
    """A client's conversation, from the opening handshake to the end.

    Args:
        transport: the connection.
        context: the parts of the edge.
        tokens: shown in the opening handshake.

    """

    __slots__ = ("_bucket", "_patience", "_tokens")

    def __init__(self, transport: Transport, context: Context, tokens: Sequence[str] = ()) -> None:
        super().__init__(transport, context)
        self._bucket = TokenBucket(context.settings.message_rate_limit, self._loop.time())
        self._patience: Patience | None = None
        self._tokens = () if context.authenticator.is_open else tokens

    # Beginning and end.

    def begin(self) -> None:
        """Look at a token of the handshake; then wait for a message, or welcome a silent client."""
        if self._tokens:
            self._run_ahead(self._show())
            return
        self.greeting.wait(self._welcome_silent)
        owned = self._client.owned
        if owned is not None and not owned.has_arrived and not self.admission.is_locked:
            self._run_ahead(self._client.arrive())

    def bytes_came(self) -> None:
        """Take note of a message's first byte: the welcome comes after the answer."""
        self.greeting.stop_waiting()
        if self._client.first_room is not None:
            self._client.first_room.heard()

    def bytes_ended(self) -> None:
        """Take note of the end of a frame; a client without a message until then counts as silent still."""
        if self.greeting.is_due and not self.greeting.is_waiting and not self._client.is_busy:
            self.begin()

    def _welcome_silent(self) -> None:
        self.greeting.stop_waiting()
        self._write(self.greeting.take())
        if self._client.first_room is not None:
            self._client.first_room.enter()

    async def _show(self) -> AsyncGenerator[Outgoing, None]:
        """Take the token of the handshake like a first message, with no answer to a good token."""
        tokens, self._tokens = self._tokens, ()
        for item in await let_in(self._client, tokens, None) or ():
            yield item
        async for item in self._client.arrive():
            yield item
        if not self._client.rooms.has_ended and not self._client.inbox:
            self.begin()

    # Messages.

    def may_have(self, size: int) -> bool:
        """Tell whether a message may have ``size`` bytes: before a token, no more than a token takes."""
        may_be_anybody = self.admission.is_locked and not self._client.inbox.is_busy_ahead
        return not may_be_anybody or size <= self._context.settings.auth_max_token_bytes + _BESIDE_TOKEN_BYTES

    def message(self, text: bytes) -> None:
        """Take a message, to be answered once, in turn. The cost is paid before a look inside (decisions/0041)."""
        self._messages += 1
        wait_s = self._bucket.take(self._loop.time())
        if wait_s > 0:
            self._refuse(text, wait_s)
            return
        if len(text) >= _UNIT_BYTES:
            # A debt, not a second refusal: even a rate of 1 lets a large message through.
            self._bucket.charge(len(text) // _UNIT_BYTES)
        command = (len(text) <= COMMON_BYTES and self._context.commands.get(text)) or self._understood(text)
        if not self._client.is_busy:
            self.carry_out(command)
        elif (limit := self._put(text, command)) is not None:
            self._context.counters.hit(limit)

    def _refuse(self, text: bytes, wait_s: float) -> None:
        """Answer a message over the rate; only a small message is read, for the id in the answer."""
        self._context.counters.hit("message_rate_limit")
        # decisions/0041: even a refusal costs a look at the text, so the hundredth within ten seconds is the last.
        self._patience = self._patience or Patience()
        if self._patience.ends(self._loop.time()):
            self._client.note(SENT_AWAY, ABUSE.reason)
            self._transport.close(ABUSE)
            return
        command = self._understood(text) if len(text) <= _UNIT_BYTES else None
        rate = self._context.settings.message_rate_limit
        self._client.inbox.put(replies.too_many_messages(command, rate, wait_s))

    def _understood(self, text: bytes) -> Command | Refusal:
        """Read a message; on a session-buddy port the first message decides the dialect."""
        choice, values = self._client.choice, self._context.settings.max_message_values
        try:
            value = decode(text, values=values)
        except Refused as refused:
            if refused.limit is not None:
                self._context.counters.hit(refused.limit)
            choice.decide(None)
            return refused.refusal
        # decisions/0009: a client silent until now may have been greeted flat and let into the first room.
        if choice.is_undecided and choice.decide(value):
            self._client.rooms.leave_all()
            self.greeting.is_due = True
        try:
            if self._client.owned is not None:
                return told(value, self._context.verbs)
            command = choice.dialect.parse(value, FLAT_VERBS if choice.dialect is FLAT else self._context.verbs)
        except Refused as refused:
            return refused.refusal
        if self._has_one_dialect:
            self._context.commands.remember(text, command)
        return command

    @property
    def _has_one_dialect(self) -> bool:
        """Whether a text means the same from any client of the edge."""
        return self._context.service.dialect == "envelope" and self._context.ownership is None

    def _put(self, text: bytes, command: Command | Refusal) -> str | None:
        """Have a command carried out behind the one under way; a waiting command is kept as text.

        Return the name of the limit reached by waiting.
        """
        inbox = self._client.inbox
        if isinstance(command, Refusal):
            return inbox.put(command)
        item = command if command.is_small else text
        match command.lane:
            case Lane.AHEAD:
                return inbox.put_ahead(item)
            case Lane.OVERTAKING:
                return inbox.overtake(item, command.topic)
            case Lane.IN_ORDER:
                return inbox.put(item, command.topic)

    # Commands.

    def carry_out(self, item: Item) -> None:
        """Begin the next command of the inbox, which may be text still."""
        command = self._understood(item) if isinstance(item, bytes) else item
        client = self._client
        if self.admission.is_locked and self._needs_token(command.verb):
            # decisions/0023: known or not, well-formed or not: a stranger learns nothing of the service.
            refusal = replies.no_token_yet(command)
            self._count(command.verb, refusal)
            self._write_one(client.dismissed(refusal))
            return
        if client.choice.dialect is FLAT:
            self._greet_flat(command)
        if isinstance(command, Refusal):
            self._count(command.verb, command)
            self._write_one(command)
        else:
            self._run(command)

    def _needs_token(self, verb: str | None) -> bool:
        """Tell whether a command, or the refusal of a command, is not said before a token."""
        if verb is None:
            return self.dialect is not ENVELOPE
        row = (FLAT_VERBS if self.dialect is FLAT else self._context.verbs).get(verb)
        return row is None or row.needs_token

    def _greet_flat(self, command: Command | Refusal) -> None:
        client = self._client
        if not client.choice.is_undecided and (isinstance(command, Refusal) or not command.greets):
            chooses_room = not isinstance(command, Refusal) and command.chooses_room
            self._write(client.greet_flat(may_enter=not chooses_room and not client.is_busy))

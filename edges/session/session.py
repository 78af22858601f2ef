"""One client's conversation: messages are read, commands carried out in their turn, and their results written.

A session knows the connection only as a transport. A task runs only while a command that must wait is under way.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import Final

from bus.channel import Channel
from bus.errors import BusError
from bus.words import Verb
from edges.limits.rates import Patience, TokenBucket
from edges.protocol.envelope import ENVELOPE, Dialect, decode, text_frame
from edges.protocol.messages import ABUSE, Dismissal, Message, Notice, Outgoing, Refusal, Refused
from edges.protocol.session_buddy import FLAT
from edges.session import replies
from edges.session.client import Client
from edges.session.command import Command, Lane
from edges.session.context import Context
from edges.session.inbox import Item
from edges.session.transport import Transport
from edges.session.verbs.auth import let_in
from edges.session.verbs.recover import Recover
from edges.session.verbs.table import FLAT_VERBS

__all__ = ["Session"]

_UNIT_BYTES: Final = 8 * 1024
"""A message counts once more for every so many bytes; only a smaller one is read when it is over the rate."""
_BESIDE_TOKEN_BYTES: Final = 1024
"""What stands around a token in a message, at the most."""

_logger = logging.getLogger("edgebus.edges")


class Session:
    """One client's conversation, from the opening handshake to the end.

    Args:
        transport: the connection.
        context: what the edge has.
        tokens: those that the opening handshake showed.

    Attributes:
        greeting: says whether the client is still to be welcomed.
        admission: says whether the client must show a token first.

    """

    def __init__(self, transport: Transport, context: Context, tokens: Sequence[str] = ()) -> None:
        self._transport, self._context = transport, context
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._client = Client(transport, context, now, self._carry_out, self._carry)
        self.greeting, self.admission = self._client.greeting, self._client.admission
        self._bucket, self._patience = TokenBucket(context.settings.message_rate_limit, now), Patience()
        self._tokens = () if context.gate.is_open else tokens

    @property
    def dialect(self) -> Dialect:
        """What the client speaks at the moment."""
        return self._client.choice.dialect

    @property
    def rooms(self) -> Mapping[str, Channel]:
        """The rooms the client is in, now and later: by the name that it calls them."""
        return self._client.rooms.rooms

    # Beginning and end.

    def begin(self) -> None:
        """Look at the token that came with the handshake; then wait for a message, or welcome who says nothing."""
        if self._tokens:
            self._run_ahead(self._show())
        else:
            self.greeting.wait(self._welcome_silent)

    def bytes_came(self) -> None:
        """Take note that the client says something: it is welcomed after the answer."""
        self.greeting.stop_waiting()

    def bytes_ended(self) -> None:
        """Take note that what the client said is complete; if it was no message, it counts as silent still."""
        if self.greeting.is_due and not self.greeting.is_waiting and not self._client.inbox.is_busy:
            self.begin()

    def end(self) -> None:
        """Leave every room. A command under way is let go on, and finds nobody to answer."""
        self.greeting.stop_waiting()
        self._client.inbox.clear()
        self._client.rooms.end()

    def _welcome_silent(self) -> None:
        self.greeting.stop_waiting()
        self._write(self.greeting.take())
        self._client.first_room.enter()

    async def _show(self) -> AsyncGenerator[Outgoing, None]:
        """Take the token of the handshake as if it were the first message, with no answer where it is good."""
        tokens, self._tokens = self._tokens, ()
        for item in await let_in(self._client, tokens, None) or ():
            yield item
        if not self._client.rooms.has_ended and not self._client.inbox:
            self.begin()

    # Messages.

    def may_have(self, size: int) -> bool:
        """Tell whether a message may have ``size`` bytes: before a token, no more than one takes."""
        may_be_anybody = self.admission.is_locked and not self._client.inbox.is_busy_ahead
        return not may_be_anybody or size <= self._context.settings.auth_max_token_bytes + _BESIDE_TOKEN_BYTES

    def message(self, text: bytes) -> None:
        """Take one message; it is answered once, in its turn. What it costs is paid before anything looks inside."""
        wait_s = self._bucket.take(self._loop.time())
        if wait_s > 0:
            self._refuse(text, wait_s)
            return
        if len(text) >= _UNIT_BYTES:
            self._bucket.charge(len(text) // _UNIT_BYTES)
        limit = self._put(text, self._understood(text))
        if limit is not None:
            self._context.counters.hit(limit)

    def _refuse(self, text: bytes, wait_s: float) -> None:
        """Answer a message over the rate; only a small one is read, for the id that its answer names."""
        self._context.counters.hit("message_rate_limit")
        if self._patience.ends(self._loop.time()):
            self._transport.close(ABUSE)
            return
        command = self._understood(text) if len(text) <= _UNIT_BYTES else None
        rate = self._context.settings.message_rate_limit
        self._client.inbox.put(replies.too_many_messages(command, rate, wait_s))

    def _understood(self, text: bytes) -> Command | Refusal:
        """Read a message; on a session-buddy port the first one decides the dialect."""
        choice, values = self._client.choice, self._context.settings.max_message_values
        try:
            value = decode(text, values=values)
        except Refused as refused:
            if refused.limit is not None:
                self._context.counters.hit(refused.limit)
            choice.decide(None)
            return refused.refusal
        if choice.is_undecided and choice.decide(value):
            self._client.rooms.leave_all()
            self.greeting.is_due = True
        try:
            return choice.dialect.parse(value, FLAT_VERBS if choice.dialect is FLAT else self._context.verbs)
        except Refused as refused:
            return refused.refusal

    def _put(self, text: bytes, command: Command | Refusal) -> str | None:
        """Have a command carried out in its turn; one that must wait for that is kept as it came.

        Return the name of the limit that was reached by waiting.
        """
        inbox = self._client.inbox
        if not inbox.is_busy:
            self._carry_out(command)
            return None
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

    def _carry_out(self, item: Item) -> None:
        command = self._understood(item) if isinstance(item, bytes) else item
        client = self._client
        if self.admission.is_locked and self._needs_token(command.verb):
            self._write_one(client.dismissed(replies.no_token_yet(command)))
            return
        if client.choice.dialect is FLAT:
            self._greet_flat(command)
        if isinstance(command, Refusal):
            self._write_one(command)
        else:
            self._run(command)

    def _needs_token(self, verb: str | None) -> bool:
        """Tell whether a command, or a refusal of one, is not said before a token."""
        if verb is None:
            return self.dialect is not ENVELOPE
        row = (FLAT_VERBS if self.dialect is FLAT else self._context.verbs).get(verb)
        return row is None or row.needs_token

    def _greet_flat(self, command: Command | Refusal) -> None:
        client = self._client
        if not client.choice.is_undecided and (isinstance(command, Refusal) or not command.greets):
            chooses_room = not isinstance(command, Refusal) and command.chooses_room
            self._write(client.greet_flat(may_enter=not chooses_room and not client.inbox.is_busy))

    def _run(self, command: Command) -> None:
        outcome = command.run(self._client)
        if not isinstance(outcome, AsyncGenerator):
            self._write(outcome)
        elif command.lane is Lane.AHEAD:
            self._run_ahead(outcome, command.reply_to)
        else:
            work = self._carry(outcome, command.verb, command.reply_to)
            self._client.inbox.run(work, f"command of {self._transport.name}", is_long=command.is_long)

    def _run_ahead(self, outcome: AsyncGenerator[Outgoing, None], reply_to: str | None = None) -> None:
        """Look at a token, beside what is under way; whatever comes waits for it."""
        work = self._carry(outcome, Verb.AUTH, reply_to)
        self._client.inbox.run_ahead(work, f"token of {self._transport.name}")

    async def _carry(self, outcome: AsyncGenerator[Outgoing, None], verb: str, reply_to: str | None) -> None:
        """Write what a command yields, as soon as it does; what cannot be done, or is a bug of ours, is an answer."""
        try:
            async with contextlib.aclosing(outcome):
                async for item in outcome:
                    self._write_one(item)
        except Refused as refused:
            self._write_one(refused.refusal)
        except BusError as error:
            self._write_one(self._client.unavailable(error, verb, reply_to))
        except Exception:
            _logger.exception("a command failed", extra={"connection": self._transport.name, "verb": verb})
            self._write_one(replies.failed(verb, reply_to))

    # Writing.

    def _write(self, items: Iterable[Outgoing]) -> None:
        for item in items:
            self._write_one(item)

    def _write_one(self, item: Outgoing) -> None:
        match item:
            case bytes():
                self._transport.write(item)
            case Notice():
                self.notify(item)
            case Dismissal():
                self._dismiss(item)
            case _:
                self._answer(item)

    def _answer(self, message: Message) -> None:
        """Say an answer; the welcome follows the first one in the envelope."""
        client = self._client
        if client.rooms.has_ended:
            return
        self._say(message)
        if self.greeting.is_due and client.choice.dialect is ENVELOPE:
            self._write(self.greeting.take())
        if client.rooms.replaying is not None:  # from its answer on, a replay takes as long as the client does
            client.inbox.let_pass()

    def _dismiss(self, dismissal: Dismissal) -> None:
        if not self._client.rooms.has_ended:
            self._say(dismissal.refusal)
            self._transport.close(dismissal.closing)

    def notify(self, notice: Notice) -> bool:
        """Say something that nobody asked for, and tell whether it was said; not to a client that was not greeted yet.

        That Redis is back, only who was told that it was away is told.
        """
        if self._client.rooms.has_ended or not self.greeting.may_tell(notice):
            return False
        self._say(notice)
        return True

    def _say(self, message: Message) -> None:
        self._transport.write(text_frame(self._client.choice.dialect.write(message)))

    # What the edge and the transport find.

    def fall_behind(self) -> None:
        """Take note that much waits for the client: rooms that allow it leave it out."""
        self._client.rooms.fall_behind()

    def catch_up(self) -> None:
        """Take note that little waits for the client any more."""
        self._client.rooms.catch_up()

    def recover(self, channel: Channel, position: str) -> None:
        """Catch up with a room that the client was taken out of, from ``position`` on; one room after another."""
        missed = self._client.missed
        is_begun = bool(missed)
        missed[channel.redis] = channel, position
        if not is_begun:
            self._client.inbox.put(Recover())

    def check_kept(self) -> None:
        """Close a client for which rooms that leave it out keep too much."""
        self._client.rooms.check_kept()

    def check_standing(self, now: float) -> None:
        """Warn a client whose token expires soon, and send away one whose token has, or never came."""
        match self.admission.due(now):
            case Refusal() as refusal:
                self._dismiss(self._client.dismissed(refusal))
            case Notice() as notice:
                if self.notify(notice):
                    self.admission.warned()

    def check_revoked(self) -> None:
        """Send away a client whose token was revoked."""
        refusal = self.admission.revoked()
        if refusal is not None:
            self._dismiss(self._client.dismissed(refusal))

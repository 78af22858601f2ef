"""A client's conversation: messages are read, commands carried out in turn, results written.

A session knows the connection only as a transport. A task runs only while a waiting command is under way.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import Final

from bus.channel import Channel
from bus.errors import BusError
from bus.words import NoticeName, Verb
from edges.limits.floods import Told
from edges.limits.rates import Patience, TokenBucket
from edges.protocol.envelope import ENVELOPE, Dialect, decode, text_frame
from edges.protocol.messages import ABUSE, Dismissal, Message, Notice, Outgoing, Refusal, Refused
from edges.protocol.session_buddy import FLAT
from edges.session import replies
from edges.session.client import SENT_AWAY, Client
from edges.session.command import Command, Lane
from edges.session.context import Context
from edges.session.inbox import Item
from edges.session.sight import Sight, sight_of
from edges.session.tallies import outcome_of
from edges.session.transport import Transport
from edges.session.verbs.auth import let_in
from edges.session.verbs.recover import Recover
from edges.session.verbs.table import FLAT_VERBS
from edges.session.verbs.told import told

__all__ = ["Session"]

_UNIT_BYTES: Final = 8 * 1024
"""A message counts once more for every so many bytes; over the rate, only a smaller message is read."""
_BESIDE_TOKEN_BYTES: Final = 1024
"""The most bytes around a token in a message."""

_REFUSED: Final = Told("refused a command")
_FAILED: Final = Told("a command failed", logging.ERROR)


class Session:
    """A client's conversation, from the opening handshake to the end.

    Args:
        transport: the connection.
        context: the parts of the edge.
        tokens: shown in the opening handshake.

    Attributes:
        greeting: says whether the client is still to be welcomed.
        admission: says whether the client must show a token first.

    """

    __slots__ = (
        "_bucket",
        "_client",
        "_context",
        "_loop",
        "_messages",
        "_patience",
        "_tokens",
        "_transport",
        "admission",
        "greeting",
    )

    def __init__(self, transport: Transport, context: Context, tokens: Sequence[str] = ()) -> None:
        self._transport, self._context = transport, context
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._messages = 0
        self._client = Client(transport, context, now, self._carry_out, self._carry)
        self.greeting, self.admission = self._client.greeting, self._client.admission
        self._bucket, self._patience = TokenBucket(context.settings.message_rate_limit, now), Patience()
        self._tokens = () if context.authenticator.is_open else tokens

    @property
    def dialect(self) -> Dialect:
        """The client's dialect at the moment."""
        return self._client.choice.dialect

    @property
    def rooms(self) -> Mapping[str, Channel]:
        """The client's rooms, now and later, by the client's names for the rooms."""
        return self._client.rooms.rooms

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
        self._client.first_room.heard()

    def bytes_ended(self) -> None:
        """Take note of the end of a frame; a client without a message until then counts as silent still."""
        if self.greeting.is_due and not self.greeting.is_waiting and not self._client.inbox.is_busy:
            self.begin()

    def end(self) -> None:
        """Leave every room. A command under way goes on, and answers into the void."""
        self.greeting.stop_waiting()
        # The task under way is not cancelled: a room being opened in the task may be awaited by other clients.
        self._client.inbox.clear()
        self._client.rooms.end()
        if self._client.owned is not None:
            self._client.owned.depart()

    def _welcome_silent(self) -> None:
        self.greeting.stop_waiting()
        self._write(self.greeting.take())
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
        limit = self._put(text, self._understood(text))
        if limit is not None:
            self._context.counters.hit(limit)

    def _refuse(self, text: bytes, wait_s: float) -> None:
        """Answer a message over the rate; only a small message is read, for the id in the answer."""
        self._context.counters.hit("message_rate_limit")
        # decisions/0041: even a refusal costs a look at the text, so the hundredth within ten seconds is the last.
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
            return choice.dialect.parse(value, FLAT_VERBS if choice.dialect is FLAT else self._context.verbs)
        except Refused as refused:
            return refused.refusal

    def _put(self, text: bytes, command: Command | Refusal) -> str | None:
        """Have a command carried out in turn; a waiting command is kept as text.

        Return the name of the limit reached by waiting.
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

    def _count(self, verb: str | None, answer: Outgoing | None, took_s: float = 0.0) -> None:
        self._context.tallies.count(verb, outcome_of(answer), took_s)

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
            self._write(client.greet_flat(may_enter=not chooses_room and not client.inbox.is_busy))

    def _run(self, command: Command) -> None:
        began_s = time.perf_counter()
        outcome = command.run(self._client)
        if isinstance(outcome, tuple):
            self._write(outcome)
            self._count(command.verb, outcome[0] if outcome else None, time.perf_counter() - began_s)
        elif command.lane is Lane.AHEAD:
            self._run_ahead(outcome, command.reply_to)
        else:
            asked_s = None if isinstance(command, Recover) else began_s
            work = self._carry(outcome, command.verb, command.reply_to, asked_s)
            self._client.inbox.run(work, f"command of {self._transport.name}", is_long=command.is_long)

    def _run_ahead(self, outcome: AsyncGenerator[Outgoing, None], reply_to: str | None = None) -> None:
        """Look at a token, beside the command under way; all later commands wait."""
        work = self._carry(outcome, Verb.AUTH, reply_to, time.perf_counter())
        self._client.inbox.run_ahead(work, f"token of {self._transport.name}")

    async def _carry(
        self, outcome: AsyncGenerator[Outgoing, None], verb: str, reply_to: str | None, asked_s: float | None = None
    ) -> None:
        """Write the results of a command, each as soon as yielded; a failure is an answer, too.

        The first answer is counted; ``asked_s`` is the time of the request, None for work of the edge's own.
        """
        failure: Refusal | None = None
        try:
            # Closed at once where writing fails: a generator left to the garbage collector holds a turn until then.
            async with contextlib.aclosing(outcome):
                # No await in the body: a command that has joined a room yields the answer before the first event.
                async for item in outcome:
                    self._write_one(item)
                    if asked_s is not None:
                        self._count(verb, item, time.perf_counter() - asked_s)
                        asked_s = None
        except Refused as refused:
            failure = refused.refusal
        except BusError as error:
            failure = self._client.unavailable(error, verb, reply_to)
        except Exception as error:  # noqa: BLE001 (told, with its traceback)
            self._client.note(_FAILED, type(error).__name__, {"verb": verb}, error)
            failure = replies.failed(verb, reply_to)
        if failure is not None:
            self._write_one(failure)
        if asked_s is not None:
            self._count(verb, failure, time.perf_counter() - asked_s)

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
            case Refusal():
                self._client.note(_REFUSED, item.code, {"verb": item.verb, "sentence": item.sentence})
                self._answer(item)
            case _:
                self._answer(item)

    def _answer(self, message: Message) -> None:
        """Say an answer; in the envelope, the welcome follows the first answer."""
        client = self._client
        if client.rooms.has_ended:
            return
        self._say(message)
        if self.greeting.is_due and client.choice.dialect is ENVELOPE:
            self._write(self.greeting.take())
        # decisions/0042: from the answer on, a replay takes as long as the client does.
        if client.rooms.replaying is not None:
            client.inbox.let_pass()

    def _dismiss(self, dismissal: Dismissal) -> None:
        if not self._client.rooms.has_ended:
            self._client.note(SENT_AWAY, dismissal.refusal.sentence)
            self._say(dismissal.refusal)
            self._transport.close(dismissal.closing)

    def notify(self, notice: Notice) -> bool:
        """Say a notice, and tell whether the notice was said: not before the welcome.

        The end of an outage is only told to a client with the notice of the beginning.
        """
        if self._client.rooms.has_ended or not self.greeting.may_tell(notice):
            return False
        self._say(notice)
        return True

    def _say(self, message: Message) -> None:
        self._transport.write(text_frame(self._client.choice.dialect.write(message)))

    # What the edge and the transport find.

    @property
    def fields(self) -> dict[str, str]:
        """The fields of a line in the log about the client."""
        return self._client.fields

    def suspend(self) -> None:
        """Leave the slow client out of rooms with a policy for slow consumers."""
        self._client.rooms.suspend()

    def readmit(self) -> None:
        """Go on with all rooms: little waits for the client any more."""
        self._client.rooms.readmit()

    def recover(self, channel: Channel, position: str) -> None:
        """Catch up with a room from ``position`` on, after the rooms under way; the client has left for the time."""
        missed = self._client.missed
        is_begun = bool(missed)
        missed[channel.redis] = channel, position
        if not is_begun:
            self._client.inbox.put(Recover())

    def sight(self, *, waiting_bytes: int, lagging_at: float | None) -> Sight:
        """Return the client, as operators see the client."""
        return sight_of(self._client, self._messages, waiting_bytes=waiting_bytes, lagging_at=lagging_at)

    def let_out(self, channel: Channel, reason: str) -> bool:
        """Take the client out of a room, and tell the client why; tell whether the client was there."""
        client = self._client
        was_there, was_seen = channel in client.rooms.channels, channel.name in client.appearances.joined
        if was_there:
            client.rooms.leave(channel)
        if was_seen:
            client.appearances.part(channel)
        if was_there or was_seen:
            self.notify(Notice.of(NoticeName.ROOM_LEFT, reason, None, room=channel.name))
        return was_there or was_seen

    def check_kept(self) -> None:
        """Close a client for whom rooms keep too many bytes."""
        self._client.rooms.check_kept()

    def check_standing(self, now: float) -> None:
        """Warn a client before the end of the token; send a client without a good token away."""
        match self.admission.due(now):
            case Refusal() as refusal:
                self._dismiss(self._client.dismissed(refusal))
            case Notice() as notice:
                if self.notify(notice):
                    self.admission.warned()

    def check_revoked(self) -> None:
        """Send a client with a revoked token away."""
        refusal = self.admission.revoked()
        if refusal is not None:
            self._dismiss(self._client.dismissed(refusal))

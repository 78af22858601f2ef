"""A client's conversation, whoever begins the commands: results written, the client's standing watched.

A conversation knows the connection only as a transport. The commands come from ``session``, or from ``feed``.
"""

import contextlib
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Final

from bus.channel import Channel
from bus.errors import BusError
from bus.words import NoticeName, Verb
from edges.limits.floods import Told
from edges.protocol.envelope import ENVELOPE, Dialect
from edges.protocol.messages import Dismissal, Message, Notice, Outgoing, Refusal, Refused, Reply
from edges.session import replies
from edges.session.client import SENT_AWAY, Client
from edges.session.command import Command, Lane
from edges.session.context import Context
from edges.session.dialect_choice import DialectChoice
from edges.session.inbox import Item
from edges.session.sight import Sight, sight_of
from edges.session.tallies import outcome_of
from edges.session.transport import Transport
from edges.session.verbs.recover import Recover

__all__ = ["Conversation"]

_REFUSED: Final = Told("refused a command")
_FAILED: Final = Told("a command failed", logging.ERROR)


class Conversation(ABC):
    """A client's conversation, but for the commands' source.

    Args:
        transport: the connection.
        context: the parts of the edge.
        choice: the client's dialect; None: as the service has it.

    Attributes:
        greeting: says whether the client is still to be welcomed.
        admission: says whether the client must show a token first.

    """

    __slots__ = ("_client", "_context", "_loop", "_messages", "_transport", "admission", "greeting")

    def __init__(self, transport: Transport, context: Context, choice: DialectChoice | None = None) -> None:
        self._transport, self._context = transport, context
        self._loop = context.loop
        self._messages = 0
        self._client = Client(transport, context, self._loop.time(), self, choice)
        self.greeting, self.admission = self._client.greeting, self._client.admission

    @property
    def dialect(self) -> Dialect:
        """The client's dialect at the moment."""
        return self._client.choice.dialect

    @property
    def rooms(self) -> Mapping[str, Channel]:
        """The client's rooms, now and later, by the client's names for the rooms."""
        return self._client.rooms.rooms

    def end(self) -> None:
        """Leave every room. A command under way goes on, and answers into the void."""
        self.greeting.stop_waiting()
        # The task under way is not cancelled: a room being opened in the task may be awaited by other clients.
        self._client.drop_waiting()
        self._client.rooms.end()
        if self._client.owned is not None:
            self._client.owned.depart()
        self._client.let_go()

    # Commands.

    @abstractmethod
    def carry_out(self, item: Item) -> None:
        """Begin the next command of the inbox."""

    def _count(self, verb: str | None, answer: Outgoing | None, took_s: float = 0.0) -> None:
        self._context.tallies.count(verb, outcome_of(answer), took_s)

    def _run(self, command: Command) -> None:
        began_s = time.perf_counter()
        outcome = command.run(self._client)
        if isinstance(outcome, tuple):
            self._write_outcome(outcome)
            self._count(command.verb, outcome[0] if outcome else None, time.perf_counter() - began_s)
        elif command.lane is Lane.AHEAD:
            self._run_ahead(outcome, command.reply_to)
        else:
            asked_s = None if isinstance(command, Recover) else began_s
            work = self.carry(outcome, command.verb, command.reply_to, asked_s)
            self._client.inbox.run(work, f"command of {self._transport.name}", is_long=command.is_long)

    def _run_ahead(self, outcome: AsyncGenerator[Outgoing, None], reply_to: str | None = None) -> None:
        """Look at a token, beside the command under way; all later commands wait."""
        work = self.carry(outcome, Verb.AUTH, reply_to, time.perf_counter())
        self._client.inbox.run_ahead(work, f"token of {self._transport.name}")

    async def carry(
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

    def _write_outcome(self, items: tuple[Outgoing, ...]) -> None:
        match items:
            case (Reply() as answer,):
                self._answer(answer)
            case (Reply() as answer, bytes() as frames):
                self._answer(answer, frames)
            case _:
                self._write(items)

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

    def _answer(self, message: Message, frames: bytes = b"") -> None:
        """Say an answer, and ``frames`` behind; in the envelope, the welcome follows the first answer."""
        client = self._client
        if client.rooms.has_ended:
            return
        # In one write: each write is a system call, and wakes a peer.
        dialect = client.choice.dialect
        said = dialect.say(message)
        if self.greeting.is_due and dialect is ENVELOPE:
            said += self.greeting.said()
        self._transport.write(said, frames)
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
        self._transport.write(self._client.choice.dialect.say(message))

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

    def check_standing(self, now: float) -> None:
        """Warn a client before the end of the token; send a client away without a good one, or with too much kept."""
        if self._client.rooms.is_suspended:
            self._client.rooms.check_kept()
        if not self.admission.is_timed:
            return
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

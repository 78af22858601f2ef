"""A client, as the verbs see the client: transport, rooms, standing, dialect. Knows no verb."""

import logging
from collections.abc import AsyncGenerator, Coroutine, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from bus.channel import Channel
from bus.errors import BusError, BusUnavailable
from edges.limits.floods import Told
from edges.limits.quotas import network_of
from edges.limits.rates import LimitReached
from edges.protocol.messages import NOT_NOW, OUR_BUG, Dismissal, Message, Outgoing, Refusal
from edges.session import replies
from edges.session.appearances import Appearances
from edges.session.authentication import Admission
from edges.session.context import Context
from edges.session.dialect_choice import DialectChoice
from edges.session.first_room import FirstRoom
from edges.session.greeting import Greeting
from edges.session.inbox import Inbox, Item, drop
from edges.session.owned import Owned
from edges.session.pacing import Pacing
from edges.session.publishes import Publishes
from edges.session.subscriptions import Subscriptions
from edges.session.transport import Transport

__all__ = ["SENT_AWAY", "Client"]

SENT_AWAY: Final = Told("sent a client away")
_REDIS_REFUSED: Final = Told("Redis refused a command", logging.ERROR)
_UNGREETED: Final = Told("the owner failed to greet a client", logging.ERROR)
_NO_FIELDS: Final[Mapping[str, object]] = {}
_REASON_LIMIT: Final = 120
"""A close frame has room for 123 bytes (RFC 6455, section 5.5); sentences about tokens are ASCII."""


async def _nobody(outcome: AsyncGenerator[Outgoing, None], _verb: str, _reply_to: str | None) -> None:
    """Drop the results for a client that is gone."""
    await outcome.aclose()


class Host(Protocol):
    """The conversation of a client."""

    def carry_out(self, item: Item) -> None:
        """Take the next command of the inbox."""

    def carry(
        self, outcome: AsyncGenerator[Outgoing, None], verb: str, reply_to: str | None, /
    ) -> Coroutine[Any, Any, None]:
        """Write the results of a generator."""


class Client:
    """A client of an edge.

    Args:
        transport: the connection.
        context: the parts of the edge.
        now: seconds of the loop's clock.
        host: the conversation.
        choice: the client's dialect; None: as the service has it.

    Attributes:
        publishes: those under way; None where no event is open to clients.
        first_room: the way into the room of clients of the flat dialect; None where no message makes the client flat.
        missed: rooms to catch up with, each with the position to begin at.
        owned: the client, for the owner of the edge; None without an owner.
        has_place: whether the client counts among the clients of the edge.

    """

    # The inbox is made for a first use: most clients say a few commands, each carried out at once.
    __slots__ = (
        "_host",
        "_inbox",
        "admission",
        "appearances",
        "choice",
        "context",
        "first_room",
        "greeting",
        "has_place",
        "missed",
        "owned",
        "publishes",
        "rooms",
        "transport",
    )

    def __init__(
        self,
        transport: Transport,
        context: Context,
        now: float,
        host: Host,
        choice: DialectChoice | None = None,
    ) -> None:
        self.transport, self.context, settings, visitor = transport, context, context.settings, transport.visitor
        network, most_bytes = network_of(visitor.address), settings.max_waiting_bytes
        self._host: Host | None = host
        self._inbox: Inbox | None = None
        publishing = context.publishing
        self.publishes = None if publishing is None else Publishes(publishing.limits.connection(now))
        self.choice = choice or context.choice or DialectChoice(context.service)
        self.admission = Admission(
            context.authenticator, context.permissions, settings, now, needs_token=visitor.needs_token
        )
        self.appearances = Appearances(context.presence, transport, self.admission)
        self.rooms = Subscriptions(
            transport, context.hub, waiting_bytes=most_bytes, network=network, appearances=self.appearances
        )
        self.greeting = Greeting(context, transport, self.admission, now)
        self.first_room = self._first_room() if self.choice.dialect.first_room is not None else None
        self.owned = self._for_owner()
        self.missed: dict[str, tuple[Channel, str]] = {}
        # decisions/0043: a stranger holds a place among handshakes only, or strangers could keep users out.
        self.has_place = not self.admission.is_locked

    def _first_room(self) -> FirstRoom:
        name = self.transport.name
        known = self.context, self.rooms, self.choice, self.admission, self.carry, name
        return FirstRoom(*known, lambda: self.is_busy)

    @property
    def inbox(self) -> Inbox:
        """The commands that wait, and the commands under way."""
        if self._inbox is None:
            settings, carry_out = self.context.settings, drop if self._host is None else self._host.carry_out
            limits = settings.max_waiting_commands, settings.max_waiting_command_bytes
            self._inbox = Inbox(self.transport, *limits, carry_out, self.context.spawn)
        return self._inbox

    @property
    def is_busy(self) -> bool:
        """Whether a command is under way."""
        return self._inbox is not None and self._inbox.is_busy

    def carry(
        self, outcome: AsyncGenerator[Outgoing, None], verb: str, reply_to: str | None
    ) -> Coroutine[Any, Any, None]:
        """Write the results of a generator, unless the client is gone."""
        return (_nobody if self._host is None else self._host.carry)(outcome, verb, reply_to)

    def drop_waiting(self) -> None:
        """Drop all waiting commands; a command under way goes on."""
        if self._inbox is not None:
            self._inbox.clear()

    def let_go(self) -> None:
        """Let the conversation go, unless a command is under way: the two hold each other."""
        # Else some 26 objects of each client that went wait for a collection of all generations, for minutes.
        self.first_room = None  # holds the conversation, too; the way in ends by itself
        if self._inbox is None or self._inbox.let_go():
            self._host = None

    @property
    def pacing(self) -> Pacing:
        """Says large messages at the client's pace."""
        most_bytes, slots = self.context.settings.max_waiting_bytes // 2, self.context.hub.replay_slots
        return Pacing(self.transport, slots, at_once_bytes=most_bytes, network=self.rooms.network)

    def _for_owner(self) -> Owned | None:
        ownership = self.context.ownership
        if ownership is None:
            return None
        transport, rooms = self.transport, self.rooms
        return Owned(ownership, self.context, transport, self.admission, rooms, self.greeting, self.pacing)

    async def arrive(self) -> AsyncGenerator[Outgoing, None]:
        """Let the owner of the edge greet the client; a client that has arrived, or owes a token, is passed over."""
        owned = self.owned
        if owned is None or owned.has_arrived or self.admission.is_locked or self.rooms.has_ended:
            return
        try:
            await owned.arrive()
        except BusError as error:
            yield Dismissal(self.unavailable(error, "connect", None), NOT_NOW)
        except Exception as error:  # noqa: BLE001 (told, with its traceback)
            self.note(_UNGREETED, type(error).__name__, error=error)
            yield Dismissal(replies.failed("connect", None), OUR_BUG)

    def greet_flat(self, *, may_enter: bool = True) -> list[Message | bytes]:
        """Return the welcome of a flat client, who enters the first room unless another room is asked for."""
        welcome = self.greeting.take()
        if may_enter and self.first_room is not None:
            self.first_room.enter()
        return welcome

    @property
    def fields(self) -> dict[str, str]:
        """The fields of a line in the log about the client, beside the address."""
        user = self.admission.caller.user_id
        return {"connection": self.transport.name} | ({} if user is None else {"user": user})

    def unavailable(self, error: BusError, verb: str, reply_to: str | None) -> Refusal:
        """Return the answer to an impossible command; count a limit, log an error no waiting helps against."""
        if isinstance(error, LimitReached):
            self.context.counters.hit(error.name)
        elif not isinstance(error, BusUnavailable):
            self.note(_REDIS_REFUSED, str(error), {"verb": verb})
        return replies.unavailable(error, verb, reply_to)

    def note(
        self,
        told: Told,
        reason: str,
        fields: Mapping[str, object] = _NO_FIELDS,
        error: Exception | None = None,
    ) -> None:
        """Tell the log of the client, or count the client in a sum."""
        address = self.transport.visitor.address
        self.context.floods.note(told, reason, address, {**self.fields, **fields}, error=error)

    def dismissed(self, refusal: Refusal) -> Dismissal:
        """Return how the client is sent away for the lack of a good token.

        No sentence quotes a token, so the close frame and the log may have the sentence.
        """
        closing = replace(self.choice.dialect.no_token, reason=refusal.sentence[:_REASON_LIMIT])
        return Dismissal(refusal, closing)

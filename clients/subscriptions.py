"""The subscriptions of one client, and what they say to the edge: joining, leaving, and coming back when refused.

What a message means to a subscription is decided in ``follower.py``; here is only who is told, and what is sent. All of
it is said at the edge's pace (``pace.py``), since no caller waits for it.
"""

import asyncio
import math
from functools import partial
from typing import Final

from bus.words import Code, NoticeName, Verb
from clients.comeback import advised_s
from clients.connection import Connection
from clients.errors import AlreadyFollowed, Refused, Unsendable
from clients.follower import Follower
from clients.settings import ClientSettings
from clients.subscription import Mailbox, Subscription
from clients.typed import Catalogue
from clients.values import Cause, Received
from clients.wire import Answer, Notice, Refusal, encode

__all__ = ["Subscriptions", "refused"]

_RETRY_MS: Final = 1_000
_Heard = Answer | Refusal | Unsendable | None


class Subscriptions:
    """The subscriptions, by channel.

    Args:
        settings: bound what may wait in one.
        catalogue: says what is kept of a channel.

    """

    def __init__(self, settings: ClientSettings, catalogue: Catalogue) -> None:
        self._settings, self._timing, self._catalogue = settings, settings.timing, catalogue
        self._mailboxes: dict[str, Mailbox] = {}
        self._connection: Connection | None = None
        self._duplicates = 0

    def __len__(self) -> int:
        return len(self._mailboxes)

    @property
    def waiting(self) -> int:
        """How many values wait to be taken."""
        return sum(len(mailbox.follower) for mailbox in self._mailboxes.values())

    @property
    def duplicates(self) -> int:
        """How many events came again and were dropped."""
        return self._duplicates + sum(mailbox.follower.duplicates for mailbox in self._mailboxes.values())

    # What callers do.

    def subscribe(self, channel: str, *, since: str | None, last: int | None) -> Subscription:
        """Begin a subscription; see ``Client.subscribe``. Nothing has changed where it raises."""
        if since is not None and last is not None:
            raise ValueError("since, last: give one of them")
        if channel in self._mailboxes:
            raise AlreadyFollowed(f"{channel} is followed by this client already; unsubscribe first")
        encode(Verb.SUBSCRIBE, {"channel": channel, "since": since, "last": last}, "")
        follower = Follower(
            channel,
            since=since,
            last=last,
            kind=self._catalogue.kind(channel),
            limit=self._settings.queue_limit,
            now_ms=self._now_ms(),
        )
        mailbox = self._mailboxes[channel] = Mailbox(follower, asyncio.get_running_loop())
        self._serve(mailbox)
        return Subscription(mailbox, self)

    def unsubscribe(self, channel: str) -> None:
        """End the subscription of ``channel``; of one that there is not, do nothing."""
        mailbox = self._mailboxes.get(channel)
        if mailbox is not None:
            self.leave(mailbox)

    def taken(self, mailbox: Mailbox) -> None:
        """Take note that a subscription's caller took a value: it may have caught up."""
        self._serve(mailbox)

    def leave(self, mailbox: Mailbox) -> None:
        """End a subscription that its caller has done with."""
        if mailbox.is_over:
            return
        self._forget(mailbox)
        mailbox.end(None)
        if self._connection is not None and mailbox.follower.is_known:
            self._say_leave(self._connection, mailbox.follower.channel)

    def end(self, error: Exception | None) -> None:
        """End every subscription, with None at once, with an error after what waits."""
        for mailbox in list(self._mailboxes.values()):
            self._forget(mailbox)
            mailbox.end(error)

    def _forget(self, mailbox: Mailbox) -> None:
        del self._mailboxes[mailbox.follower.channel]
        self._duplicates += mailbox.follower.duplicates
        if self._connection is not None:
            self._connection.withdraw(mailbox)

    # One connection after another.

    def connection_came(self, connection: Connection) -> None:
        """Say on this connection what there is to say."""
        self._connection = connection
        for mailbox in list(self._mailboxes.values()):
            self._serve(mailbox)

    def connection_went(self) -> None:
        """Say nothing any more."""
        self._connection = None

    def interrupt(self, cause: Cause, detail: str) -> None:
        """Tell every subscription that nothing comes for now."""
        for mailbox in list(self._mailboxes.values()):
            mailbox.follower.interrupted(cause, detail)
            mailbox.wake()

    def restore(self) -> None:
        """Tell every subscription that the edge has Redis again."""
        for mailbox in list(self._mailboxes.values()):
            mailbox.follower.restored()
            self._changed(mailbox)

    # What the edge says.

    def arrived(self, received: Received) -> None:
        """Take an event; one of a channel without a subscription is passed over."""
        mailbox = self._mailboxes.get(received.channel)
        if mailbox is not None:
            mailbox.follower.arrived(self._catalogue.typed(received))
            self._changed(mailbox)

    def notice(self, notice: Notice) -> None:
        """Take what the edge says of a room; of one without a subscription nothing is believed."""
        mailbox = self._mailboxes.get(notice.channel or "")
        if mailbox is None:
            return
        if notice.event == NoticeName.ROOM_GAP:
            mailbox.follower.told_gap(notice.data)
            self._changed(mailbox)
        elif notice.event == NoticeName.ROOM_LEFT and mailbox.follower.is_known:
            self._forget(mailbox)
            mailbox.end(Refused(Code.FORBIDDEN, "the new token does not open this channel"))

    def _changed(self, mailbox: Mailbox) -> None:
        mailbox.wake()
        self._serve(mailbox)

    # Joining and leaving.

    def _serve(self, mailbox: Mailbox) -> None:
        """Have said what a subscription has to say to the edge, if anything."""
        if self._connection is not None and mailbox.follower.has_command and not mailbox.is_over:
            self._connection.offer(mailbox, partial(self._say, self._connection, mailbox))

    def _say(self, connection: Connection, mailbox: Mailbox) -> None:
        command = None if mailbox.is_over else mailbox.follower.command(self._now_ms())
        if command is None:
            return
        verb, data = command
        if verb == Verb.UNSUBSCRIBE:
            self._ask_to_leave(connection, mailbox.follower.channel)
            return
        try:
            connection.ask(verb, data, partial(self._subscribed, connection, mailbox))
        except Unsendable as error:  # a channel's name that is longer than a message may be
            self._fail(mailbox, error)

    def _fail(self, mailbox: Mailbox, error: Exception) -> None:
        """End one subscription with an error; the others go on."""
        if not mailbox.is_over:
            self._forget(mailbox)
            mailbox.end(error)

    def _subscribed(self, connection: Connection, mailbox: Mailbox, answer: _Heard) -> None:
        if mailbox.is_over:
            return
        match answer:
            case Answer(data=data):
                mailbox.follower.joined(data)
            case Refusal(code=Code.RATE_LIMIT_EXCEEDED):  # the connection is silent for as long as it has to be
                mailbox.follower.refused()
                mailbox.follower.retry()
            case Refusal(is_about_the_token=True):
                pass  # the edge closes, and says more
            case Refusal(is_passing=True):
                self._pause(connection, mailbox, answer)
            case Refusal():
                self._fail(mailbox, refused(answer))
            case Unsendable():
                self._fail(mailbox, answer)
        self._changed(mailbox)

    def _pause(self, connection: Connection, mailbox: Mailbox, refusal: Refusal) -> None:
        mailbox.follower.refused()
        if refusal.code == Code.UNAVAILABLE:
            mailbox.follower.interrupted("bus", refusal.sentence)
        wait_s = self._wait_s(refusal)
        connection.spawn(self._ask_again(mailbox, wait_s), f"client retry {mailbox.follower.channel}")

    def _wait_s(self, refusal: Refusal) -> float:
        """Return when to ask again; all rooms of all clients were refused at once."""
        wait_ms = _RETRY_MS if refusal.retry_after_ms is None else refusal.retry_after_ms
        return advised_s(wait_ms) * (1 + self._timing.dice() / 2)

    async def _ask_again(self, mailbox: Mailbox, wait_s: float) -> None:
        await self._timing.sleep(wait_s)
        mailbox.follower.retry()
        self._serve(mailbox)

    def _say_leave(self, connection: Connection, channel: str) -> None:
        connection.offer(("leave", channel), partial(self._ask_to_leave, connection, channel))

    def _ask_to_leave(self, connection: Connection, channel: str) -> None:
        connection.ask(Verb.UNSUBSCRIBE, {"channel": channel}, partial(self._left, connection, channel))

    def _left(self, connection: Connection, channel: str, answer: _Heard) -> None:
        """Ask once more when the edge would not hear it: else it went on to send what nobody wants."""
        mailbox = self._mailboxes.get(channel)
        is_unwanted = mailbox is None or mailbox.follower.is_left
        if is_unwanted and isinstance(answer, Refusal) and answer.is_passing and self._connection is connection:
            self._say_leave(connection, channel)

    def _now_ms(self) -> int:
        return math.floor(self._timing.clock() * 1000)


def refused(refusal: Refusal) -> Refused:
    """Return a refusal as the error that a caller is given."""
    return Refused(refusal.code, refusal.sentence, refusal.retry_after_ms)

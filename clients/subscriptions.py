"""The subscriptions of one client, and their requests to the edge: joining, leaving, and coming back when refused.

The meaning of a message to a subscription is decided in ``state.py``; here is which subscription hears a message, and
which request goes out. All requests go at the edge's pace (``pace.py``), since no caller waits for one.
"""

import asyncio
import math
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from bus.position import is_position
from bus.spelling import canonical_name
from bus.words import Code, NoticeName, Verb
from clients.comeback import advised_s
from clients.connection import Connection
from clients.errors import AlreadyFollowed, Refused, Unsendable
from clients.presence import PRESENCE_NOTICES
from clients.requests import Heard
from clients.settings import ClientSettings
from clients.state import SubscriptionState
from clients.subscription import Subscription
from clients.typed import Catalogue
from clients.values import Cause, Received
from clients.wire import Answer, Notice, Refusal, encode

__all__ = ["Subscriptions", "refused"]

_RETRY_MS: Final = 1_000
_OUT: Final = {
    "forbidden": "the new token does not open this channel",
    "kicked": "an operator let the client out of this channel",
}
"""Why an edge let a client out of a room."""
"""Before another try, where the edge's refusal names no time."""


class Subscriptions:
    """The subscriptions, by the channels' canonical names, which events have (decisions/0088).

    Args:
        settings: bound how many values may wait in a subscription.
        catalogue: knows the retention of a channel.

    """

    def __init__(self, settings: ClientSettings, catalogue: Catalogue) -> None:
        self._settings, self._timing, self._catalogue = settings, settings.timing, catalogue
        self._states: dict[str, SubscriptionState] = {}
        self._connection: Connection | None = None
        self._duplicates = 0

    def __len__(self) -> int:
        return len(self._states)

    @property
    def waiting(self) -> int:
        """How many values wait to be taken."""
        return sum(len(state.queue) for state in self._states.values())

    @property
    def duplicates(self) -> int:
        """How many events came again and were dropped, in subscriptions that have ended, too."""
        return self._duplicates + sum(state.sequencer.duplicates for state in self._states.values())

    # The caller's side.

    def subscribe(
        self,
        channel: str,
        *,
        since: str | None,
        last: int | None,
        state: bool = False,
        presence: bool | Mapping[str, Any] | None = None,
    ) -> Subscription:
        """Begin a subscription; see ``Client.subscribe``. Nothing has changed after an error."""
        if since is not None and last is not None:
            raise ValueError("since, last: give one of them")
        if state and (last is not None or (since is not None and not is_position(since))):
            raise ValueError("state: goes with a position in since, or alone: a state is of all time")
        # The request goes out later, in the connection's task. An argument that JSON cannot carry fails here instead,
        # where the caller learns of the mistake.
        encode(Verb.SUBSCRIBE, {"channel": channel, "since": since, "last": last, "presence": presence}, "")
        if canonical_name(channel) in self._states:
            raise AlreadyFollowed(f"{channel} is followed by this client already; unsubscribe first")
        made = SubscriptionState(
            channel,
            since=since,
            last=last,
            with_state=state,
            kind=self._catalogue.kind(channel),
            limit=self._settings.queue_limit,
            presence=presence,
            now_ms=self._now_ms(),
        )
        subscription = Subscription(made, self, asyncio.get_running_loop())
        self._states[made.room] = made
        self._serve(made)
        return subscription

    def unsubscribe(self, channel: str) -> None:
        """End the subscription of ``channel``; without one, do nothing."""
        state = self._states.get(canonical_name(channel))
        if state is not None:
            self.leave(state)

    def taken(self, state: SubscriptionState) -> None:
        """Take note that a subscription's caller took a value: the caller may have caught up."""
        self._serve(state)

    def leave(self, state: SubscriptionState) -> None:
        """End a subscription that its caller has done with."""
        if state.queue.is_over:
            return
        self._end(state, None)
        if self._connection is not None and state.is_known:
            self._offer_leave(self._connection, state.room)

    def end(self, error: Exception | None) -> None:
        """End every subscription, with None at once, with an error after the values that wait."""
        for state in list(self._states.values()):
            self._end(state, error)

    def _end(self, state: SubscriptionState, error: Exception | None) -> None:
        """End one subscription; the others go on. The one place that drops a state, so no duplicate goes uncounted."""
        if state.queue.is_over:
            return
        del self._states[state.room]
        self._duplicates += state.sequencer.duplicates
        if self._connection is not None:
            self._connection.requests.withdraw(state)
        state.queue.end(error)

    # One connection after another.

    def connection_came(self, connection: Connection) -> None:
        """Send on this connection the requests that are due."""
        self._connection = connection
        for state in list(self._states.values()):
            self._serve(state)

    def connection_went(self) -> None:
        """Send nothing any more."""
        self._connection = None

    def interrupt(self, cause: Cause, detail: str) -> None:
        """Tell every subscription that nothing comes for now."""
        for state in list(self._states.values()):
            state.interrupted(cause, detail)
            state.queue.wake()

    def restore(self) -> None:
        """Tell every subscription that the edge has Redis again."""
        for state in list(self._states.values()):
            state.restored()
            self._changed(state)

    # Messages of the edge.

    def arrived(self, received: Received) -> None:
        """Take an event; an event of a channel without a subscription is passed over."""
        state = self._states.get(received.channel)
        if state is not None:
            state.arrived(self._catalogue.typed(received))
            self._changed(state)

    def notice(self, notice: Notice) -> None:
        """Take the edge's notice of a room; a notice of a room without a subscription is passed over."""
        state = self._states.get(notice.channel or "")
        if state is None:
            return
        if notice.event == NoticeName.ROOM_GAP:
            state.told_gap(notice.data)
            self._changed(state)
        elif notice.event in PRESENCE_NOTICES and not _is_of_the_token(notice):
            state.told_of_users(notice.event, notice.data)
            self._changed(state)
        elif notice.event == NoticeName.ROOM_STATE:
            state.told_state(notice.data)
            self._changed(state)
        elif notice.event == NoticeName.ROOM_LEFT and state.is_known:
            self._end(state, Refused(Code.FORBIDDEN, _OUT.get(str(notice.data.get("reason")), _OUT["forbidden"])))

    def _changed(self, state: SubscriptionState) -> None:
        state.queue.wake()
        self._serve(state)

    # Joining and leaving.

    def _serve(self, state: SubscriptionState) -> None:
        """Offer the request that a subscription has for the edge, if there is one."""
        if self._connection is not None and state.has_command and not state.queue.is_over:
            self._connection.requests.offer(state, partial(self._say, self._connection, state))

    def _say(self, connection: Connection, state: SubscriptionState) -> None:
        command = None if state.queue.is_over else state.command(self._now_ms())
        if command is None:
            return
        verb, data = command
        if verb == Verb.UNSUBSCRIBE:
            self._ask_to_leave(connection, state.room)
            self._serve(state)
            return
        try:
            connection.requests.ask(verb, data, partial(self._subscribed, connection, state))
        except Unsendable as error:  # a channel's name that is longer than a message may be
            self._end(state, error)

    def _subscribed(self, connection: Connection, state: SubscriptionState, answer: Heard) -> None:
        if state.queue.is_over:
            return
        match answer:
            case Answer(data=data):
                state.joined(data)
            case Refusal(code=Code.RATE_LIMIT_EXCEEDED):  # the connection is silent for as long as it has to be
                state.refused()
                state.retry()
            case Refusal(is_about_the_token=True):
                pass  # the edge closes, and says more
            case Refusal(is_passing=True):
                self._pause(connection, state, answer)
            case Refusal():
                self._end(state, refused(answer))
            case Unsendable():
                self._end(state, answer)
        self._changed(state)

    def _pause(self, connection: Connection, state: SubscriptionState, refusal: Refusal) -> None:
        state.refused()
        # decisions/0018: an edge waits 5 s for its comparison after Redis is back, then answers UNAVAILABLE.
        if refusal.code == Code.UNAVAILABLE:
            state.interrupted("bus", refusal.sentence)
        wait_s = self._wait_s(refusal)
        connection.spawn(self._ask_again(state, wait_s), f"client retry {state.channel}")

    def _wait_s(self, refusal: Refusal) -> float:
        # All rooms of all clients were refused in one moment, and told the same time: the dice spread their return.
        wait_ms = _RETRY_MS if refusal.retry_after_ms is None else refusal.retry_after_ms
        return advised_s(wait_ms) * (1 + self._timing.dice() / 2)

    async def _ask_again(self, state: SubscriptionState, wait_s: float) -> None:
        await self._timing.sleep(wait_s)
        state.retry()
        self._serve(state)

    def _offer_leave(self, connection: Connection, room: str) -> None:
        connection.requests.offer(("leave", room), partial(self._ask_to_leave, connection, room))

    def _ask_to_leave(self, connection: Connection, room: str) -> None:
        connection.requests.ask(Verb.UNSUBSCRIBE, {"channel": room}, partial(self._left, connection, room))

    def _left(self, connection: Connection, room: str, answer: Heard) -> None:
        """Ask once more when the edge refused the unsubscribe: the edge would go on to send unwanted events."""
        state = self._states.get(room)
        is_unwanted = state is None or state.is_left
        if is_unwanted and isinstance(answer, Refusal) and answer.is_passing and self._connection is connection:
            self._offer_leave(connection, room)

    def _now_ms(self) -> int:
        return math.floor(self._timing.clock() * 1000)


def _is_of_the_token(notice: Notice) -> bool:
    """Tell whether the client itself is out of the room; edges of older versions name no user in the notice at all."""
    return notice.event == NoticeName.ROOM_LEFT and notice.data.get("user") is None


def refused(refusal: Refusal) -> Refused:
    """Return a refusal as the error that a caller is given."""
    return Refused(refusal.code, refusal.sentence, refusal.retry_after_ms)

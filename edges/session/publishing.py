"""The events that clients publish: what the catalogue opens, to whom, how much, and the way to Redis.

One way for the verb ``publish`` and for ``POST /publish``. Knows neither a socket nor a conversation.
"""

import math
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson
from pydantic import ValidationError

from bus.channel import Channel
from bus.client_event import ClientEvent
from bus.envelope import Message, compose
from bus.errors import BusUnavailable, EventError, OutboxFull, PublishHeld
from bus.event import Attempt, Event, now
from bus.held import Hold
from bus.log.once import once_name
from bus.service import Service
from bus.values import frozen
from bus.words import Code, Verb
from edges.auth.permissions import Caller, Permissions
from edges.limits.counters import Counters
from edges.limits.publishing import Account, PublishLimits
from edges.protocol.messages import Refusal, Refused
from edges.session.requests import sentence_of
from edges.settings import EdgeSettings

if TYPE_CHECKING:
    from bus.log.outgoing import Outgoing
    from bus.log.publication import Published

__all__ = ["Prepared", "Publishing", "Wish"]

_DEADLINE_S: Final = 3.0
"""How long attempts are repeated; the client is told to come again then, and the event is still stored once."""


@frozen
class Wish:
    """What a client wants to publish.

    Attributes:
        event: the event's name.
        data: the event's fields.
        id: of the request; None where the client gave none.

    """

    event: str
    data: Mapping[str, Any]
    id: str | None


@frozen
class Prepared:
    """An event of a client, checked and ready to be sent."""

    message: Message
    attempt: Attempt
    once: str
    wish: Wish
    hold: Hold | None = None


class Publishing:
    """Takes events of clients.

    Args:
        service: says which events are open to clients.
        permissions: of the service.
        outgoing: publishes.
        settings: of the edge.
        counters: of the edge.

    """

    def __init__(
        self,
        service: Service,
        permissions: Permissions,
        outgoing: "Outgoing",
        settings: EdgeSettings,
        counters: Counters,
    ) -> None:
        self._service, self._permissions, self._outgoing = service, permissions, outgoing
        self._settings, self._counters = settings, counters
        self.limits = PublishLimits(settings)

    def prepare(self, wish: Wish, caller: Caller, network: str, own: Account | None, now_s: float) -> Prepared:
        """Return the event, checked.

        Args:
            wish: of the client.
            caller: the client, by the token.
            network: the client's, for limits of clients without a token.
            own: the account of the connection; None: a single request.
            now_s: seconds of a monotonic clock.

        Raises:
            Refused: the client may not publish the event, not now, or not so; the sentence says why.

        """
        opened = self._opened(wish)
        self._check_permission(wish, opened, caller)
        size = self._check_size(wish)
        self._count(wish, caller, network, own, size, now_s)
        event = self._event(wish, opened, caller)
        self._check_channels(wish, event.channels(), caller)
        return self._composed(wish, event, caller, self._hold(opened, event, caller))

    async def publish(self, prepared: Prepared) -> "Published":
        """Publish, and return when Redis has the event on all channels.

        Raises:
            Refused: another user holds what the event would change.
            BusError: Redis does not take the event at the moment; the same wish completes the publish later.

        """
        try:
            return await self._outgoing.publish(
                prepared.message, prepared.attempt, deadline_s=_DEADLINE_S, once=prepared.once, hold=prepared.hold
            )
        except PublishHeld as error:
            raise _refused(prepared.wish, Code.FORBIDDEN, f"{error}; {error.holder} or an admin can free it") from None
        except OutboxFull as error:  # the edge's own bound, while Redis is slow: no error of Redis to be logged
            raise BusUnavailable(str(error)) from None

    # Steps.

    def _opened(self, wish: Wish) -> ClientEvent:
        opened = self._service.client_event(wish.event)
        if opened is not None:
            return opened
        names = ", ".join(it.event.event_name for it in self._service.client_events)
        if self._service.event(wish.event) is None:
            raise _refused(wish, Code.INVALID_REQUEST, f"event: no such event; clients may publish {names}")
        raise _refused(wish, Code.FORBIDDEN, f"event: not open to clients; clients may publish {names}")

    def _check_permission(self, wish: Wish, opened: ClientEvent, caller: Caller) -> None:
        name, needed = opened.event.event_name, opened.permission
        if caller.user_id is None and not opened.without_tokens:
            raise _refused(wish, Code.FORBIDDEN, f"{name} needs a token with the permission {needed}")
        if not self._permissions.may_publish(caller, opened):
            raise _refused(wish, Code.FORBIDDEN, f"{name} needs the permission {needed}")

    def _check_size(self, wish: Wish) -> int:
        size, most = len(orjson.dumps(wish.data)), self._settings.max_publish_bytes
        if size > most:
            self._counters.hit("max_publish_bytes")
            sentence = f"max_publish_bytes: the data have {size} bytes, the limit is {most}"
            raise _refused(wish, Code.INVALID_REQUEST, sentence)
        return size

    def _count(self, wish: Wish, caller: Caller, network: str, own: Account | None, size: int, now_s: float) -> None:
        holder = f"address {network}" if caller.user_id is None else f"user {caller.user_id}"
        excess = self.limits.take(own, holder, size, now_s)
        if excess is not None:
            self._counters.hit(excess.name)
            sentence = f"{excess.name}: the limit is {excess.limit} per second; wait, then repeat"
            raise _refused(wish, Code.RATE_LIMIT_EXCEEDED, sentence, math.ceil(excess.retry_s * 1000))

    def _event(self, wish: Wish, opened: ClientEvent, caller: Caller) -> Event:
        data = dict(wish.data)
        if opened.sender is not None and caller.user_id is not None:
            given = data.get(opened.sender)
            if given is not None and given != caller.user_id:
                sentence = f"{opened.sender}: the token is of another user; leave the field out"
                raise _refused(wish, Code.FORBIDDEN, sentence)
            data[opened.sender] = caller.user_id
        try:
            return opened.event.model_validate_json(orjson.dumps(data))
        except ValidationError as error:
            raise _refused(wish, Code.INVALID_REQUEST, sentence_of(error)) from None

    def _check_channels(self, wish: Wish, channels: tuple[Channel, ...], caller: Caller) -> None:
        for channel in channels:
            if not self._permissions.is_theirs(caller, channel):
                pattern = self._service.family(channel).pattern
                raise _refused(wish, Code.FORBIDDEN, f"{pattern} is for that user alone")

    def _hold(self, opened: ClientEvent, event: Event, caller: Caller) -> Hold | None:
        """Return the question whether another user holds what the event would change."""
        unless = opened.unless
        if unless is None or opened.sender is None or (unless.admins and self._permissions.is_admin(caller)):
            return None
        return unless.hold(event, getattr(event, opened.sender))

    def _composed(self, wish: Wish, event: Event, caller: Caller, hold: Hold | None) -> Prepared:
        made = Attempt(wish.id or str(uuid.uuid4()), now())
        if not _is_plain(made.id):
            raise _refused(wish, Code.INVALID_REQUEST, "id: an event's id has neither '\"' nor '\\'")
        try:
            message = compose(event, limit_bytes=self._settings.max_line_bytes, made=made)
        except EventError as error:
            raise _refused(wish, Code.INVALID_REQUEST, str(error)) from None
        # With a question about a key, too: the script that knows repetitions is the one that asks.
        is_known = wish.id is not None or hold is not None
        once = once_name(caller.user_id, made.id, wish.event, wish.data) if is_known else ""
        return Prepared(message, made, once, wish, hold)


def _is_plain(message_id: str) -> bool:
    """Tell whether an id stands in a line as it is: lines are put together from bytes."""
    return '"' not in message_id and "\\" not in message_id


def _refused(wish: Wish, code: Code, sentence: str, retry_after_ms: int | None = None) -> Refused:
    return Refused(Refusal(code, sentence, Verb.PUBLISH, wish.id, retry_after_ms))

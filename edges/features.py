"""The parts of an edge that only some catalogues ask for: clients' events, users in rooms, live requests.

Each is imported where a catalogue asks for it: together 10 ms of an edge's start (decisions/0167).
"""

import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from bus.channel import Presence as PresenceOf
from bus.envelope import Message
from bus.event import Attempt
from bus.redis.subscriber import Subscriber
from bus.service import Service
from bus.tasks import Spawn
from edges.auth.permissions import Permissions
from edges.lifecycle.redis_link import Droppable
from edges.limits.counters import Counters
from edges.limits.mishaps import Mishaps
from edges.session.publishing import Publishing
from edges.settings import EdgeSettings

if TYPE_CHECKING:
    from bus.log.outgoing import Outgoing
    from edges.rooms.presence.announcer import Announcer
    from edges.rooms.presence.presence import Presence
    from edges.session.live import LiveRequests

__all__ = ["Features", "Works"]

_ANNOUNCED_S = 10.0
"""How long attempts are repeated to publish that a user came or left."""

Works: TypeAlias = dict[str, Callable[[], Coroutine[Any, Any, None]]]
"""Repeated works of an edge, by name, to be begun."""

_logger = logging.getLogger("edgebus.edges")


class Features:
    """Parts beyond rooms; a catalogue that asks for none of these costs no connection to Redis.

    Args:
        service: the catalogue.
        settings: of the edge.
        subscriber: the link, which hears answers and changes.
        permissions: of clients that publish.
        counters: of clients that are refused.
        mishaps: is told when work fails.
        spawn: runs and owns a task.
        name: of connections to Redis.
        edge_id: names the edge in Redis.
        is_owned: whether an owner answers clients in place of the edge.

    Attributes:
        presence: the users in rooms; None where no family has presence.
        publishing: the way of clients' events to Redis; None where no event is open to clients.
        live: the questions to responders; None where no request is live.

    """

    def __init__(  # noqa: PLR0913 (all that a catalogue may ask for)
        self,
        service: Service,
        settings: EdgeSettings,
        subscriber: Subscriber,
        permissions: Permissions,
        counters: Counters,
        mishaps: Mishaps,
        spawn: Spawn,
        *,
        name: str,
        edge_id: str,
        is_owned: bool,
    ) -> None:
        self._service, self._settings, self._subscriber = service, settings, subscriber
        self._mishaps, self._spawn, self._name, self._id = mishaps, spawn, name, edge_id
        tells = any(it.presence.events for it in service.families if isinstance(it.presence, PresenceOf))
        takes = bool(service.client_events) and not is_owned
        url = settings.redis_url
        self._outgoing = _outgoing(url, f"{name}-publisher") if takes or tells else None
        self._announcer: Announcer | None = None
        self.presence = self._presence(tells=tells)
        outgoing = self._outgoing if takes else None
        self.publishing = Publishing(service, permissions, outgoing, settings, counters) if outgoing else None
        self.live = self._live_requests() if any(it.live for it in service.requests) else None

    def _presence(self, *, tells: bool) -> "Presence | None":
        service, settings = self._service, self._settings
        if all(family.presence is None for family in service.families):
            return None
        from bus.presence.store import PresenceStore
        from edges.rooms.presence.announcer import Announcer
        from edges.rooms.presence.presence import Presence

        store = PresenceStore(settings.redis_url, name=f"{self._name}-presence", service=service.name)
        limit, parts = settings.max_presence_members, (store, self._subscriber, self._id, self._spawn, self._mishaps)
        if not tells:
            return Presence(*parts, limit=limit)
        self._announcer = Announcer(service, store, self._announce, line_bytes=settings.max_line_bytes)
        return Presence(*parts, limit=limit, announcer=self._announcer)

    async def _announce(self, message: Message, attempt: Attempt, once: str) -> None:
        if self._outgoing is not None:
            await self._outgoing.publish(message, attempt, deadline_s=_ANNOUNCED_S, once=once)

    def _live_requests(self) -> "LiveRequests":
        from bus.asking.asking import Asking
        from bus.asking.keys import answers_channel
        from edges.session.live import LiveRequests

        settings, asking_name = self._settings, f"{self._name}-asking"
        asking = Asking(settings.redis_url, name=asking_name, service=self._service.name, edge=self._id)
        live = LiveRequests(
            asking,
            lambda: self._subscriber.is_up,
            limit=settings.max_questions,
            longest_s=settings.max_question_s,
            limit_bytes=settings.max_answer_bytes,
        )
        self._subscriber.listen(answers_channel(self._id), live.take)
        return live

    @property
    def unreadable(self) -> int:
        """Entries of rooms that were passed over."""
        return 0 if self.presence is None else self.presence.unreadable

    def beside(self) -> list[Droppable]:
        """Return the connections that are given up with the link."""
        return [it for it in (self.presence, self.live) if it is not None]

    def link_came(self) -> None:
        """Take note of a new link."""
        if self.presence is not None:
            self.presence.link_came()
        if self.live is not None:
            self.live.link_came()

    def works(self) -> Works:
        """Return the repeated works, by name."""
        works: Works = {}
        if self.presence is not None:
            works["users in rooms"] = self.presence.run
        if self._announcer is not None:
            works["events of users"] = self._announcer.run
        if self.live is not None:
            works["questions"] = partial(self.live.look_on, self._mishaps)
        return works

    def last_works(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Return the works that others need until their own end."""
        return {} if self._outgoing is None else {"publisher": self._outgoing.run()}

    async def end_works(self, within_s: float) -> None:
        """Tell of the users who leave with the edge, while the publisher is there."""
        if self.presence is not None:
            await self.presence.close(within_s)

    async def close(self) -> None:
        """Close the connections that are left."""
        if self.live is not None:
            await self.live.close()


def _outgoing(url: str, name: str) -> "Outgoing":
    from bus.log.outgoing import Outgoing

    return Outgoing(url, name=name, logger=_logger)

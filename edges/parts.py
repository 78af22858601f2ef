"""The parts of an edge: made in one place, and handed down; nothing is told of another part later."""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Coroutine
from dataclasses import replace
from datetime import datetime
from typing import Any

from websockets.http11 import Request, Response

from bus.asking.asking import Asking
from bus.asking.keys import answers_channel
from bus.channel import Presence as PresenceOf
from bus.envelope import Message
from bus.event import Attempt
from bus.log.log import Log
from bus.log.outgoing import Outgoing
from bus.presence.store import PresenceStore
from bus.redis.link import Batch
from bus.redis.preflight import inspect
from bus.redis.probe import Probe
from bus.redis.revocation import REVOKED, Revocations
from bus.redis.subscriber import Subscriber
from bus.service import Service
from bus.tasks import end
from edges.auth.authenticator import Authenticator
from edges.auth.jwks import Jwks
from edges.auth.permissions import Permissions
from edges.auth.revocations import KnownRevocations
from edges.lifecycle.drain import say_goodbye, send_away
from edges.lifecycle.health import Health
from edges.lifecycle.heartbeat import announce, announce_once, withdraw
from edges.lifecycle.housekeeping import close_rooms, keep_keys, keep_logs, watch_certificate, watch_deadlines
from edges.lifecycle.redis_link import Droppable, RedisLink
from edges.lifecycle.tasks import Tasks
from edges.limits.counters import Counters
from edges.limits.mishaps import Mishaps
from edges.limits.registry import RegistryStatistics, registry_of
from edges.net.addresses import port_of
from edges.protocol.messages import GOING_AWAY, RESTARTING
from edges.rooms.hub import Hub
from edges.rooms.limits import RoomLimits
from edges.rooms.log_reads import LogReads
from edges.rooms.presence.announcer import Announcer
from edges.rooms.presence.presence import Presence
from edges.rooms.statistics import HubStatistics
from edges.session.context import Context
from edges.session.live import LiveRequests
from edges.session.owner import Owner, Ownership
from edges.session.publishing import Publishing
from edges.session.requests import Answers
from edges.session.verbs.services import catalogue_of
from edges.session.verbs.table import verbs_of
from edges.settings import EdgeSettings
from edges.transport.connection import Connection
from edges.transport.origin_policy import admit_plain
from edges.transport.routes import routes_of
from edges.transport.screen import ProcessRequest
from edges.transport.tls_listener import Listener

__all__ = ["Parts"]

_ANNOUNCED_S = 10.0
"""How long attempts are repeated to publish that a user came or left."""

_logger = logging.getLogger("edgebus.edges")


class Parts:
    """Every part of an edge, built once, when the sockets are bound: no part waits to be told of another.

    Args:
        service: the catalogue to serve.
        settings: of the edge.
        sockets: to listen on.
        tls: the certificate for clients; None: ``ws``.
        name: of connections to Redis.
        edge_id: names the edge in Redis.
        connection: takes a socket.
        owner: greets and answers clients; None: the edge does.
        process_request: asked before a handshake is accepted.

    """

    def __init__(  # noqa: PLR0913, PLR0915 (what an edge is made of)
        self,
        service: Service,
        settings: EdgeSettings,
        sockets: tuple[socket.socket, ...],
        tls: ssl.SSLContext | None,
        *,
        name: str,
        edge_id: str,
        connection: type[Connection],
        owner: Owner | None = None,
        process_request: ProcessRequest | None = None,
    ) -> None:
        self.service, self.settings, self._name, self._id = service, settings, name, edge_id
        self._tasks: list[asyncio.Task[None]] = []
        self._last_tasks: list[asyncio.Task[None]] = []
        self._commands = Tasks()
        self.spawn = self._commands.spawn
        self.ownership = None if owner is None else Ownership(owner, self.spawn)
        self._farewell, self._started, self._port = GOING_AWAY, time.time(), port_of(sockets)
        url = settings.redis_url
        self.mishaps, self.counters = Mishaps(), Counters()
        self.registry = registry_of(settings, self.counters)
        self._log = Log(url, name=name, appends=False)
        self._probe_log = Log(url, name=f"{name}-probe", appends=False)  # its own: a long read is no deaf link
        revocations = Revocations(url, name=f"{name}-revocations")
        self._revocations = KnownRevocations(revocations, self.spawn, self.registry.check_revoked)
        self._authenticator = Authenticator(
            settings, is_revoked=self._revocations.concerns, revoked_ms=self._revocations.revoked_ms
        )
        probe = Probe(self._probe_log, f"bus:probe:{edge_id}", interval_s=settings.probe_interval_s)
        self.subscriber = Subscriber(
            url, name=name, deliver=self._deliver, on_up=self._link_came, on_down=self._link_went, probe=probe
        )
        self.hub = Hub(self._log, self.subscriber, self.spawn, limits=_room_limits(settings))
        self._answers = _answers(self.hub.log_reads, service, settings)
        self._permissions = Permissions(service)
        self._outgoing = Outgoing(url, name=f"{name}-publisher", logger=_logger) if self._publishes(service) else None
        self._announcer: Announcer | None = None
        self._presence = self._presence_of(service, settings)
        self._publishing = self._publishing_of(service, settings)
        beside: list[Droppable] = [self._probe_log, self._revocations]
        self.live = self._live_requests() if any(it.live for it in service.requests) else None
        if self._presence is not None:
            beside.append(self._presence)
        if self.live is not None:
            beside.append(self.live)
        self._link = RedisLink(
            self.subscriber, self.hub, self._log, beside, self.spawn, self.registry.notify, self.mishaps
        )
        self.health = Health(
            service,
            self.registry,
            self.hub,
            self._link,
            mishaps=self.mishaps,
            knows_revoked=lambda: self._authenticator.is_open or self._revocations.is_read,
            max_connections=settings.max_connections,
        )
        context, routes = (
            self._context(),
            routes_of(self.health, self._own_name, process_request, publishes=self._publishing is not None),
        )
        self.listener = Listener(
            lambda: connection(context, routes),
            sockets,
            tls,
            self.spawn,
            self.mishaps,
            open_timeout_s=settings.open_timeout_s,
            close_timeout_s=settings.close_timeout_s,
        )

    def _presence_of(self, service: Service, settings: EdgeSettings) -> Presence | None:
        """Return the users in rooms; None, and no connection, where no family has presence."""
        if all(family.presence is None for family in service.families):
            return None
        store = PresenceStore(settings.redis_url, name=f"{self._name}-presence", service=service.name)
        limit, parts = settings.max_presence_members, (store, self.subscriber, self._id, self.spawn, self.mishaps)
        if not self._tells(service):
            return Presence(*parts, limit=limit)
        self._announcer = Announcer(service, store, self._announce, line_bytes=settings.max_line_bytes)
        return Presence(*parts, limit=limit, announcer=self._announcer)

    def _live_requests(self) -> LiveRequests:
        settings, asking_name = self.settings, f"{self._name}-asking"
        asking = Asking(settings.redis_url, name=asking_name, service=self.service.name, edge=self._id)
        live = LiveRequests(
            asking,
            lambda: self.subscriber.is_up,
            limit=settings.max_questions,
            longest_s=settings.max_question_s,
            limit_bytes=settings.max_answer_bytes,
        )
        self.subscriber.listen(answers_channel(self._id), live.take)
        return live

    def _publishes(self, service: Service) -> bool:
        """Tell whether anything is published by the edge: events of clients, or of users who come and leave."""
        return bool(service.client_events and self.ownership is None) or self._tells(service)

    def _tells(self, service: Service) -> bool:
        return any(it.presence.events for it in service.families if isinstance(it.presence, PresenceOf))

    def _publishing_of(self, service: Service, settings: EdgeSettings) -> Publishing | None:
        """Return the way of clients' events to Redis; None, and no connection, where no event is open to clients."""
        if not service.client_events or self.ownership is not None:  # an owner answers clients in place of the edge
            return None
        outgoing = self._outgoing
        return Publishing(service, self._permissions, outgoing, settings, self.counters) if outgoing else None

    async def _announce(self, message: Message, attempt: Attempt, once: str) -> None:
        if self._outgoing is not None:
            await self._outgoing.publish(message, attempt, deadline_s=_ANNOUNCED_S, once=once)

    def _context(self) -> Context:
        catalogue_of(self.service)  # before the first client, and kept
        return Context(
            self.service,
            self.settings,
            self.hub,
            self._answers,
            self.registry,
            self.counters,
            self.spawn,
            self._authenticator,
            self._permissions,
            verbs_of(self.service),
            self._link.outage,
            self.ownership,
            self._link.first,
            self._presence,
            self.live,
            self._publishing,
        )

    def _own_name(self, request: Request) -> Response | None:
        return admit_plain(request, self.settings, takes_tokens=not self._authenticator.is_open)

    async def begin(self, expires: datetime | None) -> None:
        """Accept, and begin to connect to Redis; ``expires`` is the end of the certificate, None for unknown."""
        self.listener.accept()
        self._link.begin()
        if not self._authenticator.is_open:
            self.subscriber.listen(REVOKED, self._revocations.take)
        await self.subscriber.__aenter__()
        works = self._housekeeping(self._authenticator.jwks, expires)
        self._tasks = [asyncio.create_task(work, name=f"edge {name}") for name, work in works.items()]
        if self._outgoing is not None:
            self._last_tasks = [asyncio.create_task(self._outgoing.run(), name="edge publisher")]

    def _housekeeping(self, jwks: Jwks | None, expires: datetime | None) -> dict[str, Coroutine[Any, Any, None]]:
        works = {
            "deadlines": watch_deadlines(self.registry, self.mishaps),
            "rooms": close_rooms(self.hub, self.mishaps),
            "heartbeat": announce(self._log, self._id, self._facts, self.mishaps),
            "logs": keep_logs(self._log, self.hub, self.service.families, self.mishaps),
            "certificate": watch_certificate(expires),
        }
        if self._presence is not None:
            works["users in rooms"] = self._presence.run()
        if self._announcer is not None:
            works["events of users"] = self._announcer.run()
        if self.live is not None:
            works["questions"] = self.live.look_on(self.mishaps)
        return works if jwks is None else {**works, "keys": keep_keys(jwks, self.mishaps)}

    async def drain(self) -> None:
        """Be not ready, and send every client away in time."""
        self.health.leave()
        self._farewell = RESTARTING
        _logger.info("edge drains", extra={"service": self.service.name, "connections": len(self.registry)})
        self.spawn(announce_once(self._log, self._id, self._facts(), self.mishaps), "edge heartbeat")
        await asyncio.sleep(self.settings.drain_notice_s)
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self.settings.drain_window_s
        await send_away(self.registry, self.settings.drain_window_s)
        await self._link.settle(ends_at - loop.time())

    async def close(self) -> None:
        """Close every part, in order."""
        self.health.leave()
        self.listener.close()
        goodbye = say_goodbye(self.registry, self._farewell, self.settings.close_timeout_s)
        await asyncio.gather(goodbye, self._link.leave(self.settings.close_timeout_s))
        if self.ownership is not None:
            await self.ownership.settle(self.settings.close_timeout_s)
        await self.subscriber.close()  # first: what comes by it may begin new tasks
        await end(self._tasks)
        if self._presence is not None:
            await self._presence.close(self.settings.close_timeout_s)
        await end([*self._last_tasks, *self._commands.running, *self._answers.tasks, *self.hub.log_reads.tasks])
        await withdraw(self._log, self._id)
        await self._log.close()
        await self._probe_log.close()
        await self._revocations.close()
        if self.live is not None:
            await self.live.close()

    async def failed(self) -> None:
        """Wait until a part fails, and raise the failure."""
        link = asyncio.create_task(self.subscriber.closed(), name="edge link")
        try:
            done, _ = await asyncio.wait([link, *self._tasks, *self._last_tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            link.cancel()
        for task in done:
            task.result()

    def statistics(self) -> tuple[RegistryStatistics, HubStatistics]:
        """Return the counters of connections and of rooms."""
        in_rooms = 0 if self._presence is None else self._presence.unreadable
        unreadable = self._log.unreadable + self._answers.left_out + in_rooms
        return self.registry.statistics(), replace(self.hub.statistics(), unreadable=unreadable)

    def _facts(self) -> dict[str, str | int]:
        return {
            "service": self.service.name,
            "port": self._port,
            "connections": len(self.registry),
            "rooms": self.hub.occupied,
            "started": int(self._started * 1000),
            "generation": self._link.generation,
            "draining": int(self.health.is_leaving),
        }

    # The link to Redis comes and goes.

    def _deliver(self, batch: Batch) -> None:
        self.hub.deliver(batch)  # the hub subscribes by the link, and so is built after it

    def _link_came(self) -> None:
        self._link.came()
        if self._presence is not None:
            self._presence.link_came()
        if self.live is not None:
            self.live.link_came()
        if not self._authenticator.is_open:
            self._revocations.read()
        if self._link.generation == 1:
            self.spawn(self._inspect(), "inspect Redis")

    def _link_went(self) -> None:
        self._link.went()

    async def _inspect(self) -> None:
        await inspect(self.settings.redis_url, name=f"{self._name}-look", line_limit_bytes=self.settings.max_line_bytes)


def _answers(reads: LogReads, service: Service, settings: EdgeSettings) -> Answers:
    return Answers(reads, model_of=service.event, limit=settings.max_requests, limit_bytes=settings.max_answer_bytes)


def _room_limits(settings: EdgeSettings) -> RoomLimits:
    return RoomLimits(
        line_bytes=settings.max_line_bytes,
        rooms=settings.max_open_rooms,
        replays=settings.max_replays,
        backlog_bytes=settings.max_waiting_bytes // 4,
    )

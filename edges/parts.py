"""The parts of an edge: made in one place, and handed down; nothing is told of another part later."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from websockets.http11 import Request, Response

from bus.admin.telling import Telling
from bus.log.log import Log
from bus.redis.link import Batch
from bus.redis.preflight import inspect
from bus.redis.probe import Probe
from bus.redis.probing import ProbeConnection
from bus.redis.revocation import Revocations
from bus.redis.subscriber import Subscriber
from bus.retrying import until_true
from bus.service import Service
from bus.traces.store import TraceStore
from edges.auth.authenticator import Authenticator
from edges.auth.permissions import Permissions
from edges.auth.revocations import KnownRevocations
from edges.features import Features
from edges.lifecycle.draining import Draining
from edges.lifecycle.entry import Entry
from edges.lifecycle.health import Health
from edges.lifecycle.heartbeat import announce_once
from edges.lifecycle.metrics.sources import Sources
from edges.lifecycle.observed import Observed
from edges.lifecycle.outage import Outage
from edges.lifecycle.redis_link import Droppable, RedisLink
from edges.lifecycle.settling import Settling
from edges.lifecycle.skill_reader import skills_of
from edges.lifecycle.tasks import Tasks
from edges.lifecycle.traces import Traces
from edges.limits.counters import Counters
from edges.limits.floods import Floods
from edges.limits.mishaps import Mishaps
from edges.limits.registry import RegistryStatistics, registry_of
from edges.net.addresses import port_of
from edges.rooms.hub import Hub
from edges.rooms.limits import RoomLimits
from edges.rooms.log_reads import LogReads
from edges.rooms.ring import ring_at_hand
from edges.rooms.statistics import HubStatistics
from edges.rooms.sums import with_notices
from edges.rooms.tallies import Tallies
from edges.session.context import Context
from edges.session.owner import Owner, Ownership
from edges.session.requests import Answers
from edges.session.tallies import RequestTallies
from edges.session.verbs.table import FLAT_VERBS, verbs_of
from edges.settings import EdgeSettings, at_hand
from edges.shown import metrics_of, without_websocket
from edges.transport.connection import Connection
from edges.transport.origin_policy import admit_plain
from edges.transport.routes import routes_of
from edges.transport.screen import ProcessRequest
from edges.transport.tls_listener import Listener, bound

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from edges.admin.office import Office

__all__ = ["Parts"]

_ANNOUNCED_S = 10.0
"""How long attempts are repeated to publish that a user came or left."""

_READY_S = 3.0
"""How long readiness is waited for behind a new link; a heartbeat has come by then."""

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
        metrics_sockets: to answer ``GET /metrics`` on; none: no port of its own for metrics.
        metrics: shown beside the edge's.

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
        metrics_sockets: tuple[socket.socket, ...] = (),
        metrics: "Collector | None" = None,
    ) -> None:
        self.service, self.settings, self.name, self.id = service, settings, name, edge_id
        self.commands = Tasks()
        self.spawn = self.commands.spawn
        self.ownership = None if owner is None else Ownership(owner, self.spawn)
        url = settings.redis_url
        self.mishaps, self.counters, self.observed = Mishaps(), Counters(), Observed()
        self._requests = RequestTallies({**verbs_of(service), **FLAT_VERBS})
        self.skills = skills_of(service) if settings.shows_metrics and settings.metrics_names != "own" else None
        tallies = Tallies(family.head for family in service.families)
        self.floods = Floods(_logger)
        self.registry = registry_of(settings, self.counters, self.floods)
        self.log = Log(url, name=name)
        self.probing = ProbeConnection(url, name=f"{name}-probe")  # its own: a long read is no deaf link
        revocations = Revocations(url, name=f"{name}-revocations")
        self.revocations = KnownRevocations(revocations, self.spawn, self.registry.check_revoked)
        self.authenticator = Authenticator(
            settings, is_revoked=self.revocations.concerns, revoked_ms=self.revocations.revoked_ms
        )
        probe = Probe(self.probing, f"bus:probe:{edge_id}", interval_s=settings.probe_interval_s)
        self.subscriber = Subscriber(
            url,
            name=name,
            deliver=self._deliver,
            on_up=self._link_came,
            on_down=self._link_went,
            probe=probe,
            tells=False,
        )
        self.traces = Traces(TraceStore(self.log), edge_id, lambda: self.log.clock_offset_ms)
        self.ring = ring_at_hand() if settings.io_uring else None
        self.hub = Hub(
            self.log,
            self.subscriber,
            self.spawn,
            limits=_room_limits(settings),
            tallies=tallies,
            is_sampled=settings.shows_metrics,
            floods=self.floods,
            traced=self.traces.note,
            ring=self.ring,
        )
        self.outage = Outage(
            edge_id,
            lambda: self.subscriber.statistics().generation,
            lambda: len(self.registry),
            self.hub.repairs,
            self.floods,
        )
        self.answers = _answers(self.hub.log_reads, service, settings)
        self._permissions = Permissions(service)
        self.features = Features(
            service,
            settings,
            self.subscriber,
            self._permissions,
            self.counters,
            self.mishaps,
            self.spawn,
            name=name,
            edge_id=edge_id,
            is_owned=owner is not None,
        )
        self.telling = Telling(url, name=f"{name}-operators")
        beside: list[Droppable] = [self.probing, self.revocations, self.telling, *self.features.beside()]
        self.link = RedisLink(
            self.subscriber,
            self.hub,
            self.log,
            beside,
            self.spawn,
            self.registry.notify,
            self.mishaps,
            story=self.outage,
        )
        self.health = Health(
            service,
            self.registry,
            self.hub,
            self.link,
            mishaps=self.mishaps,
            knows_revoked=lambda: self.authenticator.is_open or self.revocations.is_read,
            max_connections=settings.max_connections,
        )
        told = self.subscriber, self.health, self.observed, self.statistics
        self.entry = Entry(service, settings, port_of(sockets), *told)
        self.settling = Settling(service, self._is_ready)
        self.draining = self._draining()
        context, answer = self._context(), metrics_of(self._sources, metrics, is_shown=settings.shows_metrics)
        routes = routes_of(
            self.health,
            self._own_name,
            process_request,
            publishes=self.features.publishing is not None,
            events=owner is None,  # with an owner, rooms are the owner's choice
            metrics=answer if settings.metrics else None,
        )
        self.listener = self._listener(lambda: connection(context, routes), sockets, tls)
        plain, plain_routes = (
            replace(context, publishing=None),
            routes_of(self.health, self._own_name, without_websocket, metrics=answer),
        )
        self.metrics_listener = self._listener(lambda: connection(plain, plain_routes), metrics_sockets, None)

    def _listener(
        self, owner_of: Callable[[], Connection], sockets: tuple[socket.socket, ...], tls: ssl.SSLContext | None
    ) -> Listener:
        settings = self.settings
        return Listener(
            owner_of,
            bound(sockets, settings.send_buffer_bytes),
            tls,
            self.spawn,
            self.mishaps,
            open_timeout_s=settings.open_timeout_s,
            close_timeout_s=settings.close_timeout_s,
        )

    def _draining(self) -> Draining:
        times = {"notice_s": self.settings.drain_notice_s, "window_s": self.settings.drain_window_s}
        return Draining(self.registry, self.health, self.spawn, self.announce, **times)

    @cached_property
    def office(self) -> "Office":
        """What operators reach; built once the edge is ready, since no operator is there before."""
        from edges.admin.administration import office_of

        sees = self.id, self.service, self.hub, self.registry, self.counters, self.draining
        return office_of(*sees, self.subscriber, self.telling, self.spawn, self.mishaps)

    def _context(self) -> Context:
        return Context(
            self.service,
            at_hand(self.settings),
            self.hub,
            self.answers,
            self.registry,
            self.counters,
            self.spawn,
            self.authenticator,
            self._permissions,
            verbs_of(self.service),
            self.link.outage,
            self.ownership,
            self.link.first,
            self.features.presence,
            self.features.live,
            self.features.publishing,
            self._requests,
            self.floods,
        )

    def _sources(self) -> Sources:
        return Sources(
            self.service,
            self.settings,
            self.entry.started_s,
            self.subscriber,
            self.health,
            self.counters,
            self.hub.tallies,
            self._requests,
            self.hub.replay_slots,
            self.observed,
            self.features.live,
            self.statistics,
            self.skills,
        )

    def _own_name(self, request: Request) -> Response | None:
        return admit_plain(request, self.settings, takes_tokens=not self.authenticator.is_open)

    def statistics(self) -> tuple[RegistryStatistics, HubStatistics]:
        """Return the counters of connections and of rooms."""
        unreadable = self.log.unreadable + self.answers.left_out + self.features.unreadable
        rooms, presence = replace(self.hub.statistics(), unreadable=unreadable), self.features.presence
        return self.registry.statistics(), rooms if presence is None else with_notices(rooms, presence.fanout)

    def announce(self) -> None:
        """Have the entry in Redis written anew."""
        self.spawn(announce_once(self.log, self.id, self.entry.facts(), self.mishaps), "edge heartbeat")

    async def _announce_ready(self) -> None:
        """Have the entry written as soon as the edge is ready: the last heartbeat may be of the time before."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_READY_S):
                await until_true(self._is_ready)
            self.announce()

    async def _is_ready(self) -> bool:
        return self.health.not_ready() is None

    # The link to Redis comes and goes.

    def _deliver(self, batch: Batch) -> None:
        self.hub.deliver(batch)  # the hub subscribes by the link, and so is built after it

    def _link_came(self) -> None:
        self.link.came()
        self.features.link_came()
        self.spawn(self._open_office(), "open the office")
        self.spawn(self._announce_ready(), "edge heartbeat")
        if not self.authenticator.is_open:
            self.revocations.read()
        if self.link.generation == 1:
            self.spawn(self._inspect(), "inspect Redis")

    def _link_went(self) -> None:
        self.link.went()

    async def _open_office(self) -> None:
        await self.settling.loaded()
        self.office.link_came()

    async def _inspect(self) -> None:
        await self.settling.loaded()
        await inspect(self.settings.redis_url, name=f"{self.name}-look", line_limit_bytes=self.settings.max_line_bytes)


def _answers(reads: LogReads, service: Service, settings: EdgeSettings) -> Answers:
    return Answers(reads, model_of=service.event, limit=settings.max_requests, limit_bytes=settings.max_answer_bytes)


def _room_limits(settings: EdgeSettings) -> RoomLimits:
    return RoomLimits(
        line_bytes=settings.max_line_bytes,
        rooms=settings.max_open_rooms,
        replays=settings.max_replays,
        backlog_bytes=settings.max_waiting_bytes // 4,
    )

"""The five tools of the ecosystem's services, answered for all edges of a service.

Names, arguments and keys are the old tools' own, which programs call and read; further keys came with replicas.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bus.admin.operator import Operator
from bus.admin.values import ClientInfo, EdgeEntry
from bus.errors import BusError
from bus.service import Service
from edgebus.agents.bounds import Answer, spoken
from edgebus.catalogue import find_channel, find_service
from producers import Producer, raw_event
from producers.wellbeing import name_of, told

__all__ = ["Ecosystem"]

_ROOMS: Final = 500
_CLIENTS: Final = 100
"""The most rooms and clients named by a tool without pages; totals count all."""
_TEST_EVENT: Final = "test.event"
_TEST_DATA: Final = {"message": "a test event from edgebus", "test": True}


class Ecosystem:
    """The tools, as methods.

    Args:
        operator: of the edges.
        producer: publishes test events; None: the tools only read.
        services: with the channels to publish on.

    """

    def __init__(self, operator: Operator, producer: Producer | None, services: Sequence[Service]) -> None:
        self._operator, self._producer, self._services = operator, producer, services

    async def websocket_health_check(self, service: str | None = None) -> Answer:
        """Check the health of a service's WebSocket edges, or of all services (then also per service).

        Answers status (healthy, degraded, stopped or error), connections, rooms, max_connections, host and port.
        """
        name = name_of(service)
        # No error of the tool where Redis is away: programs read `status`, and know `error` from the old tool.
        try:
            return told(await self._operator.edges(name), name)
        except BusError as error:
            return {"status": "error", "server": name, "connections": 0, "rooms": 0, "error": str(error)}

    @spoken
    async def websocket_get_status(self, service: str | None = None) -> Answer:
        """Show a service's edges with connections and rooms: totals, and the first hundred of both by name."""
        edges = await self._edges(service)
        if not edges:
            return {"server": {"status": "not_running"}, "connections": [], "rooms": {}}
        ids = [it.id for it in edges]
        clients = (await self._operator.clients(ids, limit=_CLIENTS)).rows
        health = told(edges, name_of(service) or edges[0].service)
        return {
            "server": {"status": "running", **{key: health.get(key) for key in ("server", "host", "port", "edges")}},
            "connections": [it.id for it in clients],
            "rooms": await self._rooms(ids, clients),
            "total_connections": health["connections"],
            "total_rooms": health["rooms"],
        }

    async def _rooms(self, ids: Sequence[str], clients: Sequence[ClientInfo]) -> Mapping[str, Answer]:
        named: dict[str, list[str]] = defaultdict(list)
        for client in clients:
            for room in client.rooms:
                named[room].append(client.id)
        page = await self._operator.rooms(ids, limit=_CLIENTS)
        return {
            row.channel: {"subscribers": row.members, "connection_ids": named.get(row.channel, [])} for row in page.rows
        }

    @spoken
    async def websocket_list_rooms(self, service: str | None = None) -> Answer:
        """List a service's rooms with numbers of subscribers, the fullest first, at most 500."""
        edges = await self._edges(service)
        page = await self._operator.rooms([it.id for it in edges], limit=_ROOMS) if edges else None
        rows = () if page is None else page.rows
        return {
            "rooms": {row.channel: {"subscribers": row.members} for row in rows},
            # A room of two edges is one room, but counts at both, so the edges' own counts are only a lower bound.
            "total_rooms": max(len(rows), *(it.rooms or 0 for it in edges), 0),
            "is_complete": page is None or (page.cursor is None and not page.silent),
        }

    @spoken
    async def websocket_get_metrics(self, service: str | None = None) -> Answer:
        """Show counters of a service's edges since the start; edgebus_metrics of Prometheus have more."""
        edges = await self._edges(service)
        health = told(edges, name_of(service) or "all")
        deliveries, uptime_s = _sum(edges, "deliveries"), health["uptime_seconds"]
        return {
            "uptime_seconds": uptime_s,
            "total_broadcasts": _sum(edges, "events_in"),
            "total_deliveries": deliveries,
            "average_message_rate": round(deliveries / uptime_s, 3) if uptime_s else 0.0,
            "current_connections": health["connections"],
            "active_connections": health["connections"],
            "active_rooms": health["rooms"],
            "max_connections": health["max_connections"],
            **{name: _sum(edges, name) for name in ("bytes_out", "slow", "gaps", "repaired", "told", "waiting_bytes")},
        }

    @spoken
    async def websocket_broadcast_test_event(
        self,
        room: str | None = None,
        event_type: str = _TEST_EVENT,
        data: dict[str, Any] | None = None,
        channel: str | None = None,
    ) -> Answer:
        """Publish a test event on a room of a service's catalogue, such as workflow:wf_123 or mahavishnu/global."""
        name = room or channel
        if self._producer is None:
            raise BusError("this server only reads: it was started without --allow-publish")
        if not name:
            raise BusError("name the room, such as workflow:wf_123")
        _, found = find_channel(name, self._services)
        published = await self._producer.publish(raw_event(found, event_type, {**_TEST_DATA, **(data or {})}))
        members = (await self._operator.rooms(by="name", prefix=found.name, limit=1)).rows
        subscribers = sum(it.members for it in members if it.channel == found.name)
        return {
            "status": "broadcasted",
            "event_type": event_type,
            "room": found.name,
            "channel": found.name,
            "subscribers": subscribers,
            "id": published.id,
            "position": published.positions[found.name],
        }

    async def _edges(self, service: str | None) -> list[EdgeEntry]:
        name = name_of(service)
        edges = await self._operator.edges(name)
        if not edges and name is not None and name not in {it.name for it in self._services}:
            find_service(name)  # a name that is no service is a mistake, and no service without edges
        return edges


def _sum(edges: Sequence[EdgeEntry], name: str) -> int:
    return sum(getattr(it, name) or 0 for it in edges)

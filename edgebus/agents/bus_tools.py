"""The tools for the bus: edges, rooms, clients, channels, past and coming events."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import Field

from bus.admin.operator import Operator
from bus.encoding import decode
from bus.errors import BusError
from bus.event import Event
from bus.log.log import Log
from bus.service import Service
from bus.traces.store import TraceStore
from edgebus.agents.bounds import Answer, fitting, spoken
from edgebus.agents.watching import Listening, past
from edgebus.catalogue import channel_by_name, find_event
from edgebus.doctor.examination import examine
from producers import Producer
from producers.wellbeing import name_of

__all__ = ["BusTools"]

_PAGE: Final = 100

Limit = Annotated[int, Field(ge=1, le=500, description="At most this many.")]
Seconds = Annotated[float, Field(gt=0, le=60, description="For how long; at most 60.")]
Named = Annotated[str, Field(max_length=300, description="Such as workflow:wf_123, or mahavishnu/global.")]


class BusTools:
    """The tools, as methods.

    Args:
        url: of Redis.
        operator: of the edges.
        log: reads logs.
        listening: hears what comes.
        producer: publishes; None: the tools only read.
        services: known by code.

    """

    def __init__(
        self,
        url: str,
        operator: Operator,
        log: Log,
        listening: Listening,
        producer: Producer | None,
        services: Sequence[Service],
    ) -> None:
        self._url, self._operator, self._log, self._listening = url, operator, log, listening
        self._producer, self._services = producer, services

    @spoken
    async def edges(self, service: str | None = None) -> Answer:
        """List the edges of a service, or of all services, each with the edge's own entry of the last 3 seconds."""
        edges = [dataclasses.asdict(it) for it in await self._operator.edges(name_of(service))]
        shown = fitting(edges)
        return {"edges": shown, "left_out": len(edges) - len(shown)}

    @spoken
    async def rooms(
        self,
        prefix: Annotated[str, Field(max_length=300, description="The beginning of the rooms' names.")] = "",
        by: Literal["members", "rate", "name"] = "members",
        limit: Limit = _PAGE,
        cursor: Annotated[str | None, Field(max_length=100_000, description="Of the page before.")] = None,
    ) -> Answer:
        """List rooms with members, over all edges, in pages."""
        page = await self._operator.rooms(by=by, prefix=prefix, limit=limit, cursor=cursor)
        return _page("rooms", page)

    @spoken
    async def clients(
        self,
        room: Annotated[str | None, Field(max_length=300)] = None,
        user: Annotated[str | None, Field(max_length=300)] = None,
        slow: bool = False,
        limit: Limit = _PAGE,
        cursor: Annotated[str | None, Field(max_length=100_000, description="Of the page before.")] = None,
    ) -> Answer:
        """List clients, over all edges, in pages: of a room, of a user, or slow clients only."""
        page = await self._operator.clients(slow=slow, room=room, user=user, limit=limit, cursor=cursor)
        return _page("clients", page)

    @spoken
    async def services(self) -> Answer:
        """List the services known here: forms of channels, and names of events and requests."""
        return {it.name: _catalogue(it) for it in self._services}

    @spoken
    async def history(self, channel: Named, count: Limit = 20) -> Answer:
        """Show a channel's newest events in Redis, oldest first."""
        found, stranger = channel_by_name(channel, self._services)
        answer = await past(self._log, found, count=count)
        if stranger is not None and not answer["events"]:
            raise stranger
        return answer

    @spoken
    async def listen(self, channel: Named, seconds: Seconds = 10, events: Limit = 100) -> Answer:
        """Show the events of a channel from now on, until the seconds are over or so many have come."""
        found, _ = channel_by_name(channel, self._services)
        return await self._listening.listen(found, seconds=seconds, events=events)

    @spoken
    async def doctor(self) -> Answer:
        """Find faults of Redis and of the edges: a sentence for each check, with the lines to type."""
        report = await examine(self._url)
        findings = [dataclasses.asdict(it) for it in report.findings]
        return {"level": report.level, "findings": fitting(findings), "is_reached": report.is_reached}

    @spoken
    async def trace(
        self, event_id: Annotated[str | None, Field(max_length=128, description="Without one: the newest.")] = None
    ) -> Answer:
        """Show a sampled event's stages: made, appended, read by each edge, written to how many clients."""
        store = TraceStore(self._log)
        found = await store.newest(_PAGE) if event_id is None else [it for it in [await store.read(event_id)] if it]
        if event_id is not None and not found:
            raise BusError(f"no stages of {event_id} are kept: only of sampled events, for an hour")
        return {"events": fitting(dataclasses.asdict(it) for it in found)}

    @spoken
    async def publish(
        self, event: Annotated[str, Field(max_length=300)], data: Annotated[dict[str, Any], Field()]
    ) -> Answer:
        """Validate and publish an event of a service, such as workflow.started, on the event's own channels."""
        if self._producer is None:
            raise BusError("this server only reads: it was started without --allow-publish")
        _, model = find_event(event, self._services)
        published = await self._producer.publish(_made(model, data))
        return {"id": published.id, "positions": published.positions, "receivers": published.receivers}


def _made(model: type[Event], data: dict[str, Any]) -> Event:
    # decisions/0064: as JSON, the mode in which strict types take a time or an enumeration.
    return decode(model, orjson.dumps(data))


def _page(name: str, page: Any) -> Answer:
    rows = fitting(dataclasses.asdict(it) for it in page.rows)
    answer = {name: rows, "cursor": page.cursor, "silent": list(page.silent)}
    if len(rows) < len(page.rows):  # a cursor stands behind the whole page: what is cut here is to be asked for anew
        raise BusError(f"the page is too large for an answer: ask for a limit of {len(rows)}")
    return answer


def _catalogue(service: Service) -> Answer:
    return {
        "port": service.port,
        "channels": [it.pattern for it in service.families],
        "events": [it.event_name for it in service.events],
        "requests": [it.name for it in service.requests],
    }

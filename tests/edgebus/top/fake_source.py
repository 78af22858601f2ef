"""Frames by hand, and pages that were made up: what the dashboard shows of them, keys, and states."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from bus.admin.values import BusyRoom, ClientInfo, EdgeEntry, Look, Page, Rates, RoomInfo, RoomOnEdge, RoomRow
from bus.errors import NotThere
from edgebus.top.frames import EdgeNow, Frame

EVIL = "al\x1b[2Jice\u202e[bold]"
SAFE = "al\\u001b[2Jice\\u202e[bold]"


def entry(number: int, **fields: object) -> EdgeEntry:
    """Return an edge's entry in good order."""
    values: dict[str, object] = {
        "id": f"mahavishnu-host-869{number}-100{number}-0000000{number}",
        "service": "mahavishnu",
        "host": "host",
        "port": 8690 + number,
        "pid": 1000 + number,
        "version": "1",
        "catalogue": "abc",
        "started": 0,
        "connections": 10 * number,
        "max_connections": 1000,
        "rooms": 5,
        "generation": 1,
        "link": "up",
        "probe_age_ms": 12,
        "ready": "yes",
        "draining": False,
        "events_in": 100,
        "gaps": 0,
        "heartbeat_ms": 1,
    }
    return EdgeEntry(**{**values, **fields})  # type: ignore[arg-type]


def client(number: int, user: str | None = "bob", waiting: int = 0) -> ClientInfo:
    """Return a client."""
    return ClientInfo(
        f"c{number:05}",
        entry(1).id,
        user,
        "127.0.0.1",
        ("workflow:w1",),
        1,
        waiting,
        "lagging" if waiting else "reading",
    )


def look(number: int, *, rooms: Sequence[BusyRoom] = (), clients: Sequence[ClientInfo] = ()) -> Look:
    """Return an edge's second."""
    rates = Rates(events_in=100.0 * number, deliveries=1000.0 * number)
    return Look(
        entry(number).id,
        1,
        10 * number,
        5,
        rates,
        tuple(rooms),
        tuple(clients),
        len(clients),
        sum(c.waiting_bytes for c in clients),
    )


ROOMS = tuple(BusyRoom(f"workflow:w{n}", float(n), 2 * n) for n in range(1, 51))
SLOW = (client(1, EVIL, 2_000_000), client(2, "carol", 1_000))
BUSY = Frame(
    (
        EdgeNow(entry(1), look(1, rooms=ROOMS, clients=SLOW)),
        EdgeNow(entry(2), look(2, rooms=ROOMS[:1])),
        EdgeNow(entry(3, link="deaf: no probe came back", ready="the link is deaf"), look(3)),
    )
)
QUIET = Frame((EdgeNow(entry(1), look(1)), EdgeNow(entry(2), look(2))))


class FakeSource:
    """A source whose frames a test gives; pages are cut from 10,000 rooms and as many clients."""

    def __init__(self, *frames: Frame) -> None:
        self._frames: asyncio.Queue[Frame] = asyncio.Queue()
        self.asked: list[tuple[object, ...]] = []
        for frame in frames:
            self.give(frame)

    def give(self, frame: Frame) -> None:
        """Have ``frame`` shown next."""
        self._frames.put_nowait(frame)

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield what the test gave."""
        while True:
            yield await self._frames.get()

    async def rooms(
        self, edge_ids: Sequence[str] | None = None, *, by: str, prefix: str, limit: int, cursor: str | None
    ) -> Page[RoomRow]:
        """Return a page of 10,000 rooms."""
        self.asked.append(("rooms", str(by), prefix, limit, cursor))
        start = int(cursor or 0)
        names = [f"workflow:w{number}" for number in range(10_000)]
        found = [name for name in names if name.startswith(prefix)]
        rows = tuple(RoomRow(name, 7, 1.5, {entry(1).id: 7}) for name in found[start : start + limit])
        return Page(rows, str(start + limit) if start + limit < len(found) else None)

    async def clients(
        self,
        edge_ids: Sequence[str] | None = None,
        *,
        room: str | None,
        user: str | None,
        limit: int,
        cursor: str | None,
    ) -> Page[ClientInfo]:
        """Return the clients in two pages, the first without a row."""
        self.asked.append(("clients", edge_ids, room, user, limit, cursor))
        return Page((), "1") if cursor is None else Page(SLOW, None, (entry(3).id,))

    async def room(self, channel: str) -> RoomInfo:
        """Return a room."""
        self.asked.append(("room", channel))
        on = RoomOnEdge(entry(1).id, 7, 1.5, "1-1")
        channel = channel.removeprefix("mahavishnu/")
        return RoomInfo(channel, channel, 7, (on,), "1-1", "1-1", "history", 1000, 86_400, 12, 3_456, 60_000)

    async def client(self, client_id: str) -> ClientInfo:
        """Return a client, or say that there is none."""
        self.asked.append(("client", client_id))
        if client_id != SLOW[0].id:
            raise NotThere(f"no client {client_id} on any of 3 edges")
        return SLOW[0]

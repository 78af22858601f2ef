"""The laboratory's own client: joins rooms, comes back after a lost connection, resumes by position, records all.

Independent of the package ``clients``: a fault that client and edge share would hide from both.
"""

import asyncio
import json
import random
from collections.abc import Sequence
from typing import Any, Final, Self
from urllib.parse import urlsplit

from bus.tasks import end
from edgebus.lab.judge.records import ClientLog, Mark
from edgebus.lab.stage.wire import Wire, dial

__all__ = ["Listener"]

_OPEN_DEADLINE_S: Final = 3.0
_COME_BACK_S: Final = 0.5
"""Upper end of a random wait before the next attempt; shorter than a real client's, for runs are short."""


class Listener:
    """One client in some rooms, for as long as the ``async with`` lasts.

    Args:
        name: for the record.
        urls: of edges, tried in turn.
        rooms: to be in.

    Attributes:
        log: the client's record.
        have: numbers of the events received, by room; ``told``: rooms with a gap that the edge reported.
        since_s: the time of the first confirmation in a room; later events are owed to the client.
        bytes_per_s: the speed of reading, for connections from now on; None: as fast as bytes come.

    """

    def __init__(self, name: str, urls: Sequence[str], rooms: Sequence[str]) -> None:
        self.log = ClientLog(name)
        self.have: dict[str, set[int]] = {room: set() for room in rooms}
        self.told: set[str] = set()
        self.since_s: dict[str, float] = {}
        self.joined: set[str] = set()
        self.bytes_per_s: float | None = None
        self._urls, self._positions = list(urls), dict.fromkeys(rooms, "")
        self._is_resting = asyncio.Event()
        self._is_resting.set()
        self._turn = 0
        self._back_at_s: float | None = None
        self._wire: Wire | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    async def __aenter__(self) -> Self:
        """Start, without waiting for a connection."""
        self._task = asyncio.create_task(self._stay(), name=f"listener {self.log.name}")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """End, without a closing handshake."""
        if self._task is not None:
            self._mark("left")
            await end([self._task])

    @property
    def is_joined(self) -> bool:
        """Whether every room is joined on the connection of now."""
        return len(self.joined) == len(self.have)

    def leave(self) -> None:
        """Go away, and stay away until ``come_back``."""
        self._is_resting.clear()
        if self._wire is not None:
            self._mark("left")
            self._wire.abort()  # no closing handshake: a phone that loses its network has none either

    def hurry(self) -> None:
        """Read as fast as bytes come, from now on."""
        self.bytes_per_s = None
        if self._wire is not None:
            self._wire.hurry()

    def come_back(self) -> None:
        """Connect again, and resume from the last position."""
        self._is_resting.set()

    async def _stay(self) -> None:
        while True:
            await self._is_resting.wait()
            url = self._urls[self._turn % len(self._urls)]
            try:
                await self._visit(url)
            except OSError as error:  # TimeoutError is one
                self._mark("refused", repr(error).encode())
            finally:
                self._turn += 1
                self.joined.clear()
            await asyncio.sleep(self._rest_s())

    def _rest_s(self) -> float:
        """Return the time until the next attempt: as the edge advised, else at random."""
        advised_s, self._back_at_s = self._back_at_s, None
        if advised_s is None:
            return random.uniform(0, _COME_BACK_S)  # noqa: S311 (not for secrets)
        return max(0.0, advised_s - self._loop.time())

    async def _visit(self, url: str) -> None:
        async with asyncio.timeout(_OPEN_DEADLINE_S):
            wire = self._wire = await dial(url, self.take, bytes_per_s=self.bytes_per_s)
        try:
            async with asyncio.timeout(_OPEN_DEADLINE_S):
                await wire.opened
            self._mark("opened", _edge_name(url))
            for room in self.have:
                self._subscribe(room)
            await wire.closed
        finally:
            self._wire = None
            wire.abort()
            self._mark("closed", wire.farewell)

    def _subscribe(self, room: str) -> None:
        data = {"channel": room}
        if self._positions[room]:
            data["since"] = self._positions[room]
        text = json.dumps({"type": "request", "event": "subscribe", "id": room, "data": data}).encode()
        if self._wire is not None:
            self._mark("sent", text)
            self._wire.send(text)

    def take(self, text: bytes) -> None:
        """Record a frame, and keep positions and rooms up to date."""
        self._mark("frame", text)
        frame: dict[str, Any] = json.loads(text)
        data, room = frame.get("data") or {}, frame.get("room")
        match frame["type"], frame.get("event"):
            case "event", "room.gap" if room in self.have:
                self.told.add(room)
            case "event", "edge.draining":
                self._back_at_s = self._loop.time() + data["reconnect_after_ms"] / 1000
            case "event", _ if room in self.have:
                self._positions[room] = frame.get("position") or self._positions[room]
                self.have[room].add(data.get("n", -1))
            case "response", "subscribe":
                self._confirmed(data["channel"], data)
            case "error", _ if frame.get("error_code") == "UNAVAILABLE" and frame.get("correlation_id") in self.have:
                wait_s = float(data.get("retry_after_ms", 1000)) / 1000
                self._loop.call_later(wait_s, self._subscribe_again, self._wire, frame["correlation_id"])
            case _:
                pass

    def _subscribe_again(self, wire: Wire | None, room: str) -> None:
        if wire is self._wire and room not in self.joined:
            self._subscribe(room)

    def _confirmed(self, room: str, data: dict[str, Any]) -> None:
        self.joined.add(room)
        self.since_s.setdefault(room, self._loop.time())
        if data.get("recovered") is False:
            self.told.add(room)
        if not data.get("replayed"):  # else the position is reached with the last event that follows
            self._positions[room] = data["position"] or ""

    def _mark(self, kind: Any, text: bytes = b"") -> None:
        self.log.marks.append(Mark(self._loop.time(), kind, text))


def _edge_name(url: str) -> bytes:
    """Return what samples call the edge at a URL."""
    return f"edge {urlsplit(url).port}".encode()

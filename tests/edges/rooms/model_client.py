"""A client of the recovery model, and its connection: it believes what it is told, and checks the chain."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from bus.channel import Channel
from edges.net.visitor import Visitor
from edges.protocol.envelope import Dialect
from edges.protocol.messages import Closing
from edges.session.session import Session
from tests.edges.rooms.model_edge import ModelEdge

MUCH_BYTES = 400
"""What a room lacked is much for a client that reads slowly: some four lines."""


class Peer:
    """A connection that only keeps what is written."""

    direct = direct_joined = None

    name = "peer"
    visitor = Visitor("", is_secure=False)

    def __init__(self, edge: ModelEdge) -> None:
        self.written, self.edge = b"", edge
        self.session: Session | None = None
        self.reads = asyncio.Event()
        self.reads.set()

    @property
    def dialect(self) -> Dialect:
        assert self.session is not None
        return self.session.dialect

    def attend(self, rooms: int) -> None: ...

    def write(self, frames: bytes, behind: bytes = b"") -> None:
        self.written += frames + behind

    def deliver(self, frames: bytes) -> bool:
        self.write(frames)
        return False

    def uncork(self) -> int:
        return 0

    @property
    def takes_more(self) -> bool:
        return True

    @property
    def is_idle(self) -> bool:
        return self.reads.is_set()

    def takes(self, size: int) -> bool:
        return self.reads.is_set() or size < MUCH_BYTES

    def recover(self, channel: Channel, position: str) -> None:
        if self.session is not None:
            self.session.recover(channel, position)

    def fail(self) -> None:
        raise AssertionError("a bug of ours")

    def close(self, code: Closing) -> None:
        raise AssertionError(code)

    def identify(self, user: str) -> None:
        raise AssertionError(user)

    def be_found(self, names: tuple[str, ...]) -> None:
        raise AssertionError(names)

    def take_place(self) -> bool:
        raise AssertionError("nobody must show a token here")

    def close_slow(self) -> None:
        raise AssertionError("nobody is slow here")

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    async def drained(self) -> None:
        await asyncio.sleep(0)
        await self.reads.wait()

    @property
    def is_in(self) -> bool:
        """Whether the client is in a room of its edge."""
        return any(self in members for room in self.edge.rooms for members in room.subscribers.values())

    def messages(self) -> list[dict[str, Any]]:
        """Return what was written since the last call."""
        found, rest, self.written = [], self.written, b""
        while rest:
            size, start = rest[1], 2
            if size == 126:
                size, start = int.from_bytes(rest[2:4]), 4
            found.append(orjson.loads(rest[start : start + size]))
            rest = rest[start + size :]
        return found


@dataclass(slots=True)
class Client:
    """What a client knows: where it stands, and what it has."""

    peer: Peer | None = None
    at: str | None = None
    is_told: bool = True
    got: list[str] = field(default_factory=list)
    of_subscription: set[str] = field(default_factory=set)
    owed: list[str] = field(default_factory=list)

    def begin(self, edge: ModelEdge, owed: Callable[[str], list[str]] | None) -> dict[str, Any]:
        """Connect; return from where the client goes on. ``owed`` tells what others had behind a place."""
        self.peer, self.of_subscription = Peer(edge), set()
        if self.at is None or owed is None:
            self.at, self.owed, self.is_told = None, [], True
            return {}
        self.owed, self.is_told = owed(self.at), False
        return {"since": self.at}

    def read(self) -> None:
        for message in [] if self.peer is None else self.peer.messages():
            if message.get("event") == "room.gap":
                assert self.at is not None
                self.tell()
            elif message.get("type") == "error":
                assert message["error_code"] == "UNAVAILABLE"
                self.peer = None
                return
            elif message.get("type") == "response":
                self._reply(message["data"])
            elif "n" in message and message["position"] is not None:
                self._event(message["position"], message["previous"])

    def tell(self) -> None:
        self.is_told, self.owed = True, []

    def _reply(self, data: dict[str, Any]) -> None:
        if not data.get("recovered"):
            self.tell()
        if not data.get("replayed") and (self.at is None or "recovered" not in data):
            self.at = data["position"]
        if data.get("recovered") and not data["replayed"] and data["position"].endswith("-0"):
            self.at = data["position"]

    def _event(self, position: str, previous: str) -> None:
        assert position not in self.of_subscription, f"P2: {position} came twice"
        follows = previous == self.at or (previous == "0-0" and (self.at or "").endswith("-0"))
        assert follows or self.is_told, f"P3: {position} after {previous}, not after {self.at}, and no word of it"
        self.at, self.is_told = position, False
        self.got.append(position)
        self.of_subscription.add(position)
        if position in self.owed:
            self.owed.remove(position)

"""One client's way into a room, with a hub that a test scripts: what is told where, and once."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson

from bus.channel import Channel
from bus.envelope import Arrived
from bus.log.replay import Replay, Since, Start
from bus.position import Reason
from edges.protocol.envelope import ENVELOPE
from edges.session.subscriptions import Subscriptions
from tests.edges.hub_redis import X
from tests.edges.test_room import event


class ScriptedHub:
    """Gives replays one after the other; ``lines_per_slot`` says after how many lines each slot is over."""

    def __init__(self, replays: Sequence[Replay], lines_per_slot: int) -> None:
        self._replays, self._lines_per_slot = list(replays), lines_per_slot
        self.asked: list[Start] = []
        self.replay_slots = self
        self._looks = 0

    @asynccontextmanager
    async def slot(self, _: str) -> AsyncIterator["ScriptedHub"]:
        self._looks = 0
        yield self

    @property
    def is_over(self) -> bool:
        self._looks += 1
        return self._looks >= self._lines_per_slot

    async def open(self, _: Channel) -> None: ...

    async def replay(self, _: Channel, start: Start) -> Replay:
        self.asked.append(start)
        return self._replays.pop(0)

    def missing(self, *_: Any, **__: Any) -> Sequence[Arrived]:
        return ()

    def join_now(self, *_: Any) -> object:
        return object()

    def leave(self, *_: Any) -> None: ...


class Listener:
    """A client that reads at once."""

    dialect = ENVELOPE

    def __init__(self) -> None:
        self.said: list[Any] = []

    def write(self, frames: bytes) -> None:
        for frame in frames.split(b"\x81")[1:]:
            message = orjson.loads(frame[frame.index(b"{") :])
            gap = message.get("event") == "room.gap"
            self.said.append(tuple(message["data"].values()) if gap else message["n"])

    async def drained(self) -> None: ...

    def deliver(self, _: bytes) -> bool:
        return False

    def uncork(self) -> None: ...

    def close_slow(self) -> None: ...


async def test_gap_in_a_replay_is_told_once_though_its_client_gives_way_there() -> None:
    """The turn ends behind the very event where others are lost: what is read on begins with the gap that was told."""
    first = Replay((*(event(n) for n in (3, 4, 5)), event(8, 5)), None, "8-8").passing(["5-5"])
    rest = Replay((event(8, 5),), None, "8-8").passing(["5-5"])
    assert (first.gap_after, rest.reason, rest.forks) == ("5-5", Reason.DIVERGED, ())
    hub, listener = ScriptedHub([first, rest], lines_per_slot=3), Listener()
    rooms = Subscriptions(listener, hub, waiting_bytes=2)  # type: ignore[arg-type]
    async with rooms.resume(X, Since("2-2")) as replay:
        assert replay == first
    assert listener.said == [3, 4, 5, ("5-5", "8-8", "diverged"), 8]
    assert hub.asked == [Since("2-2"), Since("5-5")]
    assert X.name in rooms.rooms

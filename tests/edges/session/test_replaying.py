"""A replay remembers the lines given: a log read on has those left out, and a fork behind one of them is told."""

import logging
from collections import Counter
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from bus.channel import Channel
from bus.envelope import Arrived
from bus.log.replay import Replay, Since, Start
from bus.position import Reason
from bus.service import Service
from edges.limits.floods import Floods
from edges.rooms.renderings import Renderings
from edges.rooms.repairs import Repairs
from edges.session.replaying import Replaying
from producers.services.mahavishnu import SERVICE

Said = list[str]


def lines(*numbers: int) -> tuple[Arrived, ...]:
    """Return lines at these positions, each behind the one before."""
    ids = ["0-0", *(f"{number}-{number}" for number in numbers)]
    return tuple(Arrived(position.encode(), position, before) for before, position in pairwise(ids))


class Peer:
    """A client that reads all at once, as a transport and its dialect."""

    name, takes_more = "a client", True

    def __init__(self) -> None:
        self.said: Said = []
        self.dialect = self

    def frame(self, line: bytes) -> bytes:
        return line + b" "

    def say(self, _: object) -> bytes:
        """Say a message as the dialect does."""
        return b"gap"

    def write(self, data: bytes, behind: bytes = b"") -> None:
        """Take bytes as the transport does."""
        self.said += ["gap"] if data.endswith(b"gap") else (data + behind).decode().split()

    async def drained(self) -> None:
        """All is read."""


class Rooms:
    """A hub whose logs are said beforehand, and the client's rooms."""

    network = "here"

    def __init__(self, *replays: Replay, forks: tuple[str, ...] = (), lacks: int = 0) -> None:
        self._replays, self._forks, self._lacks = list(replays), forks, lacks
        self.entered = 0
        self.told = Counter[Reason]()
        self.repairs, self.renderings = Repairs(Floods(logging.getLogger("edgebus.edges"))), Renderings()

    async def replay(self, _channel: Channel, _start: Start) -> Replay:
        return self._replays.pop(0)

    def missing(self, _channel: Channel, _position: str, *, is_told: bool) -> tuple[Arrived, ...] | None:
        """Say that nothing is missing, but for the first times, when the room cannot say."""
        del is_told
        self._lacks -= 1
        return None if self._lacks >= 0 else ()

    def forks(self, _channel: Channel) -> tuple[str, ...]:
        return self._forks

    def enter(self, _channel: Channel) -> None:
        self.entered += 1


async def given(rooms: Rooms, service: Service = SERVICE) -> Said:
    """Return what a client that comes back from the beginning is given."""
    peer: Any = Peer()
    hub: Any = rooms
    replaying = Replaying(rooms, service.channel("workflow:x"), peer, hub, at_once_bytes=100)
    start = Since("1-1")
    slot: Any = SimpleNamespace(is_over=False)
    await replaying.give(start, await replaying.read(start), slot)
    assert rooms.entered == 1
    said: Said = peer.said
    return said


async def test_log_read_on_has_the_lines_given_left_out_and_the_others_given() -> None:
    """A replica whose clock was behind took over: its log has an older line that was given, and behind it a new one."""
    first = Replay(lines(3, 9), None, "9-9")
    other = Replay(lines(3, 4), Reason.DIVERGED, "4-4")
    assert await given(Rooms(first, other, lacks=1)) == ["3-3", "9-9", "gap", "4-4"]


@pytest.mark.parametrize(("place", "told"), [("3-3", ["gap"]), ("8-8", [])])
async def test_fork_learned_during_a_replay_is_told_behind_lines_given(place: str, told: list[str]) -> None:
    """The room tells its subscribers, and the client was none yet; a fork behind no line of its own is not its."""
    assert await given(Rooms(Replay(lines(3, 9), None, "9-9"), forks=(place,))) == ["3-3", "9-9", *told]

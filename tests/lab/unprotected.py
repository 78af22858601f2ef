"""``edgebus`` with one protection of the product taken out, for edges in processes of their own.

The first argument says which; the others are those of ``edgebus``.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from bus.channel import Channel
from bus.log.replay import Replay, Since, Start
from bus.position import BEGINNING
from bus.redis.probe import Probe
from bus.version import own_version
from edgebus.cli import main
from edges import Edge
from edges.lifecycle import heartbeat
from edges.limits.mishaps import Mishaps
from edges.rooms.hub import Hub
from edges.rooms.room import Room


async def no_replay(self: Hub, channel: Channel, start: Start) -> Replay:
    """Say that nothing was missed."""
    await self.open(channel)
    room = self._room(channel)
    return Replay((), None, BEGINNING if room is None else room.position or BEGINNING)


def nothing_at_hand(self: Hub, channel: Channel, start: Since) -> None:
    """Have no replay ready, so that every client that comes back goes the long way."""
    del self, channel, start


async def no_drain(self: Edge) -> None:
    """Leave as if nobody were there."""
    del self


def no_rooms(self: Hub) -> list[Room]:
    """Take every room for whole after the link was away: none is compared with its log."""
    del self
    return []


async def no_watch(
    self: Probe,
    give_up: Callable[[], None],
    *,
    progress: Callable[[], object] | None = None,
    owed: Callable[[], object] | None = None,
) -> None:
    """Never look whether the link hears, or leads anywhere."""
    del self, give_up, progress, owed
    await asyncio.Event().wait()


@contextmanager
def no_sparing(self: Mishaps, work: str) -> Iterator[None]:
    """Let any fault of what an edge does by itself be the end of it."""
    del self, work
    yield


REPLACED: Final[Mapping[str, Sequence[tuple[type, str, Any]]]] = {
    "replay": [(Hub, "replay", no_replay), (Hub, "replay_at_hand", nothing_at_hand)],
    "drain": [(Edge, "drain", no_drain)],
    "comparison": [(Hub, "_logged_rooms", no_rooms)],  # the comparison itself is waited for
    "probe": [(Probe, "watch", no_watch), (Probe, "is_heard", property(lambda _: True))],
    "sparing": [(Mishaps, "spared", no_sparing)],
}
"""By the name of a protection: the methods that stand for it, and what stands there without it."""


if __name__ == "__main__":
    protection = sys.argv.pop(1)
    for owner, name, without in REPLACED[protection]:
        setattr(owner, name, without)
    if protection == "sparing":
        vars(heartbeat)["own_version"] = own_version.__wrapped__  # reads a file
    main()

"""``edgebus`` with one protection of the product taken out, for edges in processes of their own.

The first argument says which; the others are those of ``edgebus``.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bus.channel import Channel
from bus.log.replay import Replay, Start
from bus.position import BEGINNING
from bus.redis.probe import Probe
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
    return Replay((), None, (room and room.position) or BEGINNING)


async def no_drain(self: Edge) -> None:
    """Leave as if nobody were there."""
    del self


def no_rooms(self: Hub) -> list[Room]:
    """Take every room for whole after the link was away: none is compared with its log."""
    del self
    return []


async def no_watch(_: Probe, __: Callable[[], None]) -> None:
    """Never look whether the link hears."""
    await asyncio.Event().wait()


@contextmanager
def no_sparing(_: Mishaps, __: str) -> Iterator[None]:
    """Let any fault of what an edge does by itself be the end of it."""
    yield


if __name__ == "__main__":
    match sys.argv.pop(1):
        case "replay":
            Hub.replay = no_replay  # type: ignore[method-assign]
        case "drain":
            Edge.drain = no_drain  # type: ignore[method-assign]
        case "comparison":
            Hub._logged_rooms = no_rooms  # type: ignore[method-assign] # noqa: SLF001 (the comparison itself is waited for)
        case "probe":
            Probe.watch = no_watch  # type: ignore[assignment, method-assign]
            Probe.is_heard = property(lambda _: True)  # type: ignore[assignment, method-assign]
        case "sparing":
            Mishaps.spared = no_sparing  # type: ignore[assignment, method-assign]
            heartbeat._version = heartbeat._version.__wrapped__  # type: ignore[assignment] # noqa: SLF001 (reads a file)
        case other:
            sys.exit(f"no protection is called {other}")
    main()

"""One replay to one client: lines of a log at the client's pace, then those that came meanwhile, then the room.

Knows rooms and logs; of the conversation nothing. A client that does not read gives way to others that wait for a turn,
and goes on behind the last line it was given.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import accumulate, takewhile
from typing import Final, Protocol

from bus.channel import Channel
from bus.envelope import Arrived
from bus.errors import BusError
from bus.log.replay import Replay, Since, Start
from bus.position import Reason
from edges.limits.rates import LimitReached
from edges.limits.replay_slots import Turn
from edges.protocol.envelope import text_frame
from edges.protocol.messages import gap
from edges.rooms.hub import Hub
from edges.session.transport import Transport

__all__ = ["Replaying"]

_RETRY_S: Final = 1.0
_AT_ONCE_LINES: Final = 100
_AT_ONCE_BYTES: Final = 64 * 1024
"""How much of a replay is written before the client's pace is looked at."""
_GIVEN_LINES: Final = 2_000
"""How many lines of a replay are known not to be given again."""
_LOOK_S: Final = 0.25
"""How often is looked whether others wait for the turn of a client that does not read."""

_NO_GAPS: Final[Mapping[str | None, bytes]] = {}


class Rooms(Protocol):
    """The rooms of the client, as far as a replay knows them."""

    network: str

    def enter(self, channel: Channel) -> None:
        """Join the room of a replay behind its last line."""


class Replaying:
    """A replay under way.

    Args:
        rooms: the client's.
        channel: whose events are given.
        transport: the client's.
        hub: has the rooms of the edge.
        at_once_bytes: the most that is written at once.

    Attributes:
        channel: the one whose events are given.
        is_wanted: whether the client still wants the rest.

    """

    __slots__ = ("_at", "_at_once_bytes", "_forks", "_given", "_hub", "_rooms", "_transport", "channel", "is_wanted")

    def __init__(self, rooms: Rooms, channel: Channel, transport: Transport, hub: Hub, *, at_once_bytes: int) -> None:
        self._rooms, self.channel, self._transport, self._hub = rooms, channel, transport, hub
        self._at_once_bytes = min(_AT_ONCE_BYTES, at_once_bytes)
        self.is_wanted = True
        self._given = deque[str](maxlen=_GIVEN_LINES)
        self._forks: set[str | None] = set()
        """Where the client was told of a gap."""
        self._at: str | None = None
        """Where a client stands that had to give way to others; None for one that had not, or is given no more."""

    async def read(self, start: Start, *, has_followed: bool) -> Replay:
        """Open the room, and return what the client is given from ``start`` on.

        A client that ``has_followed`` the channel up to there is given nothing that it has had.

        Raises:
            BusError: the log cannot be read.

        """
        replay = await self._hub.replay(self.channel, start)
        if not has_followed or not isinstance(start, Since):
            return replay
        return replay.followed(start.position, self._given)

    async def give(self, start: Start, replay: Replay, turn: Turn) -> None:
        """Give what was read, until nothing is left to give or the turn is over."""
        channel = self.channel
        if channel.retention.kind == "latest" and isinstance(start, Since) and replay.reason is not None:
            self._transport.write(self._gap(start.position, replay.position, replay.reason))
        await self._give(replay, turn)

    async def give_rest(self) -> None:
        """Give the rest, with further turns, each when the client has read what it was given in the last one."""
        while self._at is not None and self.is_wanted:
            if await self._is_drained(None):
                await self._go_on(self._at)

    async def _go_on(self, at: str) -> None:
        """Go on from where the client gave way, with what the log has by now."""
        with contextlib.suppress(LimitReached):  # it has waited its time, and waits on
            async with self._hub.turns.turn(self._rooms.network) as turn:
                await self._give(await self._read_on(at), turn)

    async def _give(self, replay: Replay, turn: Turn) -> None:
        """Give a replay at the client's pace, then what came meanwhile, and join when nothing is left to give.

        Note where the client stands, when it has to give way to others.
        """
        self._at = None
        while self.is_wanted:
            count = await self._give_lines(replay, turn)
            if not self.is_wanted:
                return
            self._given.extend(line.position for line in replay.lines[:count] if line.position is not None)
            if count is not None:
                self._at = replay.position if count == len(replay.lines) else replay.lines[count - 1].position
                return
            found = self._hub.missing(self.channel, replay.position, is_told=replay.reason is not None)
            if found is not None and (not found or self._fitting(found) == len(found)):
                if found:
                    self._write(found)
                self._rooms.enter(self.channel)
                return
            if found:
                replay = Replay(tuple(found), None, found[-1].position or replay.position)
            else:
                replay = await self._read_on(replay.position)

    async def _read_on(self, at: str) -> Replay:
        """Read what came after ``at`` from the log, because the room does not remember it; nothing that was given."""
        try:
            replay = await self.read(Since(at), has_followed=True)
        except BusError:
            await asyncio.sleep(_RETRY_S)
            return Replay((), None, at)
        if replay.reason is not None and replay.gap_after is None and at not in self._forks:
            end = replay.lines[0].position if replay.lines else replay.position
            self._transport.write(self._gap(at, end, replay.reason))
        return replay

    def _gap(self, start: str, end: str | None, reason: Reason) -> bytes:
        return text_frame(self._transport.dialect.write(gap(self.channel.name, start, end, reason)))

    async def _give_lines(self, replay: Replay, turn: Turn) -> int | None:
        """Give lines; return how many when the client then has to give way to others, None when all were given."""
        left, gaps = replay.lines, self._gaps(replay)
        while left and self.is_wanted:
            count = self._fitting(left)
            self._write(left[:count], gaps)
            self._forks.update(line.position for line in left[:count] if line.position in gaps)
            left = left[count:]
            if not await self._is_drained(turn) or (left and turn.is_over):
                return len(replay.lines) - len(left)
        return None

    def _gaps(self, replay: Replay) -> Mapping[str | None, bytes]:
        """Return what is told behind a line because events that followed it are lost, by its position."""
        if not replay.forks or not replay.lines:
            return _NO_GAPS
        following = [line.position for line in replay.lines[1:]] + [replay.position]
        return {
            line.position: self._gap(line.position, end, Reason.DIVERGED)
            for line, end in zip(replay.lines, following, strict=True)
            if line.position is not None and line.position in replay.forks
        }

    async def _is_drained(self, turn: Turn | None) -> bool:
        """Wait until the client has read most of what was written; tell whether it did while it had its turn.

        It has none any more when it wants no more; with no ``turn`` it waits for as long as it does.
        """
        while self.is_wanted:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._transport.drained()
                    return True
            if turn is not None and turn.is_over:
                return False
        return False

    def _fitting(self, lines: Sequence[Arrived]) -> int:
        """Return how many of ``lines`` may be written at once; one always may."""
        sizes = accumulate(len(line.line) for line in lines[:_AT_ONCE_LINES])
        return max(sum(1 for size in takewhile(lambda size: size <= self._at_once_bytes, sizes)), min(1, len(lines)))

    def _write(self, lines: Sequence[Arrived], gaps: Mapping[str | None, bytes] = _NO_GAPS) -> None:
        dialect = self._transport.dialect
        frames = ((dialect.frame(arrived.line), gaps.get(arrived.position)) for arrived in lines)
        self._transport.write(b"".join(frame for pair in frames for frame in pair if frame is not None))

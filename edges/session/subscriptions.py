"""The rooms one client is in, and its ways into them: at once, opened first, or caught up with what it missed.

Knows rooms and logs; of the conversation it knows only that it must be answered before the first event.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, takewhile
from typing import Final, Protocol

from bus.channel import Channel
from bus.envelope import Arrived
from bus.errors import BusError
from bus.log.replay import Replay, Since, Start, unseen
from bus.position import Reason
from edges.limits.rates import LimitReached
from edges.limits.replay_slots import Turn
from edges.protocol.messages import gap, text_frame
from edges.rooms.hub import Hub
from edges.rooms.room import Item, Member, Room

__all__ = ["Memberships", "Reader"]

_RETRY_S: Final = 1.0
_AT_ONCE_LINES: Final = 100
_AT_ONCE_BYTES: Final = 64 * 1024
"""How much of a replay is written before the client's pace is looked at."""
_GIVEN_LINES: Final = 2_000
"""How many lines of a replay are known not to be given again."""
_LOOK_S: Final = 0.25
"""How often is looked whether others wait for the turn of a client that does not read."""

_NO_GAPS: Final[Mapping[str | None, bytes]] = {}


class _Given:
    """What one client was given of replays: the newest positions, and the forks that it was told of."""

    __slots__ = ("_positions", "forks")

    def __init__(self) -> None:
        self._positions = deque[str | None](maxlen=_GIVEN_LINES)
        self.forks: set[str | None] = set()

    def __contains__(self, position: object) -> bool:
        return position in self._positions

    def note(self, lines: Sequence[Arrived]) -> None:
        self._positions.extend(line.position for line in lines)


class Reader(Member, Protocol):
    """A member that can be written to past its rooms, at its own pace."""

    def write(self, frames: bytes) -> None:
        """Write finished frames."""

    async def drained(self) -> None:
        """Wait until most of what was written has left."""

    @property
    def takes_more(self) -> bool:
        """Whether little waits to be read."""

    def close_slow(self) -> None:
        """Be closed as too slow."""


class Memberships:
    """The rooms of one client.

    Args:
        reader: the client.
        hub: has the rooms.
        waiting_bytes: the most that may wait for the client, and that rooms may keep for it together; a replay takes
            half of it at most.
        network: whose turns at replays the client takes.

    """

    def __init__(self, reader: Reader, hub: Hub, *, waiting_bytes: int, network: str = "") -> None:
        self.rooms: dict[str, Channel] = {}
        self._reader, self._hub, self.network = reader, hub, network
        self._waiting_bytes = waiting_bytes
        self._at_once_bytes = min(_AT_ONCE_BYTES, waiting_bytes // 2)
        self._has_ended = self._is_behind = False
        self._replayed: Channel | None = None
        """The channel of which the client is given a replay, until it is in the room or has left."""

    def __len__(self) -> int:
        return len(self.rooms)

    def __contains__(self, channel: Channel) -> bool:
        return channel.name in self.rooms

    @property
    def is_replaying(self) -> bool:
        """Whether the client is being given a replay, which was answered."""
        return self._replayed is not None

    @property
    def channels(self) -> list[Channel]:
        """What the client is given events of."""
        return [*self.rooms.values(), *([] if self._replayed is None else [self._replayed])]

    def end(self) -> None:
        """Leave every room for good. What is under way is let go on, and finds no way in."""
        self._has_ended = True
        self.leave_all()

    def leave(self, channel: Channel) -> None:
        """Leave a room, or have no more of its replay; one that the client is not in is ignored."""
        if channel == self._replayed:
            self._replayed = None
        self._leave(channel)

    def _leave(self, channel: Channel) -> None:
        if self.rooms.pop(channel.name, None) is not None:
            self._hub.leave(channel, self._reader)

    def leave_all(self, *, but: Channel | None = None) -> None:
        """Leave every room, or every other."""
        for channel in list(self.rooms.values()):
            if channel != but:
                self.leave(channel)

    # Being slow.

    def fall_behind(self) -> None:
        """Be left out of every room whose policy allows it, until ``catch_up``."""
        if self._is_behind:
            return
        self._is_behind = True
        for channel in self.rooms.values():
            self._lag(channel)

    def _lag(self, channel: Channel) -> None:
        if self._is_behind and channel.when_slow.kind != "close":
            self._hub.suspend(channel, self._reader)

    def catch_up(self) -> None:
        """Go on, room by room, for as long as the client is not behind again."""
        was_behind, self._is_behind = self._is_behind, False
        for channel in list(self.rooms.values()) if was_behind else ():
            if self._is_behind:
                return
            if channel.when_slow.kind != "close":
                self._write_items(self._hub.readmit(channel, self._reader))

    def check_kept(self) -> None:
        """Close a client for which rooms keep more together than may wait for it. Called now and then.

        Each room bounds what it keeps; a client that trickles along in many of them would cost their sum.
        """
        if self._is_behind and self._kept_bytes() > self._waiting_bytes:
            self._reader.close_slow()

    def _kept_bytes(self) -> int:
        return sum(self._hub.kept_bytes(channel, self._reader) for channel in self.rooms.values())

    def _write_items(self, items: Sequence[Item]) -> None:
        if not items:
            return
        dialect = self._reader.dialect
        frames = [dialect.frame(it) if isinstance(it, bytes) else text_frame(dialect.write(it)) for it in items]
        self._reader.write(b"".join(frame for frame in frames if frame is not None))

    # Joining.

    def join(self, channel: Channel, answer: Callable[[Room], None]) -> bool:
        """Join a room if it is open, and tell whether it was; not one whose latest event has to wait for the client.

        Nothing comes in between: the answer, whatever follows that, the latest event, live events.
        """
        was_in = channel in self
        if channel.retention.kind == "latest" and not was_in and not self._reader.takes_more:
            return False
        room = None if self._has_ended else self._hub.join_now(channel, self._reader)
        if room is None:
            return False
        self.rooms[channel.name] = channel
        answer(room)
        if not was_in and room.latest is not None:
            self._reader.write(self._reader.dialect.frame(room.latest) or b"")
        self._lag(channel)
        return True

    async def open(self, channel: Channel) -> None:
        """Open a room, if it is not yet; the client then joins it, before anything else waits.

        Raises:
            BusError: it cannot be; the client is in no other rooms than before.

        """
        await self._hub.open(channel)
        while channel.retention.kind == "latest" and not self._reader.takes_more:  # a large one, behind large ones
            await self._reader.drained()
            await self._hub.open(channel)

    def switch(self, channel: Channel, answer: Callable[[Room], None]) -> None:
        """Go to one room, which is open, and leave the others."""
        self.leave_all(but=channel)
        self.join(channel, answer)

    async def resume(
        self, channel: Channel, start: Start, answer: Callable[[Replay], None], *, has_followed: bool = False
    ) -> None:
        """Join anew where the client left off: answer, what it missed, live events, in this order, without a hole.

        From the answer on, leaving the room ends it. ``has_followed``: the subscription is the same one, and of a log
        that diverged the client is given only what came after the takeover.

        Raises:
            LimitReached: too many others do so; the client is in no other rooms than before.
            BusError: the log cannot be read; likewise.

        """
        given = _Given()
        try:
            async with self._hub.turns.turn(self.network) as turn:
                await self._hub.open(channel)
                replay = await self._hub.replay(channel, start)
                if has_followed and isinstance(start, Since):
                    replay = _followed(replay, start.position, given)
                self._leave(channel)
                self._replayed = channel
                answer(replay)
                if channel.retention.kind == "latest" and isinstance(start, Since) and replay.reason is not None:
                    self._reader.write(self._gap(channel, start.position, replay.position, replay.reason))
                at = await self._replay(channel, replay, given, turn)
            del replay  # a client that reads slowly holds no lines without a turn
            while at is not None and self._goes_on:
                if await self._is_drained(None):
                    at = await self._go_on(channel, at, given)
        finally:
            self._replayed = None

    @property
    def _goes_on(self) -> bool:
        """Whether the client still wants the rest of its replay."""
        return self._replayed is not None and not self._has_ended

    # Catching up.

    async def _go_on(self, channel: Channel, at: str, given: _Given) -> str | None:
        """Go on with a replay from where its client gave way, with what the log has by now; as ``_replay``."""
        try:
            async with self._hub.turns.turn(self.network) as turn:
                return await self._replay(channel, await self._read_on(channel, at, given), given, turn)
        except LimitReached:  # it has waited its time, and waits on
            return at

    async def _replay(self, channel: Channel, replay: Replay, given: _Given, turn: Turn) -> str | None:
        """Give a replay at the client's pace, then what came meanwhile, and join when nothing is left to give.

        Return None then; or where the client stands, when it has to give way to others.
        """
        while self._goes_on:
            count = await self._give(channel, replay, given, turn)
            if not self._goes_on:
                return None
            given.note(replay.lines[:count])
            if count is not None:
                return replay.position if count == len(replay.lines) else replay.lines[count - 1].position
            found = self._hub.missing(channel, replay.position, is_told=replay.reason is not None)
            if found is not None and self._fitting(found) == len(found):
                self._write(found)
                self._enter(channel)
                return None
            if found:
                replay = Replay(tuple(found), None, found[-1].position or replay.position)
            else:
                replay = await self._read_on(channel, replay.position, given)
        return None

    async def _read_on(self, channel: Channel, at: str, given: _Given) -> Replay:
        """Read what came after ``at`` from the log, because the room does not remember it; nothing that was given."""
        try:
            await self._hub.open(channel)
            replay = await self._hub.replay(channel, Since(at))
        except BusError:
            await asyncio.sleep(_RETRY_S)
            return Replay((), None, at)
        replay = _followed(replay, at, given)
        if replay.reason is not None and replay.gap_after is None and at not in given.forks:
            end = replay.lines[0].position if replay.lines else replay.position
            self._reader.write(self._gap(channel, at, end, replay.reason))
        return replay

    def _gap(self, channel: Channel, start: str, end: str | None, reason: Reason) -> bytes:
        return text_frame(self._reader.dialect.write(gap(channel.name, start, end, reason)))

    async def _give(self, channel: Channel, replay: Replay, given: "_Given", turn: Turn) -> int | None:
        """Give lines; return how many when the client then has to give way to others, None when all were given."""
        left, gaps = replay.lines, self._gaps(channel, replay)
        while left and self._goes_on:
            count = self._fitting(left)
            self._write(left[:count], gaps)
            given.forks.update(line.position for line in left[:count] if line.position in gaps)
            left = left[count:]
            if not await self._is_drained(turn) or (left and turn.is_over):
                return len(replay.lines) - len(left)
        return None

    def _gaps(self, channel: Channel, replay: Replay) -> Mapping[str | None, bytes]:
        """Return what is told behind a line because events that followed it are lost, by its position."""
        if not replay.forks or not replay.lines:
            return _NO_GAPS
        following = [line.position for line in replay.lines[1:]] + [replay.position]
        return {
            line.position: self._gap(channel, line.position, end, Reason.DIVERGED)
            for line, end in zip(replay.lines, following, strict=True)
            if line.position is not None and line.position in replay.forks
        }

    async def _is_drained(self, turn: Turn | None) -> bool:
        """Wait until the client has read most of what was written; tell whether it did while it had its turn.

        It has none any more when it wants no more; with no ``turn`` it waits for as long as it does.
        """
        while self._goes_on:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._reader.drained()
                    return True
            if turn is not None and turn.is_over:
                return False
        return False

    def _fitting(self, lines: Sequence[Arrived]) -> int:
        """Return how many of ``lines`` may be written at once; one always may."""
        sizes = accumulate(len(line.line) for line in lines[:_AT_ONCE_LINES])
        return max(sum(1 for size in takewhile(lambda size: size <= self._at_once_bytes, sizes)), min(1, len(lines)))

    def _write(self, lines: Sequence[Arrived], gaps: Mapping[str | None, bytes] = _NO_GAPS) -> None:
        frames = ((self._reader.dialect.frame(arrived.line), gaps.get(arrived.position)) for arrived in lines)
        self._reader.write(b"".join(frame for pair in frames for frame in pair if frame is not None))

    def _enter(self, channel: Channel) -> None:
        if self._goes_on and self._hub.join_now(channel, self._reader) is not None:
            self.rooms[channel.name] = channel
            self._lag(channel)


def _followed(replay: Replay, at: str, given: _Given) -> Replay:
    """Return a replay for a client that has followed the channel up to ``at``."""
    return replace(replay, lines=tuple(unseen(replay.lines, at, replay.reason, given)))

"""Replays for clients that come back: from a room's memory, from a tail at hand, or from the log.

Knows the opening of a room only as a call. Writing a replay to a client is ``edges/session``'s.
"""

from collections.abc import Awaitable, Callable

from bus.channel import Channel
from bus.log.replay import Replay, Since, Start, Tail
from bus.position import BEGINNING
from edges.rooms.barrier import Barrier
from edges.rooms.log_reads import LogReads, given
from edges.rooms.recovery import Recovery
from edges.rooms.room import Room

__all__ = ["Replays"]


class Replays:
    """Replays for the clients of an edge.

    Args:
        reads: reads logs.
        barrier: waits for lines on their way.
        recovery: compares rooms with their logs.
        find: returns an open room.
        open_room: opens a room, and returns the tail of the log read for the opening; None where the room was open.

    """

    def __init__(
        self,
        reads: LogReads,
        barrier: Barrier,
        recovery: Recovery,
        find: Callable[[Channel], Room | None],
        open_room: Callable[[Channel, Start], Awaitable[Tail | None]],
    ) -> None:
        self._reads, self._barrier, self._recovery = reads, barrier, recovery
        self._find, self._open_room = find, open_room

    async def replay(self, channel: Channel, start: Start) -> Replay:
        """Return the replay for a client that begins at ``start``; a closed room is opened by the same read.

        On return every line up to the replay's position has arrived here, too. A comparison under way is waited for:
        only a comparison finds the events that this edge had and the log lacks. Events of other edges are told by the
        marks of those edges in the log (forks), once those edges have compared. An edge back later than the others
        cannot have marked a fork before; the others look for the mark for some seconds, and tell their subscribers then
        (``Hub.look``).

        Raises:
            BusUnavailable: Redis cannot be reached, or rooms are still being compared.
            LimitReached: there are too many rooms already.
            BusError: Redis refused.

        """
        await self._recovery.compared()
        tail = await self._open_room(channel, start)
        if self._recovery.owes_comparison:  # the link went meanwhile: the tail may be of another Redis
            await self._recovery.compared()
            tail = None
        position, has_stayed = (start.position, start.has_stayed) if isinstance(start, Since) else (None, False)
        # A room's memory costs Redis nothing: of thousands of clients back at once most are served from there.
        remembered = None if tail is not None else _remembered(self._find(channel), position, has_stayed)
        if remembered is not None:
            return remembered
        replay = await self._read(channel, start) if tail is None else given(channel, tail, start)
        room = self._find(channel)
        if room is None or replay.is_state:  # a state is that of this log, and lost events are in none of its lines
            return replay
        return replay.passing(room.sequencer.forks.passed(position, replay, has_stayed=has_stayed), position)

    def at_hand(self, channel: Channel, start: Since) -> Replay | None:
        """Return the replay for a client that comes back, as ``replay`` does, where no step waits and no event is lost.

        None where a step may have to wait, or there is more to tell than lines.
        """
        room = self._find(channel)
        if room is None or not self._recovery.is_steady:
            return None
        replay = _remembered(room, start.position, start.has_stayed)
        if replay is not None:
            return replay
        stands = room.position if room.sequencer.is_in_sync else None
        replay = self._reads.at_hand(channel, start, stands)
        if replay is None or replay.position not in room.sequencer.known:
            return None
        is_forked = room.sequencer.forks.passed(start.position, replay, has_stayed=start.has_stayed)
        return None if is_forked else replay

    async def _read(self, channel: Channel, start: Start) -> Replay:
        room = self._find(channel)
        # Else a client behind lines that the room forgot would be given an old tail's nothing, until the tail is stale.
        stands = room.position if room is not None and room.sequencer.is_in_sync else None
        replay = await self._reads.replay(channel, start, stands=stands)
        room = self._find(channel)
        # Where the room has been at the replay's position, the lines up to there have come: a round trip less.
        if room is None or replay.position not in room.sequencer.known:
            await self._barrier.wait(channel)
        return replay


def _remembered(room: Room | None, position: str | None, has_stayed: bool) -> Replay | None:
    # decisions/0018: lines remembered across a fork would hide that others are lost in between.
    if room is None or position is None or room.sequencer.forks.crosses(position, has_stayed=has_stayed):
        return None
    lines = room.sequencer.since(position)
    return None if lines is None else Replay(lines, None, room.position or BEGINNING)

"""A replay to a client: lines of a log at the client's pace, then the lines published meanwhile, then the room.

Knows rooms and logs, not the conversation. A client slow to read gives way to clients in the queue for a slot, and goes
on behind the last line given (decisions/0034).
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, takewhile
from typing import Final, NamedTuple, Protocol

from bus.channel import Channel
from bus.envelope import Arrived
from bus.errors import BusError
from bus.log.replay import FromState, Replay, Since, Start
from bus.position import BEGINNING, Reason, order
from bus.words import NoticeName
from edges.limits.rates import LimitReached
from edges.limits.replay_slots import Slot
from edges.protocol.envelope import Dialect
from edges.protocol.messages import Notice, gap
from edges.rooms.given import Given
from edges.rooms.hub import Hub
from edges.rooms.renderings import Piece
from edges.session.transport import Transport

__all__ = ["AT_ONCE_BYTES", "AtOnce", "Replaying", "at_once"]

_RETRY_S: Final = 1.0
_AT_ONCE_LINES: Final = 100
AT_ONCE_BYTES: Final = 64 * 1024
"""The most of a replay to be written before a look at the client's pace."""
_GIVEN_LINES: Final = 2_000
"""The most lines remembered as given."""
_LOOK_S: Final = 0.25
"""Between two looks at the queue for the slot of a client slow to read."""

_NO_GAPS: Final[Mapping[str | None, bytes]] = {}


class Rooms(Protocol):
    """The rooms of the client, as far as a replay knows the rooms."""

    network: str

    def enter(self, channel: Channel) -> None:
        """Join the room behind the last line of the replay."""


class AtOnce(NamedTuple):
    """A replay to be written in one piece: the frames of its lines, and of those that the room took since."""

    replay: Replay
    frames: bytes


class Replaying:
    """A replay under way.

    Args:
        rooms: of the client.
        channel: the events' channel.
        transport: of the client.
        hub: has the rooms of the edge.
        at_once_bytes: the most to be written at once.
        given: positions given to the subscription before; None: none.
        with_state: whether the client wants the state of the channel in place of events that it cannot be given.

    Attributes:
        channel: the events' channel.
        is_wanted: whether the client still wants the rest.

    """

    __slots__ = (
        "_at",
        "_at_once_bytes",
        "_forks",
        "_given",
        "_hub",
        "_rooms",
        "_state_at",
        "_transport",
        "_unnoted",
        "_with_state",
        "channel",
        "is_wanted",
    )

    def __init__(
        self,
        rooms: Rooms,
        channel: Channel,
        transport: Transport,
        hub: Hub,
        *,
        at_once_bytes: int,
        given: Given | None = None,
        with_state: bool = False,
    ) -> None:
        self._rooms, self.channel, self._transport, self._hub = rooms, channel, transport, hub
        self._with_state = with_state
        self._at_once_bytes = min(AT_ONCE_BYTES, at_once_bytes)
        self.is_wanted = True
        self._given = Given(_GIVEN_LINES) if given is None else given
        self._unnoted: list[Sequence[Arrived]] = []
        """Lines given in this slot, for `_given`: most replays end before their positions are asked for."""
        self._forks: set[str | None] = set()
        """Positions with a gap told behind."""
        self._at: str | None = None
        """The position of a client on giving way to others; None while the client holds a slot, and at the end."""
        self._state_at: str | None = None
        """Where the state stands that the client has read a part of; None while it has read a whole one, or none."""

    async def read(self, start: Start) -> Replay:
        """Return the replay for the client from ``start`` on; a subscriber that stayed is given no event twice.

        Raises:
            BusError: the log cannot be read.

        """
        replay = await self._hub.replay(self.channel, start)
        if not isinstance(start, Since) or not start.has_stayed:
            if replay.reason is not None and self.channel.retention.kind != "latest":  # there a gap of its own tells
                self._hub.told[replay.reason] += 1
            if self._with_state and replay.reason is not None:
                state = await self._hub.replay(self.channel, FromState(anew=True))
                return replace(state, reason=replay.reason)
            self._forks.update(replay.forks_elsewhere or ())  # the reply tells that reader of all
            return replay
        self._note_given()
        self._given.add(start.position)
        lines = self._given.unseen(replay.lines, follow=replay.reason is None and not start.position.endswith("-0"))
        return replay.followed(lines, is_in_doubt=self._given.is_in_doubt(replay.lines, lines))

    async def give(self, start: Start, replay: Replay, slot: Slot) -> None:
        """Give a replay, until all of the log is given or the slot is over."""
        channel = self.channel
        # decisions/0055: a latest channel may go back after a failover. The gap stands before the older event, or a
        # client with the lost event would keep a value that no log has.
        if channel.retention.kind == "latest" and isinstance(start, Since) and replay.reason is not None:
            self._transport.write(self._gap(start.position, replay.position, replay.reason))
        elif isinstance(start, Since) and not start.has_stayed and not replay.is_state:
            # decisions/0018: the reply tells what is missing behind the client's position, and not what was before.
            for place in replay.forks_behind:
                self._transport.write(self._gap(place, start.position, Reason.DIVERGED))
        await self._give(replay, slot)

    async def give_rest(self) -> None:
        """Give the rest in further slots, each begun when the client has read the lines of the last slot."""
        # decisions/0034: a slot is for holding lines of a log, not for waiting. As many clients that stop reading as
        # there are slots would otherwise keep all others from resuming.
        while self._at is not None and self.is_wanted:
            if await self._is_drained(None):
                await self._go_on(self._at)

    async def _go_on(self, at: str) -> None:
        """Go on where the client gave way, with the log as of now."""
        with contextlib.suppress(LimitReached):  # the time in the queue is over; the client queues up again
            async with self._hub.replay_slots.slot(self._rooms.network) as slot:
                state_at = self._state_at
                replay = self._read_on(at) if state_at is None else self._rest_of_state(at, state_at)
                await self._give(await replay, slot)

    async def _give(self, replay: Replay, slot: Slot) -> None:
        """Give a replay at the client's pace, then the lines published meanwhile, and join behind the last line.

        Note the client's position on giving way to others.
        """
        self._at = self._state_at = None
        while self.is_wanted:
            count = await self._give_lines(replay, slot)
            if not self.is_wanted:
                return
            self._unnoted.append(replay.lines[:count])
            if count is not None:
                self._note_given()  # a client that reads slowly holds no lines without a slot
                is_all = count == len(replay.lines)
                self._at = replay.position if is_all else replay.lines[count - 1].position
                self._state_at = replay.position if replay.is_state and not is_all else None
                return
            # From here to the room no step waits: a line published in between would be given to nobody.
            found = self._hub.missing(self.channel, replay.position, is_told=replay.reason is not None)
            if found is not None and (not found or self._fitting(found) == len(found)):
                if found:
                    self._write(found)
                self._tell_learned(found[-1].position if found else replay.position)
                self._rooms.enter(self.channel)
                return
            if found:
                replay = Replay(tuple(found), None, found[-1].position or replay.position)
            else:
                replay = await self._read_on(replay.position)

    def _note_given(self) -> None:
        for lines in self._unnoted:
            self._given.extend(line.position for line in lines)
        self._unnoted.clear()

    def _tell_learned(self, end: str | None) -> None:
        """Tell of forks behind lines given before, known only since: the room told its subscribers alone."""
        places = self._hub.forks(self.channel)
        if places:
            self._note_given()
        for place in places:
            if place in self._given.names and place not in self._forks:
                self._transport.write(self._gap(place, end, Reason.DIVERGED))

    async def _read_on(self, at: str) -> Replay:
        """Read the lines after ``at`` from the log, for the room forgot some; lines given before are left out."""
        try:
            replay = await self.read(Since(at, has_stayed=True))
        except BusError:
            await asyncio.sleep(_RETRY_S)
            return Replay((), None, at)
        if replay.reason is None:
            return replay
        state = await self._patiently(FromState(anew=True)) if self._with_state else None
        if replay.gap_after is None and at not in self._forks:
            shown = replay if state is None else state
            end = shown.lines[0].position if shown.lines and state is None else shown.position
            self._transport.write(self._gap(at, end, replay.reason))
        if state is not None:
            self._tell_state(state, anew=True)
        return replay if state is None else state

    async def _rest_of_state(self, at: str, state_at: str) -> Replay:
        """Return what is left of the state that stands at ``state_at``, behind the line at ``at``; or a whole state.

        Lines are left out that a newer one has taken the place of: the newer one stands in the log behind the state.
        """
        # decisions/0102: no client slow to read holds a state, so it is read anew. The lines of the first state are
        # those of the second up to the same position, where the log goes on from there.
        goes_on = (await self._patiently(Since(state_at, has_stayed=True))).reason is None
        state = await self._patiently(FromState(anew=True))
        if not goes_on:
            self._tell_state(state, anew=True)
            return state
        span = order(at), order(state_at)
        left = [it for it in state.lines if span[0] < order(it.position or BEGINNING) <= span[1]]
        rest = replace(state, lines=tuple(left), position=state_at)
        self._tell_state(rest, anew=False)
        return rest

    async def _patiently(self, start: Start) -> Replay:
        """Return the replay from ``start``, whenever Redis can be reached; an empty one for a client that left."""
        while self.is_wanted:
            try:
                return await self._hub.replay(self.channel, start)
            except BusError:  # a part of a state is no state: there is no place in the log to go on from
                await asyncio.sleep(_RETRY_S)
        return Replay((), None, BEGINNING)

    def _tell_state(self, state: Replay, *, anew: bool) -> None:
        values = (state.position, len(state.lines), state.truncated, anew)
        notice = Notice.of(NoticeName.ROOM_STATE, *values, room=self.channel.name)
        self._transport.write(self._transport.dialect.say(notice))

    def _gap(self, start: str, end: str | None, reason: Reason) -> bytes:
        self._hub.told[reason] += 1
        self._hub.repairs.told_one(self.channel, start, end, reason, self._transport.name)
        return self._transport.dialect.say(gap(self.channel.name, start, end, reason))

    async def _give_lines(self, replay: Replay, slot: Slot) -> int | None:
        """Give lines; return the number of given lines where the client gives way to others, None for all lines."""
        left, gaps = replay.lines, self._gaps(replay)
        while left and self.is_wanted:
            left = left[self._give_piece(left, gaps, is_state=replay.is_state) :]
            if not await self._is_drained(slot) or (left and slot.is_over):
                return len(replay.lines) - len(left)
        return None

    def _give_piece(self, lines: Sequence[Arrived], gaps: Mapping[str | None, bytes], *, is_state: bool) -> int:
        """Give the first of ``lines``; return how many. Without gaps and states of its own, by frames made for all."""
        if gaps or is_state or self._at_once_bytes != AT_ONCE_BYTES:
            count = self._fitting(lines)
            self._write(lines[:count], gaps)
            self._forks.update(line.position for line in lines[:count] if line.position in gaps)
            return count
        piece = self._hub.renderings.piece(self.channel, self._transport.dialect, lines, _piece)
        self._transport.write(b"", piece.frames)
        return piece.given

    def _gaps(self, replay: Replay) -> Mapping[str | None, bytes]:
        """Return the gaps to be told behind lines, where the following events are lost, by the lines' positions."""
        if not replay.forks or not replay.lines:
            return _NO_GAPS
        following = [line.position for line in replay.lines[1:]] + [replay.position]
        return {
            line.position: self._gap(line.position, end, Reason.DIVERGED)
            for line, end in zip(replay.lines, following, strict=True)
            if line.position is not None and line.position in replay.forks
        }

    async def _is_drained(self, slot: Slot | None) -> bool:
        """Wait until the client has read most of the written lines; tell whether the slot lasted until then.

        False for a client that wants no more. Without a ``slot`` the wait has no end.
        """
        while self.is_wanted:
            if self._transport.takes_more:
                return True
            # decisions/0042: looks, where an unsubscribe could cancel the task: the task may be opening the room, and
            # for other clients as well.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._transport.drained()
                    return True
            if slot is not None and slot.is_over:
                return False
        return False

    def _fitting(self, lines: Sequence[Arrived]) -> int:
        """Return how many of ``lines`` may be written at once: at least the first."""
        return _fitting(lines, self._at_once_bytes)

    def _write(self, lines: Sequence[Arrived], gaps: Mapping[str | None, bytes] = _NO_GAPS) -> None:
        self._transport.write(_frames(self._transport.dialect, lines, gaps))


def at_once(hub: Hub, channel: Channel, dialect: Dialect, start: Since) -> AtOnce | None:
    """Return a short replay of what is at hand, for a client that comes back; None where a step may have to wait.

    The caller joins the room before any wait: a line published in between would be given to nobody.
    """
    replay = hub.replay_at_hand(channel, start)
    if replay is None or hub.forks(channel):
        return None
    frames, behind = b"", hub.missing(channel, replay.position, is_told=False)
    if replay.lines:
        piece = hub.renderings.piece(channel, dialect, replay.lines, _piece)
        if piece.given < len(replay.lines):
            return None
        frames = piece.frames
    if behind:
        frames += _frames(dialect, behind, _NO_GAPS)
    return None if behind is None or len(frames) > AT_ONCE_BYTES else AtOnce(replay, frames)


def _fitting(lines: Sequence[Arrived], at_once_bytes: int) -> int:
    sizes = accumulate(len(line.line) for line in lines[:_AT_ONCE_LINES])
    return max(sum(1 for size in takewhile(lambda size: size <= at_once_bytes, sizes)), min(1, len(lines)))


def _frames(dialect: Dialect, lines: Sequence[Arrived], gaps: Mapping[str | None, bytes]) -> bytes:
    frames = ((dialect.frame(arrived.line), gaps.get(arrived.position)) for arrived in lines)
    return b"".join(frame for pair in frames for frame in pair if frame is not None)


def _piece(dialect: Dialect, lines: Sequence[Arrived]) -> Piece:
    count = _fitting(lines, AT_ONCE_BYTES)
    return Piece(_frames(dialect, lines[:count], _NO_GAPS), count)

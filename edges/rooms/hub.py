"""The rooms of an edge, opened on demand and closed when empty.

A room is opened by its first subscriber (subscribe, wait for Redis' confirmation, read where the log ends) and closed
``linger_s`` after the last subscriber left, under the room's lock and with a second look. Lines from Redis are
``edges/rooms/arrivals.py``'s, writing to subscribers is ``edges/rooms/fanout.py``'s, replays are
``edges/rooms/replays.py``'s.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence

from bus.channel import Channel
from bus.envelope import Arrived
from bus.errors import BusUnavailable
from bus.log.log import Log
from bus.log.replay import Replay, Since, Start, Tail
from bus.position import BEGINNING, Reason
from bus.redis.subscriber import Subscriber
from bus.tasks import Spawn
from edges.limits.floods import Floods
from edges.limits.rates import LimitReached
from edges.limits.replay_slots import Slots
from edges.rooms.arrivals import Arrivals
from edges.rooms.barrier import Barrier
from edges.rooms.fanout import Fanout
from edges.rooms.given import Given
from edges.rooms.limits import ROOM_LIMITS, RoomLimits
from edges.rooms.log_reads import LogReads
from edges.rooms.recent import RECENT_LINES
from edges.rooms.recovery import Recovery
from edges.rooms.renderings import Renderings
from edges.rooms.repairs import Repairs
from edges.rooms.replays import Replays
from edges.rooms.ring import Ring
from edges.rooms.room import Room, RoomSubscriber
from edges.rooms.sampler import Sampler
from edges.rooms.sequencer import Item
from edges.rooms.statistics import HubStatistics, Totals
from edges.rooms.sums import Sums, statistics_of
from edges.rooms.tallies import Tallies
from edges.rooms.traced import TracedLine, TracedLines

__all__ = ["Hub"]

_logger = logging.getLogger("edgebus.edges")


class Hub:
    """The rooms of one edge.

    Args:
        log: the connection for reading logs and marking forks.
        link: subscribes; the link's ``deliver`` must end in the hub's.
        spawn: runs a task, and owns the task.
        limits: the bounds of all rooms together, and of each room.
        linger_s: how long a room without subscribers stays open.
        tallies: counts by family; None: of this hub alone.
        is_sampled: whether the lateness of a sample of events is measured: for metrics that are shown.
        floods: sums up what is told of rooms; None: of this hub alone.
        traced: gets each line with a trace that is kept, once the line was handed on; neither waits nor raises.
        ring: sends to many subscribers; None: the kernel is called for each.

    Attributes:
        repairs: the lines that rooms lacked, counted.
        log_reads: reads logs; requests are answered by the same reader.
        renderings: the frames of replays.
        replay_slots: for the subscribers given a replay.
        tallies: counts by family.
        told: gaps that single clients were told, by reason; those of whole rooms are counted in the rooms.
        activity: the rooms with events, while an operator looks.

    """

    def __init__(  # noqa: PLR0913 (what the rooms stand on)
        self,
        log: Log,
        link: Subscriber,
        spawn: Spawn,
        *,
        limits: RoomLimits = ROOM_LIMITS,
        linger_s: float = 1.0,
        tallies: Tallies | None = None,
        is_sampled: bool = True,
        floods: Floods | None = None,
        traced: Callable[[TracedLine], None] = lambda _: None,
        ring: Ring | None = None,
    ) -> None:
        self._link, self._spawn = link, spawn
        self.log_reads, self.renderings = LogReads(log), Renderings()
        self._barrier = Barrier(link, self.log_reads, lambda channel: channel.redis.encode() in self._rooms)
        self.repairs = Repairs(Floods(_logger) if floods is None else floods)
        self._recovery = Recovery(
            log, link, spawn, self.log_reads, self._write_waiting, self._barrier.wait, self.repairs.repaired
        )
        self._replays = Replays(self.log_reads, self._barrier, self._recovery, self._room, self.open)
        self._linger_s = linger_s
        self._max_open_rooms, self._backlog_bytes = limits.rooms, limits.backlog_bytes
        self.replay_slots = Slots("max_replays", limits.replays)
        self._rooms: dict[bytes, Room] = {}
        self._empty: dict[bytes, Room] = {}
        """Open rooms without subscribers: four times a second a look at these few, not at every room."""
        self._fanout = Fanout(self._write_waiting, ring)
        self._occupied, self._closed = 0, Sums()
        self.tallies, self.told = Tallies() if tallies is None else tallies, Counter[Reason]()
        sampler = Sampler(self.tallies, self._rooms.get) if is_sampled else None
        self._arrivals = Arrivals(
            self._rooms, self._fanout, self._recovery.begin, limits.line_bytes, TracedLines(traced), sampler
        )
        self.activity = self._arrivals.activity

    def deliver(self, batch: Sequence[tuple[bytes, bytes]]) -> None:
        """Hand the lines of one read from Redis to the subscribers of their rooms; neither waits nor raises."""
        self._arrivals.deliver(batch)

    @property
    def channels(self) -> list[Channel]:
        """The channels of all open rooms."""
        return [room.channel for room in self._rooms.values() if room.is_open]

    @property
    def occupied(self) -> int:
        """How many rooms have subscribers."""
        # A running number: health is asked for often, by strangers too, and a count would look at every room.
        return self._occupied

    @property
    def totals(self) -> Totals:
        """The running numbers: read once a second by whoever looks, without a look at rooms."""
        fanout, arrivals = self._fanout, self._arrivals
        return Totals(arrivals.lines, fanout.deliveries, arrivals.gaps, fanout.sent_bytes, fanout.writes)

    @property
    def rooms(self) -> list[Room]:
        """The rooms at this moment, open or about to be."""
        return list(self._rooms.values())

    def room(self, channel: Channel) -> Room | None:
        """Return the open room of a channel."""
        return self._room(channel)

    def statistics(self) -> HubStatistics:
        """Return the counters, after a look at every room."""
        sums, counted = self._closed.with_rooms(self._rooms.values()), (self._fanout, self._arrivals.drops, self.told)
        lines, reads = self._arrivals.lines, self.log_reads.count
        return statistics_of(sums, *counted, rooms=self._occupied, lines=lines, reads=reads)

    # Joining and leaving.

    def join_now(self, channel: Channel, subscriber: RoomSubscriber) -> Room | None:
        """Let ``subscriber`` into an open room, and return the room; None, and no change, where the room is closed."""
        key = channel.redis.encode()
        room = self._rooms.get(key)
        if room is None or not room.is_open:
            return None
        if room.empty_since is not None:
            room.empty_since = None
            self._occupied += 1
            del self._empty[key]
        room.add(subscriber)
        return room

    async def open(self, channel: Channel, start: Start | None = None) -> Tail | None:
        """Return when the room is open; the caller then joins with ``join_now``, before any further wait.

        Returns:
            The tail that was read for a reader that begins at ``start``; None where the room was open already.

        Raises:
            BusUnavailable: Redis cannot be reached; then the room is open for no caller.
            LimitReached: there are too many rooms already.
            BusError: Redis refused.

        """
        key = channel.redis.encode()
        # The room under the lock may have been closed, or failed to open, while this caller waited: then a new one.
        while True:
            room = self._rooms.get(key)
            if room is None:
                room = self._new_room(key, channel)
            async with room.lock:
                if self._rooms.get(key) is not room:
                    continue
                if room.is_open:
                    return None
                tail = await self._open(key, room, start)
                self._note_empty(key, room)
                return tail

    def _new_room(self, key: bytes, channel: Channel) -> Room:
        # decisions/0034: rooms remember lines, so clients that subscribe to ever new names would decide the memory.
        if len(self._rooms) >= self._max_open_rooms:
            raise LimitReached("max_open_rooms", f"the edge has {self._max_open_rooms} rooms open; try again later")
        room = self._rooms[key] = Room(channel, backlog_bytes=self._backlog_bytes, tally=self.tallies.of(channel))
        return room

    async def _open(self, key: bytes, room: Room, start: Start | None) -> Tail | None:
        try:
            # decisions/0015: lines that come before the second confirmation are held, and sorted by the end read.
            await self._link.subscribe(room.channel.redis)
            end = await self._barrier.end(room.channel, start)
            room.begin(end.head)
        finally:
            if not room.is_open:
                del self._rooms[key]
                self._link.forget(room.channel.redis)

        if not room.sequencer.is_in_sync:
            self._recovery.begin(room)
        if end.tail is not None:
            self._spawn(self.log_reads.keep_alive(room.channel), f"keep {room.channel.redis}")
        return end.tail

    def leave(self, channel: Channel, subscriber: RoomSubscriber) -> None:
        """Let ``subscriber`` out; the last subscriber out begins the room's linger."""
        key = channel.redis.encode()
        room = self._rooms.get(key)
        if room is None or not len(room):
            return
        room.remove(subscriber)
        if not len(room):
            self._occupied -= 1
            self._note_empty(key, room)

    def suspend(self, channel: Channel, subscriber: RoomSubscriber) -> None:
        """Hand no more lines of a room to ``subscriber`` until ``readmit``; a stranger to the room is ignored."""
        room = self._room(channel)
        if room is not None:
            room.suspend(subscriber)

    def readmit(self, channel: Channel, subscriber: RoomSubscriber) -> list[Item]:
        """Hand lines of a room to ``subscriber`` again; return the lines and notices to write before all others."""
        room = self._room(channel)
        return [] if room is None else room.readmit(subscriber)

    def note_way(self) -> None:
        """Take note that frames go another way to some subscriber from now on."""
        self._fanout.note_way()

    def kept_bytes(self, channel: Channel, subscriber: RoomSubscriber) -> int:
        """Return the bytes that the room of ``channel`` keeps for a slow ``subscriber``."""
        room = self._room(channel)
        return 0 if room is None else room.kept_bytes(subscriber)

    def _note_empty(self, key: bytes, room: Room) -> None:
        room.empty_since = asyncio.get_running_loop().time()
        self._empty[key] = room

    async def close_empty(self) -> None:
        """Close the rooms that have lingered long enough. Called now and then by the edge.

        Raises:
            BusUnavailable: Redis is away; the rooms that had events stay open.
            BusError: Redis refused; likewise.

        """
        self.log_reads.forget_stale()
        self.renderings.forget_stale()
        if self._recovery.owes_comparison:
            return
        # decisions/0085: events that a room had before the link went may be in no log, and the loss of the link may not
        # be known yet. So a room is compared before the room is forgotten, and the logs are asked once more.
        now = asyncio.get_running_loop().time()
        due = [
            (key, room)
            for key, room in self._empty.items()
            if room.empty_since is not None and not len(room) and now - room.empty_since >= self._linger_s
        ]
        await asyncio.gather(*(self._close_if_empty(key, room) for key, room in due if not room.sequencer.has_heard))
        heard = [room for _, room in due if room.sequencer.has_heard]
        settled = set(await self._recovery.settle(heard)) if heard else set()
        await asyncio.gather(*(self._close_if_empty(key, room) for key, room in due if room in settled))

    async def _close_if_empty(self, key: bytes, room: Room) -> None:
        async with room.lock:
            if len(room) or self._rooms.get(key) is not room or not room.is_open or self._recovery.owes_comparison:
                return
            room.is_open = False
            del self._rooms[key], self._empty[key]
            self._closed.add(room)
            try:
                await self._link.unsubscribe(room.channel.redis)
            except BusUnavailable:
                _logger.debug("unsubscribed by the loss of the link", extra={"channel": room.channel.name})

    # Recovery.

    def forks(self, channel: Channel) -> Sequence[str]:
        """Return the places where the log of a room lost events, as far as the room knows; usually none."""
        room = self._room(channel)
        return () if room is None else room.sequencer.forks.places

    def given(self, channel: Channel, position: str) -> Given:
        """Return what a subscriber that left the room of ``channel`` at ``position`` was given there."""
        room = self._room(channel)
        return Given(RECENT_LINES).up_to(position) if room is None else room.sequencer.given_up_to(position)

    def missing(self, channel: Channel, position: str, *, is_told: bool) -> Sequence[Arrived] | None:
        """Return the lines after ``position`` that the room of ``channel`` remembers; None when the room cannot say.

        Args:
            channel: the room's.
            position: where a replay ended.
            is_told: whether the replay came with a reason.

        """
        room = self._room(channel)
        if room is None or (room.sequencer.forks.crosses(position, has_stayed=True) and not is_told):
            return None
        was_absent = position.endswith("-0")
        found = room.sequencer.since(position, was_absent=was_absent)
        if found is None and was_absent and room.sequencer.is_in_sync:  # the log is gone, and no line says so
            room.sequencer.lose_sync()
            self._recovery.begin(room)
        return found

    def _room(self, channel: Channel) -> Room | None:
        room = self._rooms.get(channel.redis.encode())
        return room if room is not None and room.is_open else None

    async def replay(self, channel: Channel, start: Start) -> Replay:
        """Return the replay for a subscriber that begins at ``start``, see ``Replays.replay``."""
        return await self._replays.replay(channel, start)

    def replay_at_hand(self, channel: Channel, start: Since) -> Replay | None:
        """Return the replay for a subscriber that comes back, where no step waits, see ``Replays.at_hand``."""
        return self._replays.at_hand(channel, start)

    async def compare(self) -> None:
        """Compare every room with its log, after the link was away.

        Raises:
            BusUnavailable: Redis is away again.

        """
        await self._recovery.compare(self._logged_rooms())

    @property
    def is_compared(self) -> bool:
        """Whether rooms were compared with their logs on the link that is up."""
        return self._recovery.is_compared

    @property
    def owes_comparison(self) -> bool:
        """Whether the link was lost since rooms were compared last: events may be missing unknown to all."""
        return self._recovery.owes_comparison

    async def look(self) -> None:
        """Look for forks that other edges marked after the last comparison, and tell subscribers of them.

        Raises:
            BusUnavailable: Redis is away.
            BusError: Redis refused.

        """
        await self._recovery.look(self._logged_rooms())

    async def settle(self) -> bool:
        """Have each fork marked that only rooms of this edge know of; tell whether all such forks are marked.

        Raises:
            BusUnavailable: Redis is away.
            BusError: Redis refused.

        """
        heard = self._heard_rooms()
        if not heard:
            return True
        await self._recovery.compared()
        return len(await self._recovery.settle(heard)) == len(heard)

    @property
    def logged(self) -> int:
        """How many rooms have a log to be compared with."""
        return len(self._logged_rooms())

    @property
    def heard(self) -> int:
        """How many rooms stand at an event: after a failover the event may be in no log."""
        return len(self._heard_rooms())

    def _heard_rooms(self) -> list[Room]:
        return [room for room in self._logged_rooms() if room.sequencer.has_heard]

    def link_went(self) -> None:
        """Take note that the link is down: before rooms were compared again, nobody is told of a whole replay."""
        self._recovery.link_went()

    def _logged_rooms(self) -> list[Room]:
        return [room for room in self._rooms.values() if room.is_open and room.channel.retention.kind != "live"]

    def _write_waiting(self, room: Room) -> bool:
        """Write the lines that a room lacked; tell whether some subscribers catch up alone, as the lines are many."""
        if not room.passes:
            self.repairs.gaps(room.channel, room.sequencer.waiting)
        # A long repair in one write would close a subscriber that reads at a fair pace as slow.
        behind, at = [] if room.passes else self._behind(room), room.position
        for subscriber in behind:
            self.leave(room.channel, subscriber)
        self._fanout.flush(room)
        self._fanout.uncork()
        for subscriber in behind:
            subscriber.recover(room.channel, at or BEGINNING)
        return bool(behind)

    def _behind(self, room: Room) -> list[RoomSubscriber]:
        if room.channel.retention.kind != "history":
            return []
        size = sum(len(item) for item in room.sequencer.waiting if isinstance(item, bytes))
        return [
            subscriber
            for subscribers in room.subscribers.values()
            for subscriber in subscribers
            if not subscriber.takes(size)
        ]

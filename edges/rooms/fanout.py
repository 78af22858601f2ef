"""Writing the lines that wait in rooms to subscribers: encoded once per dialect, in slices for large rooms."""

import asyncio
import logging
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Final

from edges.protocol.envelope import Dialect
from edges.rooms.pages import Pages
from edges.rooms.ring import Ring
from edges.rooms.room import Room, RoomSubscriber, Sole
from edges.rooms.sequencer import Item
from edges.rooms.tick import Tick
from edges.rooms.ways import Sockets, send_some

__all__ = ["Fanout"]

_SLICE_SUBSCRIBERS: Final = 2_000
"""How many subscribers are written to before other work is heard; some 10 ms."""
_FEW: Final = 8
"""With fewer, to know all the ways in advance costs more than to look."""
_KIND_LIMIT: Final = 120
_KINDS_LIMIT: Final = 100


_logger = logging.getLogger("edgebus.edges")


class Fanout:
    """Hands frames to subscribers, and lets each write once when all rooms had a turn.

    Attributes:
        deliveries: frames times subscribers, since the start.
        sent_bytes: bytes of these.
        writes: pieces in which these were written; frames of one read from Redis are joined.

    """

    __slots__ = (
        "_after_pass",
        "_corked",
        "_has_turned",
        "_moment",
        "_pages",
        "_ring",
        "_tick",
        "_told",
        "deliveries",
        "sent_bytes",
        "writes",
    )

    def __init__(self, after_pass: "Callable[[Room], object] | None" = None, ring: Ring | None = None) -> None:
        self._after_pass = after_pass or self.flush
        self._tick: Tick[RoomSubscriber] = Tick()
        self._pages, self._ring = Pages(), ring
        self._corked: list[RoomSubscriber] = []
        self._has_turned = False
        self._told: set[str] = set()
        self._moment = 0
        self.deliveries = self.sent_bytes = self.writes = 0

    def note_way(self) -> None:
        """Take note that the way to some subscriber is another from now on."""
        self._moment += 1
        if self._tick.is_used or self._corked:
            self._turn()

    def _turn(self) -> None:
        """Have subscribers of several rooms keep all frames of this tick, so that none overtakes another."""
        self._has_turned = True
        tick, self._tick = self._tick, Tick()
        for subscriber, frames in tick:
            self._deliver(subscriber, frames)

    def flush(self, room: Room) -> None:
        """Write the lines that wait in a room, unless an earlier pass through the subscribers is still under way.

        A bug of ours closes the subscribers that may lack a line, and no others; those come back for the line. Where
        the line was written before the bug, a subscriber is given no line twice.
        """
        if room.passes:
            return
        try:
            self._write_items(room, room.take())
        except Exception as error:  # noqa: BLE001 (see above)
            self._give_up(room, error)

    def _write_items(self, room: Room, items: Sequence[Item]) -> None:
        for dialect, subscribers in room.subscribers.items():
            frames = (
                [frame for item in items if (frame := self._frame(dialect, item)) is not None] if subscribers else []
            )
            if frames:
                self._begin_pass(room, dialect, b"".join(frames), len(frames))

    def pass_on_together(self, room: Room, lines: Sequence[bytes]) -> None:
        """Write lines that wait for nothing, in one piece."""
        try:
            self._write_items(room, lines)
        except Exception as error:  # noqa: BLE001 (see flush)
            self._give_up(room, error)

    def pass_on(self, room: Room, line: bytes, *, is_alone: bool) -> None:
        """Write a line that waits for nothing; as ``flush`` does, without a list of items.

        With ``is_alone`` there is no other line in the tick, so nothing is gained by a look at others before.
        """
        try:
            if room.sole is not None:
                self._pass_to(room.sole, line, is_alone=is_alone)
                return
            for dialect, subscribers in room.subscribers.items():
                if subscribers and (frame := self._frame(dialect, line)) is not None:
                    self._begin_pass(room, dialect, frame, 1)
        except Exception as error:  # noqa: BLE001 (see flush)
            self._give_up(room, error)

    def pass_on_apart(
        self, dialects: Iterable[Dialect], subscribers: Sequence[RoomSubscriber], lines: Sequence[bytes]
    ) -> bool:
        """Have ``uncork`` write a line to each of some subscribers of one room; else tell that nothing was done."""
        sockets = [plain for it in subscribers if (plain := it.direct) is not None]
        if len(sockets) < len(lines):
            return False
        try:
            frames = [frame for it, line in zip(dialects, lines, strict=True) if (frame := it.frame(line)) is not None]
        except Exception:  # noqa: BLE001 (told of where each line is written by itself)
            return False
        if len(frames) < len(lines):
            return False
        self.deliveries += len(frames)
        self.sent_bytes += sum(map(len, frames))
        self.writes += len(frames)
        self._tick.add_each(sockets, frames, subscribers)
        return True

    def _pass_to(self, sole: Sole, line: bytes, *, is_alone: bool) -> None:
        # As `_frame`, `_write` and `_count`, without a list, a loop and calls.
        subscriber = sole.subscriber
        try:
            frame = sole.dialect.frame(line)
        except Exception as error:  # noqa: BLE001 (one line's fault must not be the room's)
            self.tell(error)
            return
        if frame is None:
            return
        if (plain := subscriber.direct_joined if is_alone else subscriber.direct) is None:
            self._write((subscriber,), frame, 1)
            return
        self.deliveries += 1
        self.sent_bytes += len(frame)
        self.writes += 1
        if not is_alone:
            self._tick.add(plain, frame, subscriber)
        elif rest := frame[send_some(plain, frame) :]:
            self._deliver(subscriber, rest)

    def _begin_pass(self, room: Room, dialect: Dialect, frames: bytes, count: int) -> None:
        subscribers = room.subscribers[dialect]
        if len(subscribers) > _SLICE_SUBSCRIBERS:
            room.begin_pass()
            self._write_slices(room, subscribers, list(subscribers), frames, count)
            return
        if len(subscribers) < _FEW:
            self._write(list(subscribers), frames, count)
            return
        ways = room.ways(dialect, self._moment)
        self._count(len(subscribers) - len(ways.others), frames, count)
        if ways.at_once.plain:
            self._tick.add_all(ways.at_once, frames)
        if ways.joined.plain:
            self._join(ways.joined, frames)
        if ways.others:
            self._write(ways.others, frames, count)

    def _give_up(self, room: Room, error: Exception) -> None:
        self.tell(error, room)
        self._fail(subscriber for subscribers in list(room.subscribers.values()) for subscriber in list(subscribers))

    def _frame(self, dialect: Dialect, item: Item) -> bytes | None:
        """Return the frame of an item, None where the dialect has no word for the item, or fails at the item."""
        try:
            return dialect.frame(item) if isinstance(item, bytes) else dialect.say(item)
        except Exception as error:  # noqa: BLE001 (one line's fault must not be the room's)
            self.tell(error)
            return None

    def hand(self, subscribers: Sequence[RoomSubscriber], frames: bytes, present: Container[RoomSubscriber]) -> None:
        """Write frames to subscribers that are still ``present``, the later ones after other work was heard."""
        some, rest = subscribers[:_SLICE_SUBSCRIBERS], subscribers[_SLICE_SUBSCRIBERS:]
        self._write([subscriber for subscriber in some if subscriber in present], frames, 1)
        self.uncork()
        if rest:
            asyncio.get_running_loop().call_soon(self.hand, rest, frames, present)

    def _write(self, subscribers: Sequence[RoomSubscriber], frames: bytes, count: int) -> None:
        self._count(len(subscribers), frames, count)
        joined: Sockets[RoomSubscriber] = Sockets()
        for subscriber in subscribers:
            if (plain := subscriber.direct) is not None:
                self._tick.add(plain, frames, subscriber)
            elif (plain := subscriber.direct_joined) is not None:
                joined.add(plain, subscriber)
            else:
                self._deliver(subscriber, frames)
        if joined.plain:
            self._join(joined, frames)

    def _join(self, sockets: Sockets[RoomSubscriber], frames: bytes) -> None:
        """Have frames written by ``uncork``, in one piece with what other rooms have for the same subscriber."""
        if not self._has_turned:
            self._tick.join(sockets, frames)
            return
        for subscriber in sockets.owners:
            self._deliver(subscriber, frames)

    def _count(self, members: int, frames: bytes, count: int) -> None:
        # Once for all subscribers: what is counted per delivery costs every delivery.
        self.deliveries += members * count
        self.sent_bytes += members * len(frames)
        self.writes += members

    def _deliver(self, subscriber: RoomSubscriber, frames: bytes) -> None:
        try:
            if subscriber.deliver(frames):
                self._corked.append(subscriber)
        except Exception as error:  # noqa: BLE001 (one subscriber's fault must not be the others')
            self.tell(error)
            self._fail((subscriber,))

    def _write_slices(
        self,
        room: Room,
        present: Container[RoomSubscriber],
        subscribers: Sequence[RoomSubscriber],
        frames: bytes,
        count: int,
    ) -> None:
        """Write to the first subscribers, and to the rest after other work was heard.

        A subscriber that left meanwhile gets no frame, also after coming back: the new position is behind the frames.
        """
        some, rest = subscribers[:_SLICE_SUBSCRIBERS], subscribers[_SLICE_SUBSCRIBERS:]
        came = room.came_in_pass
        self._write(
            [subscriber for subscriber in some if subscriber in present and subscriber not in came], frames, count
        )
        if rest:
            asyncio.get_running_loop().call_soon(self._write_slices, room, present, rest, frames, count)
        else:
            room.end_pass()
            self._after_pass(room)
        self.uncork()

    def uncork(self) -> None:
        """Write the frames that were put together or kept back, in one piece for each subscriber."""
        if self._tick.is_used:
            self._send()
        corked, self._corked = self._corked, []
        self._has_turned = False
        for subscriber in corked:
            try:
                self.writes -= subscriber.uncork() - 1
            except Exception as error:  # noqa: BLE001 (likewise)
                self.tell(error)
                self._fail((subscriber,))

    def _send(self) -> None:
        tick, self._tick = self._tick, Tick()
        try:
            spared, rests = tick.send(self._pages, self._ring)
        except Exception as error:  # noqa: BLE001 (see flush)
            self.tell(error)
            self._fail(subscriber for subscriber, _ in tick)
            return
        self.writes -= spared
        for subscriber, rest in rests:
            self._deliver(subscriber, rest)

    def _fail(self, subscribers: Iterable[RoomSubscriber]) -> None:
        for subscriber in subscribers:
            try:
                subscriber.fail()
            except Exception as error:  # noqa: BLE001 (nothing more can be done for it)
                self.tell(error)

    def tell(self, error: Exception, room: Room | None = None) -> None:
        """Log a bug of ours, once of a kind."""
        kind = f"{type(error).__name__}: {error}"[:_KIND_LIMIT]
        if kind in self._told or len(self._told) >= _KINDS_LIMIT:
            return
        self._told.add(kind)
        fields = {} if room is None else {"channel": room.channel.name}
        _logger.error("lines could not be handed on", exc_info=error, extra=fields)

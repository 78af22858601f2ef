"""Writing what waits in rooms to their members: encoded once per dialect, in slices where there are many of them."""

import asyncio
import logging
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Final

from edges.protocol.envelope import Dialect, text_frame
from edges.rooms.room import Member, Room
from edges.rooms.sequencer import Item

__all__ = ["Fanout"]

_SLICE_MEMBERS: Final = 2_000
"""How many members are written to before other work is heard; some 10 ms."""
_KIND_LIMIT: Final = 120
_KINDS_LIMIT: Final = 100


_logger = logging.getLogger("edgebus.edges")


class Fanout:
    """Hands frames to members, and lets each of them write once when all rooms had their turn.

    Attributes:
        deliveries: frames times members, since the start.

    """

    __slots__ = ("_after_pass", "_corked", "_told", "deliveries")

    def __init__(self, after_pass: "Callable[[Room], object] | None" = None) -> None:
        self._after_pass = after_pass or self.flush
        self._corked: list[Member] = []
        self._told: set[str] = set()
        self.deliveries = 0

    def flush(self, room: Room) -> None:
        """Write what waits in a room, unless an earlier pass through its members is still under way.

        A bug of ours ends no more than it has to: the members that may have missed something are closed, and come back
        for that. Whoever was written to before has it already, and is given nothing twice.
        """
        if room.passes:
            return
        try:
            self._flush(room)
        except Exception as error:  # noqa: BLE001 (see above)
            self.tell(error, room)
            self._fail(member for members in list(room.members.values()) for member in list(members))

    def _flush(self, room: Room) -> None:
        items = room.take()
        for dialect, members in room.members.items():
            frames = [frame for item in items if (frame := self._frame(dialect, item)) is not None] if members else []
            if not frames:
                continue
            if len(members) > _SLICE_MEMBERS:
                room.passes += 1
                self._write_slices(room, members, list(members), b"".join(frames), len(frames))
            else:
                self._write(list(members), b"".join(frames), len(frames))

    def _frame(self, dialect: Dialect, item: Item) -> bytes | None:
        """Return the frame of an item, None where a dialect has no word for it, or trips over it."""
        try:
            return dialect.frame(item) if isinstance(item, bytes) else text_frame(dialect.write(item))
        except Exception as error:  # noqa: BLE001 (one line's fault must not be the room's)
            self.tell(error)
            return None

    def _write(self, members: Sequence[Member], frames: bytes, count: int) -> None:
        self.deliveries += len(members) * count
        for member in members:
            try:
                if member.deliver(frames):
                    self._corked.append(member)
            except Exception as error:  # noqa: BLE001 (one member's fault must not be the others')
                self.tell(error)
                self._fail((member,))

    def _write_slices(
        self, room: Room, present: Container[Member], members: Sequence[Member], frames: bytes, count: int
    ) -> None:
        """Write to the first members, and to the rest after other work was heard.

        Who left meanwhile gets nothing, nor who left and came back: its new position is behind these frames.
        """
        some, rest = members[:_SLICE_MEMBERS], members[_SLICE_MEMBERS:]
        came = room.came_in_pass
        self._write([member for member in some if member in present and member not in came], frames, count)
        if rest:
            asyncio.get_running_loop().call_soon(self._write_slices, room, present, rest, frames, count)
        else:
            room.end_pass()
            self._after_pass(room)
        self.uncork()

    def uncork(self) -> None:
        """Let members write what they kept back."""
        corked, self._corked = self._corked, []
        for member in corked:
            try:
                member.uncork()
            except Exception as error:  # noqa: BLE001 (likewise)
                self.tell(error)
                self._fail((member,))

    def _fail(self, members: Iterable[Member]) -> None:
        for member in members:
            try:
                member.fail()
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

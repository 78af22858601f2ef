"""Writing what waits in rooms to their members: encoded once per dialect, in slices where there are many of them."""

import asyncio
from collections.abc import Container, Sequence
from typing import Final

from edges.dialects import Dialect
from edges.protocol import text_frame
from edges.room import Item, Member, Room

__all__ = ["Fanout"]

_SLICE_MEMBERS: Final = 2_000
"""How many members are written to before other work is heard; some 10 ms."""


class Fanout:
    """Hands frames to members, and lets each of them write once when all rooms had their turn.

    Attributes:
        deliveries: frames times members, since the start.

    """

    __slots__ = ("_corked", "deliveries")

    def __init__(self) -> None:
        self._corked: list[Member] = []
        self.deliveries = 0

    def flush(self, room: Room) -> None:
        """Write what waits in a room, unless an earlier pass through its members is still under way."""
        if room.passes:
            return
        items = room.take()
        for dialect, members in room.members.items():
            frames = [frame for item in items if (frame := _frame(dialect, item)) is not None] if members else []
            if not frames:
                continue
            if len(members) > _SLICE_MEMBERS:
                room.passes += 1
                self._write_slices(room, members, list(members), b"".join(frames), len(frames))
            else:
                self._write(list(members), b"".join(frames), len(frames))

    def _write(self, members: Sequence[Member], frames: bytes, count: int) -> None:
        self.deliveries += len(members) * count
        for member in members:
            if member.deliver(frames):
                self._corked.append(member)

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
            self.flush(room)
        self.uncork()

    def uncork(self) -> None:
        """Let members write what they kept back."""
        corked, self._corked = self._corked, []
        for member in corked:
            member.uncork()


def _frame(dialect: Dialect, item: Item) -> bytes | None:
    return dialect.frame(item) if isinstance(item, bytes) else text_frame(dialect.write(item))

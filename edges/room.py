"""A room: who in this edge watches a channel, and where in the channel's log the room stands. Waits for nothing."""

import asyncio
from collections import deque
from typing import Final, Protocol

from bus.channel import Channel
from bus.envelope import Arrived
from bus.log import Head
from bus.position import Step, step
from edges.dialects import Dialect

__all__ = ["Member", "Room"]

_RECENT: Final = 256


class Member(Protocol):
    """Who can be in a room."""

    @property
    def dialect(self) -> Dialect:
        """What the member speaks at the moment."""

    def deliver(self, frames: bytes) -> bool:
        """Take frames; tell whether it keeps them until ``uncork``. Never waits and never raises."""

    def uncork(self) -> None:
        """Write what was kept, in one piece."""


class Room:
    """Members by dialect, lines that wait to be written, and the position.

    A newcomer stands at ``position`` and is shown ``latest``; every line after that is given to it, and none before.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.lock = asyncio.Lock()
        self.members: dict[Dialect, dict[Member, None]] = {}
        self.is_open = False
        self.empty_since: float | None = None
        self.gaps = self.dropped = 0
        self.passes = 0
        self.came_in_pass: set[Member] = set()
        self._newest: str | None = None
        self._newest_before_waiting: str | None = None
        self._latest: bytes | None = None
        self._held: list[Arrived] | None = []
        self._recent: deque[str] = deque(maxlen=_RECENT)
        self._waiting: list[bytes] = []

    def __len__(self) -> int:
        return sum(map(len, self.members.values()))

    @property
    def position(self) -> str | None:
        """Where a member that joins now stands; None on a ``live`` channel. Lines that wait are still to come."""
        return self._newest_before_waiting if self._waiting else self._newest

    @property
    def latest(self) -> bytes | None:
        """The newest line of a ``latest`` channel, for a member that joins now, unless one waits to be given anyway."""
        return None if self._waiting else self._latest

    def add(self, member: Member) -> None:
        """Take a member in; twice is once. What a pass under way still writes was before its position."""
        members = self.members.setdefault(member.dialect, {})
        if self.passes and member not in members:
            self.came_in_pass.add(member)
        members[member] = None

    def remove(self, member: Member) -> None:
        """Let a member go, whatever dialect it came in with; one that is not in is ignored."""
        for members in self.members.values():
            members.pop(member, None)

    def begin(self, head: Head) -> None:
        """Open the room at the end of its log, after every line up to ``head`` has arrived.

        Of what arrived, the lines that follow ``head`` in the chain move the position on; the others are in ``head``.
        None of them waits to be written: nobody was in the room yet.
        """
        held, self._held = self._held or [], None
        self.is_open, self._newest = True, head.position
        self._latest = head.last if self.channel.retention.kind == "latest" else None
        for arrived in held:
            if self._follows(arrived):
                self.accept(arrived)
        self.take()

    def _follows(self, arrived: Arrived) -> bool:
        position, previous = arrived.position, arrived.previous
        if position is None or previous is None or self._newest is None:
            return True
        return step(self._newest, position, previous, ()) is Step.NEXT

    def accept(self, arrived: Arrived) -> bool:
        """Take a line from Redis; tell whether it waits to be written now.

        A duplicate is dropped. A gap is counted, and the line delivered: what is missing stands in the log.
        """
        if self._held is not None:
            self._held.append(arrived)
            return False
        position, previous = arrived.position, arrived.previous
        if position is None or previous is None or self._newest is None:
            return self._wait_with(arrived.line, None)
        match step(self._newest, position, previous, self._recent):
            case Step.DUPLICATE:
                return False
            case Step.GAP if self.channel.retention.kind != "latest":
                self.gaps += 1
        return self._wait_with(arrived.line, position)

    def _wait_with(self, line: bytes, position: str | None) -> bool:
        if not self._waiting:
            self._newest_before_waiting = self._newest
        if position is not None:
            self._recent.append(position)
            self._newest = position
        if self.channel.retention.kind == "latest":
            self._latest = line
        self._waiting.append(line)
        return True

    def take(self) -> list[bytes]:
        """Return the lines that wait, and let none wait."""
        lines, self._waiting = self._waiting, []
        return lines

"""The order of one channel's lines in an edge: where its log stands here, gaps, and recovery from the log. Pure.

Knows no subscribers: lines and notices wait here until the room takes them.
"""

from collections import deque
from collections.abc import Container, Iterable, Sequence
from typing import Final, TypeAlias

from bus.channel import Channel
from bus.envelope import Arrived, read_front
from bus.log.forks import Fork
from bus.log.log import Head
from bus.log.replay import REPLAY_BYTES, Replay
from bus.position import BEGINNING, Reason, Step, milliseconds, order, step, went_back
from edges.protocol.messages import Notice, gap
from edges.rooms.diverged import placed
from edges.rooms.flow import CLOSED, Flow
from edges.rooms.given import Given
from edges.rooms.known_forks import KnownForks
from edges.rooms.recent import RECENT_LINES, Recent

__all__ = ["Item", "Sequencer"]

PENDING_LINES: Final = 2_000
PENDING_BYTES: Final = REPLAY_BYTES
"""The most that is pending while the log is read; lines beyond stand in the log too, and are read from there."""

Item: TypeAlias = bytes | Notice
"""A line that waits to be written, or a notice between two lines."""


class Sequencer:
    """Lines that wait to be written, and the position behind them.

    A newcomer stands at ``position``, is shown ``latest``, and is given every line after ``position`` and none before.
    While the channel is not ``is_in_sync``, lines are pending: lines before are missing, and are read from the log.

    Attributes:
        flow: takes lines that follow, without a call of ``accept``, while nothing waits.
        forks: where the log lost events.
        gaps: how often a line came that did not follow.
        repaired: how many lines were missing, and read from the log.
        told: how often a gap was told, by reason.

    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.flow = Flow()
        self.gaps = self.repaired = 0
        self.told: dict[Reason, int] = {}
        self._has_begun = False
        self._newest: str | None = None
        self._newest_before_waiting: str | None = None
        self._latest: bytes | None = None
        self._keeps_latest = channel.retention.kind == "latest"
        self._pending: deque[Arrived] | None = deque()
        self._pending_bytes = 0
        self._recent = Recent()
        self._given = Given(RECENT_LINES)
        self._positions = self._given.names
        self._overdue: set[str | None] | None = None
        self._waiting: list[Item] = []
        self.forks = KnownForks()

    @property
    def position(self) -> str | None:
        """Where a subscriber that joins now stands; None on a ``live`` channel. Lines that wait are still to come."""
        return self._newest_before_waiting if self._waiting else self.newest

    @property
    def newest(self) -> str | None:
        """The newest position that was accepted; the line may still wait."""
        return self.flow.at.decode() if self.flow.at else self._newest

    @property
    def known(self) -> Container[str]:
        """Positions at which the room stood not long ago, ``newest`` among them."""
        self._look()
        return self._positions

    def given_up_to(self, position: str) -> Given:
        """Return what a subscriber was given that stands at ``position``."""
        self._look()
        return self._given.up_to(position)

    @property
    def has_heard(self) -> bool:
        """Whether the room stands at an event, which a log may lack after a failover."""
        return self.newest is not None and not _is_absent(self.newest)

    @property
    def latest(self) -> bytes | None:
        """The newest line of a ``latest`` channel, for a subscriber that joins now; None while a newer line waits."""
        if self._keeps_latest:
            self._look()
        return None if self._waiting else self._latest

    @property
    def is_in_sync(self) -> bool:
        """Whether lines flow; not while the room opens, nor while missing lines are read."""
        return self._pending is None

    def begin(self, head: Head) -> None:
        """Begin at the end of the log, after every line up to ``head`` has arrived.

        Pending lines that follow ``head`` in the chain move the position on; ``head`` includes the others. No line
        waits to be written: the room had no subscriber yet.
        """
        pending = self._pending or ()
        self._set_pending(None)
        self._has_begun = True
        self._stand_at(head.position)
        self._latest = head.last if self._keeps_latest else None
        self.forks.learn(head.forks)
        for arrived in pending:
            if self._step(arrived) is Step.NEXT:
                self.accept(arrived)
        self.take()
        last = next((arrived.position for arrived in reversed(pending) if arrived.position is not None), self._newest)
        if last != self._newest:  # more lines came than may be pending
            self.lose_sync()

    def since(self, position: str, *, was_absent: bool = False) -> tuple[Arrived, ...] | None:
        """Return the lines between ``position`` and the room's own, None when lines are forgotten.

        ``was_absent``: a read just found no log at ``position``, so every line of the log came later.
        """
        self._look()
        return self._recent.between(position, self.position, was_absent=was_absent)

    def forget_surplus(self) -> None:
        """Remember as many lines as one needs who comes back; to be called now and then.

        Lines that flow are not looked at, so until then the room has those and as many that it looked at before.
        """
        self._recent.keep(RECENT_LINES - len(self.flow.lines))

    def learn(self, forks: Iterable[Fork]) -> bool:
        """Take note of forks that other edges found; tell whether a gap waits to be written for a new fork."""
        new = self.forks.new(forks)
        # decisions/0055: an event of a latest channel stands for all before, so nothing is missing at a fork.
        if not new or not self.is_in_sync or self._keeps_latest or self.newest is None:
            return False
        self._look()
        self.forks.learn(new)
        for fork in new:
            self._tell_gap(fork.position, self._newest, Reason.DIVERGED)
        return True

    def accept(self, arrived: Arrived) -> bool:
        """Take a line from Redis; tell whether it waits to be written now.

        A duplicate is dropped. A line that does not follow is pending, with all later lines, until ``recover``. Typed
        lines have no place in the log and never wait (decisions/0071).
        """
        self._look()
        if self._pending is not None and (arrived.position is not None or not self._has_begun):
            self._put_pending(self._pending, arrived)
            return False
        match self._step(arrived):
            case Step.NEXT:
                self._wait_with(arrived)
                return True
            case Step.DUPLICATE:
                return False
            case Step.GAP:
                self.gaps += 1
                self.lose_sync()
                return self.accept(arrived)

    def lose_sync(self) -> None:
        """Let later lines be pending, until the lines before were compared with a log read after this call."""
        self._look()
        self._overdue = None
        if self._pending is None:
            self._set_pending(deque())

    @property
    def pending_bytes(self) -> int:
        """The size of pending lines; never more than ``PENDING_BYTES``, except for a single line."""
        return self._pending_bytes

    def _put_pending(self, pending: deque[Arrived], arrived: Arrived) -> None:
        pending.append(arrived)
        self._pending_bytes += len(arrived.line)
        while len(pending) > PENDING_LINES or (self._pending_bytes > PENDING_BYTES and len(pending) > 1):
            self._pending_bytes -= len(pending.popleft().line)

    def _set_pending(self, pending: deque[Arrived] | None) -> None:
        """Replace the pending lines; None: let lines flow."""
        self._pending = pending
        self._pending_bytes = sum(len(arrived.line) for arrived in pending or ())

    def begin_recovery(self) -> str | None:
        """Return the position after which the log has to be read now. The read must find all lines that are pending."""
        self._overdue = {arrived.position for arrived in self._pending or ()}
        return self._newest

    def recover(self, replay: Replay, *, now_ms: int = 0, epoch_ms: int = 0) -> bool:
        """Go on from the log's lines after ``newest``, read since ``begin_recovery``; tell whether lines flow again.

        Missing lines of the log wait to be written, in the log's order. A gap is told in the place of lines that are
        lost. A log that was read before the room lost sync (again) changes nothing. ``now_ms`` and ``epoch_ms`` are
        Redis' clock at the read, and the time at which that Redis began.
        """
        overdue, before = self._overdue, self._newest
        if overdue is None or before is None:
            return self.is_in_sync
        lines, reason = self._led_up_to(replay.lines), replay.reason
        if self._keeps_latest or (lines and lines[0].previous == before):
            reason = None
        missing, reason = self._missing(lines, reason)
        if self._keeps_latest and missing and went_back(before, missing[0].position):
            self._tell_gap(before, missing[0].position, Reason.DIVERGED)
        diverged = self._merge(missing, lines, replay.position)
        end, place = (missing[0].position, missing[0].previous) if missing else (replay.position, replay.position)
        if end in diverged:
            reason = Reason.DIVERGED
        elif reason is not None:
            if reason is Reason.DIVERGED:
                self.forks.found(place or BEGINNING, now_ms)
            elif _has_begun_anew(before, replay, epoch_ms):
                self.forks.found(BEGINNING, now_ms)
            self._tell_gap(before, end, reason)
        for line in missing:
            self._give_diverged(diverged.pop(line.position, ()), line.previous, line.position, now_ms)
            self._wait_with(line)
        self._give_diverged(diverged.pop(end, ()), place, end, now_ms)  # where nothing is missing
        # A log absent before and now: the clock of another Redis may be behind, and clients begin at the later answer.
        is_absent = _is_absent(self._newest) and _is_absent(replay.position)
        if reason is not None or replay.reason is not None or is_absent:
            self._stand_at(replay.position)
        is_whole = self._release(now_ms, overdue=set() if missing else overdue)
        is_beyond = self._newest in overdue and self._newest not in {line.position for line in lines}
        if is_whole and is_beyond and not self._keeps_latest:
            # The chain goes on, and the log lacks its end: unless the log is read from there, no edge learns of a fork.
            self.lose_sync()
            return False
        return is_whole

    def _led_up_to(self, lines: Sequence[Arrived]) -> Sequence[Arrived]:
        """Return ``lines`` behind the pending lines that lead up to the first: more may be pending than is read."""
        pending = {arrived.position: arrived for arrived in self._pending or () if arrived.position is not None}
        before: deque[Arrived] = deque()
        at = lines[0].previous if lines else None
        while at in pending and at != self._newest and at not in self._positions:
            before.appendleft(pending.pop(at))
            at = before[0].previous
        return [*before, *lines]

    def _missing(self, lines: Sequence[Arrived], reason: Reason | None) -> tuple[Sequence[Arrived], Reason | None]:
        """Return the lines of a replay that subscribers lack, and why events may be missing before those lines."""
        if self._keeps_latest:
            return [line for line in lines[-1:] if line.position != self._newest], reason
        missing = self._given.unseen(lines, follow=reason is None and not _is_absent(self._newest))
        return missing, reason or (Reason.UNKNOWN if self._given.is_in_doubt(lines, missing) else None)

    def _give_diverged(self, diverged: Sequence[Arrived], place: str | None, end: str | None, now_ms: int) -> None:
        """Give lines that the log lacks between two entries, at ``place`` and ``end``."""
        for line in diverged:
            if self._step(line) is Step.GAP and self._newest is not None:
                self._tell_gap(self._newest, line.position, Reason.UNKNOWN)
            self._wait_with(line)
        if diverged and self._newest is not None:
            self.forks.found(place or BEGINNING, now_ms)
            self._tell_gap(self._newest, end, Reason.DIVERGED)

    def _merge(self, missing: Sequence[Arrived], lines: Sequence[Arrived], end: str) -> dict[str | None, list[Arrived]]:
        """Take lines that were read out of the pending lines.

        Return the diverged lines: pending before a line that was read, and not read (see ``placed``).
        """
        diverged: list[tuple[str, list[Arrived]]] = []
        pending = {arrived.position: arrived for arrived in self._pending or ()}.values()  # a repeated line once
        read = {line.position for line in lines}
        rest: deque[Arrived] = deque()
        for arrived in pending:
            if arrived.position is not None and arrived.position in read:
                diverged.append((arrived.position, list(rest)))
                rest.clear()
            elif arrived.position not in self._positions and not self._is_replaced(arrived, lines):
                rest.append(arrived)
        self._set_pending(rest)
        self.repaired += len({line.position for line in missing} - {arrived.position for arrived in pending})
        return {} if self._keeps_latest else placed(diverged, missing, end)

    def _is_replaced(self, arrived: Arrived, lines: Sequence[Arrived]) -> bool:
        """Tell whether a pending line of a ``latest`` channel is older than the line that was read."""
        newest = lines[-1].position if lines and self._keeps_latest else None
        return newest is not None and order(arrived.position or BEGINNING) < order(newest)

    def _release(self, now_ms: int, *, overdue: Container[str | None]) -> bool:
        """Let pending lines go as far as the chain goes; lines that are ``overdue`` the log does not have."""
        pending = self._pending or deque()
        self._set_pending(None)
        has_diverged = False
        while pending:
            arrived = pending.popleft()
            is_overdue = arrived.position in overdue
            match self._step(arrived):
                case Step.NEXT if not (is_overdue and _is_absent(self._newest)):
                    self._wait_with(arrived)
                case Step.NEXT | Step.GAP if is_overdue and self._newest is not None:
                    has_diverged = True
                    self.forks.found(BEGINNING if _is_absent(self._newest) else self._newest, now_ms)
                    self._tell_gap(self._newest, arrived.position, Reason.UNKNOWN)
                    self._wait_with(arrived)
                case Step.GAP:
                    pending.appendleft(arrived)
                    self._set_pending(pending)
                    self._overdue = None
                    return False
        if has_diverged:  # the log does not know where subscribers stand now
            self.lose_sync()
        return not has_diverged

    def _step(self, arrived: Arrived) -> Step:
        position, previous = arrived.position, arrived.previous
        if position is None or previous == self._newest or previous is None or self._newest is None:
            return Step.NEXT
        found = step(self._newest, position, previous, self._positions)
        return Step.NEXT if found is Step.GAP and self._keeps_latest else found

    def _tell_gap(self, start: str, end: str | None, reason: Reason) -> None:
        # Lines before the gap would let a reader pass from one side to the other as if nothing were missing.
        self._recent.clear()
        if self._newest is not None and not _is_absent(self._newest):
            self._given.end_run(self._newest)
        self.told[reason] = self.told.get(reason, 0) + 1
        self._await_writing(gap(self.channel.name, start, end, reason))

    def _wait_with(self, arrived: Arrived) -> None:
        self._await_writing(arrived.line)
        if arrived.position is not None:
            self._stand_at(arrived.position)
        self._remember(arrived)

    def _remember(self, arrived: Arrived) -> None:
        if arrived.position is not None:
            self._recent.add(arrived)
        if self._keeps_latest:
            self._latest = arrived.line

    def _await_writing(self, item: Item) -> None:
        if not self._waiting:
            self._newest_before_waiting = self._newest
        self._waiting.append(item)

    def _stand_at(self, position: str | None) -> None:
        self._newest = position
        if position is not None and position not in self._positions:
            self._given.add(position)

    @property
    def waiting(self) -> Sequence[Item]:
        """Lines and notices that wait to be written."""
        return self._waiting

    def take(self) -> list[Item]:
        """Return the lines and notices that wait, and empty the queue."""
        items, self._waiting = self._waiting, []
        self._let_flow()
        return items

    def _let_flow(self) -> None:
        """Have lines that follow looked at no closer; ``_look`` makes up for that, before anything else is known."""
        is_live = self.channel.retention.kind == "live"
        is_closed = self.flow.at is CLOSED
        if is_closed and self._pending is None and (self._newest is None) is is_live and self._recent.is_light:
            self.flow.at = None if self._newest is None else self._newest.encode()

    def _look(self) -> None:
        """Take note of the lines that flowed, and look at each line from here on."""
        if self.flow.at is CLOSED:
            return
        for arrived in map(read_front, self.flow.close()):
            if arrived is not None:
                self._stand_at(arrived.position)
                self._remember(arrived)


def _is_absent(position: str | None) -> bool:
    """Tell whether there was no log at ``position``: an earlier line belongs to no log that follows."""
    return position is not None and position.endswith("-0")


def _has_begun_anew(at: str, replay: Replay, epoch_ms: int) -> bool:
    """Tell whether a log lost all of its events, the event ``at`` the position too, though Redis did not restart."""
    if at.endswith("-0") or milliseconds(at) < epoch_ms:
        return False
    return replay.lines[0].previous == BEGINNING if replay.lines else replay.position.endswith("-0")

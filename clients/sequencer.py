"""The order of one channel's events, as a client judges it: next, repeated, or behind a gap. Pure.

The sequencer knows positions and nothing else: neither the edge nor what waits for the caller.
"""

from typing import Final

from bus.position import Step, step, went_back

__all__ = ["Sequencer"]

_RECENT: Final = 4_096
"""Positions to know a repeated event by: some replays' worth (``bus.log.replay``)."""


class Sequencer:
    """Judges events by identity: positions are never compared by size.

    Args:
        at: position of the last event that the caller has; None when no event is known.
        is_latest: whether the channel keeps its last event alone.

    """

    def __init__(self, *, at: str | None, is_latest: bool) -> None:
        self.at, self.is_latest = at, is_latest
        self.duplicates = 0
        """Repeated events, dropped."""
        self._recent: dict[str, None] = {at: None} if at is not None else {}
        self._trusts_next = True
        self._back_at: str | None = None

    def confirmed(self) -> None:
        """Take note that a membership of the room begins: the edge says itself whether the first event follows."""
        self._trusts_next, self._back_at = True, None

    def gap_told(self, after: str | None, until: str | None, reason: object) -> bool:
        """Take a gap that the edge told; True where the log went back to ``until``, which the caller may know.

        The edge accounts for every event up to the next one, so the next event is no gap of its own.
        """
        self._trusts_next = True
        # decisions/0055: a `latest` channel that went back shows an older event, and the caller takes it though known.
        if reason != "diverged" or after != self.at or not went_back(after, until):
            return False
        self._back_at = until
        return True

    def judge(self, position: str, previous: str | None) -> Step:
        """Tell how an event stands to those before; a repeated one is counted.

        An event before which no event is known counts as the next one.
        """
        found, self._back_at = self._step(position, previous), None
        if found is Step.DUPLICATE:
            self.duplicates += 1
        return found

    def _step(self, position: str, previous: str | None) -> Step:
        if position == self._back_at:
            return Step.NEXT
        # decisions/0055: after a failover the only event of a `latest` channel may be older. Ids of one log only grow,
        # so an older one says that the event at `at` is in no log any more.
        if self.is_latest and position != self.at and went_back(self.at, position):
            return Step.GAP
        if position in self._recent:
            return Step.DUPLICATE
        # A `latest` event stands for all before, so its `previous` may well be missing here and no gap.
        if self._trusts_next or self.is_latest or self.at is None or previous is None:
            return Step.NEXT
        return step(self.at, position, previous, ())

    def advance(self, position: str) -> None:
        """Go on from the event at ``position``."""
        self.at, self._trusts_next = position, False

    def stand(self, position: str) -> None:
        """Go on from where the log ends; of a ``latest`` channel the event at ``position`` is still to come."""
        if not self.is_latest:
            self.at = position

    def begin_anew(self, position: str) -> None:
        """Go on behind a state that stands at ``position``: no event of before is known any more."""
        self.at, self._recent = position, {position: None}
        self._trusts_next, self._back_at = False, None  # the next event names the state's position, or is a gap

    def remember(self, position: str | None) -> None:
        """Know an event again; the oldest of 4,096 is forgotten."""
        if position is not None:
            self._recent[position] = None
            if len(self._recent) > _RECENT:
                del self._recent[next(iter(self._recent))]

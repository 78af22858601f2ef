"""A log in the memory of a process, for tests of publishing code: the answers of Redis without a Redis.

Chains, retention by number and repetitions follow ``publish.lua``. No clock is read: each event comes a millisecond
after the event before, so positions are the same in every run, and no log ever expires.
"""

import json
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import field
from typing import Final, NamedTuple

from bus.channel import Channel
from bus.envelope import place_of, splice
from bus.errors import BusError, PublishHeld, PublishUncertain
from bus.held import Hold
from bus.log.appending import UNSURE, Appended, Entry, Replicas
from bus.log.kept_state import KeptState
from bus.position import BEGINNING
from bus.values import mutable

__all__ = ["MemoryLog"]

_BEGAN_MS: Final = 1_000_000_000_000


class _Stored(NamedTuple):
    id: str
    position: str
    previous: str


@mutable
class _Kept:
    """The log of a channel."""

    entries: deque[_Stored] = field(default_factory=deque)
    last: str = BEGINNING
    known: dict[str, str] = field(default_factory=dict)
    """Clients' publishes, by ``Entry.once``."""

    def find(self, event_id: str) -> str | None:
        """Return the position of an event in the log, or None."""
        return next((it.position for it in self.entries if it.id == event_id), None)

    def is_trimmed_past(self, since_ms: int) -> bool:
        """Tell whether an entry of the time since then is gone."""
        previous = self.entries[0].previous if self.entries else self.last
        return _ms(previous) >= since_ms


class MemoryLog:
    """Logs and lines of all channels; without subscribers, so without receivers.

    Attributes:
        lines: channel name to the lines for subscribers, oldest first.
        states: channel name to the channel's state.
        sent_ms: the time before the last ``append``.

    """

    def __init__(self) -> None:
        self.lines: defaultdict[str, list[bytes]] = defaultdict(list)
        self.states: defaultdict[str, KeptState] = defaultdict(KeptState)
        self.sent_ms: int | None = None
        self._kept: defaultdict[str, _Kept] = defaultdict(_Kept)
        self._now_ms = _BEGAN_MS - 1
        self._newest_id = ""

    async def append(self, entries: Sequence[Entry], *, replicas: Replicas | None = None) -> list[Appended | BusError]:
        """Store and publish every entry, in order; return a result or an error for each. Never waits."""
        self.sent_ms = self._now_ms + 1
        confirmed = None if replicas is None else 0
        return [self._append(entry, confirmed) for entry in entries]

    def _append(self, entry: Entry, confirmed: int | None) -> Appended | BusError:
        channel = entry.channel
        self._tick(entry.id)
        if channel.retention.kind == "live":
            self.lines[channel.name].append(splice(entry.line, None, None))
            return Appended(None, 0, confirmed)
        kept = self._kept[channel.redis]
        if entry.once:
            if entry.once not in kept.known and (holder := self._holder(entry.hold)) is not None:
                return PublishHeld(entry.hold.channel if entry.hold else channel.name, holder)
            return Appended(kept.known.get(entry.once) or self._store(kept, channel, entry), 0, confirmed)
        # As in the script: only a repetition is looked for, and a first attempt stores without a look.
        if entry.since_ms is not None:
            if (position := kept.find(entry.id)) is not None:
                return Appended(position, 0, confirmed)
            if (word := _unsure(kept, entry, entry.since_ms)) is not None:
                return PublishUncertain(UNSURE[word].format(channel.name))
        return Appended(self._store(kept, channel, entry), 0, confirmed)

    def _holder(self, hold: Hold | None) -> str | None:
        """Return the other user who holds the key, as ``once.lua`` does."""
        line = None if hold is None else self.states[hold.channel].lines.get(hold.key)
        if hold is None or line is None:
            return None
        message = json.loads(line)
        holder = message["data"].get(hold.holder) if message["event"] == hold.event else None
        return holder if isinstance(holder, str) and holder != hold.user else None

    def _tick(self, event_id: str) -> None:
        # Lines of one event share a millisecond, and a repetition moves no clock: positions are the same in every run.
        if event_id != self._newest_id:
            self._newest_id, self._now_ms = event_id, self._now_ms + 1

    def _store(self, kept: _Kept, channel: Channel, entry: Entry) -> str:
        previous, position = kept.last, f"{self._now_ms}-1"
        kept.entries.append(_Stored(entry.id, position, previous))
        kept.last = position
        if entry.once:
            kept.known[entry.once] = position
        while len(kept.entries) > channel.retention.max_events:
            kept.entries.popleft()
        line = splice(entry.line, position, previous)
        self.lines[channel.name].append(line)
        if channel.keyed is not None:
            place = place_of(channel, entry.event, entry.line)
            self.states[channel.name].keep(channel.keyed, place, line, previous)
        return position


def _unsure(kept: _Kept, entry: Entry, since_ms: int) -> str | None:
    """Return the script's word against storing a repetition, or None."""
    # The order of the questions is that of `look` in publish.lua, so that tests of producers see Redis' own answers.
    is_latest = entry.channel.retention.max_events == 1
    if is_latest and kept.entries and kept.entries[0].id == entry.after:
        return None
    if kept.is_trimmed_past(since_ms):
        return "uncertain"
    return "newer" if is_latest and kept.entries and _ms(kept.entries[0].position) >= since_ms else None


def _ms(position: str) -> int:
    return int(position.partition("-")[0])

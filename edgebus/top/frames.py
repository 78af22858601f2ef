"""A second of all edges: entries, looks, and the times by our own clock since when all is so. Pure."""

from collections.abc import Callable, Sequence
from typing import Final

from bus.admin.values import BusyRoom, ClientInfo, EdgeEntry, GoneEdge, Look, View
from bus.values import frozen, mutable

__all__ = ["EdgeNow", "Frame", "Lately", "Ledger", "label"]

_QUIET_S: Final = 7.0
"""A heartbeat comes every three seconds; after two that did not come, the edge counts as silent."""
_LOOKLESS_S: Final = 4.0
_GONE_S: Final = 120.0
"""How long an edge that has gone is shown."""
_GONE_LIMIT: Final = 20
_LATELY_S: Final = 60.0
_BACK_S: Final = 5.0
"""How long edges have to announce themselves anew once Redis is back: their entries may have expired meanwhile."""


@frozen
class EdgeNow:
    """An edge at the moment.

    Attributes:
        entry: the edge's word in the registry.
        look: the last second; None where the edge has written no look.
        silent_s: for how long no heartbeat came, where too long; else None.
        gone_s: for how long the entry has been gone; None for an edge with an entry.
        lookless_s: for how long no look came, where too long; else None.
        gaps: found of late; None without any.
        slowed: clients closed of late for slow reading; None without any.
        limited: how often limits hit clients of late; None for never.

    """

    entry: EdgeEntry
    look: Look | None = None
    silent_s: float | None = None
    gone_s: float | None = None
    lookless_s: float | None = None
    gaps: "Lately | None" = None
    slowed: "Lately | None" = None
    limited: "Lately | None" = None


@frozen
class Lately:
    """How often of late, and how long the last time is ago."""

    count: int
    ago_s: float


@frozen
class Frame:
    """A second, as shown.

    Attributes:
        edges: by id, edges gone of late at the end.
        away_s: for how long Redis has been away; None: Redis answers.
        why: of Redis' absence.
        has_begun: whether Redis has been asked at all.

    """

    edges: tuple[EdgeNow, ...] = ()
    away_s: float | None = None
    why: str = ""
    has_begun: bool = True

    @property
    def present(self) -> list[EdgeNow]:
        """The edges with an entry."""
        return [edge for edge in self.edges if edge.gone_s is None]

    def rooms(self) -> list[tuple[str, BusyRoom]]:
        """Return the busiest rooms, of each service apart; members of all edges are added."""
        found: dict[tuple[str, str], BusyRoom] = {}
        for edge in self.present:
            for room in edge.look.rooms if edge.look is not None else ():
                key = (edge.entry.service, room.channel)
                other = found.get(key)
                # Each edge of a room gets every event, so rates of edges are not added.
                found[key] = room if other is None else _joined(room, other)
        return [(service, room) for (service, _), room in found.items()]

    def slow(self) -> list[ClientInfo]:
        """Return the lagging clients of all edges."""
        return [client for edge in self.present if edge.look is not None for client in edge.look.clients]

    def lagging(self) -> int:
        """Return how many clients lag, over all edges."""
        return sum(edge.look.lagging for edge in self.present if edge.look is not None)


def _joined(room: BusyRoom, other: BusyRoom) -> BusyRoom:
    return BusyRoom(room.channel, max(room.rate, other.rate), room.members + other.members)


def label(entry: EdgeEntry) -> str:
    """Return an edge's name for people: the beginning of the id, as commands take edges."""
    parts = entry.id.rsplit("-", 2)
    return parts[0] if len(parts) == 3 and parts[0] else entry.id


@mutable
class _Count:
    """A count of an edge, of the last minute with changes: an operator sees news, and the age of news."""

    base: int
    last: int
    changed_s: float

    @classmethod
    def of(cls, number: int | None) -> "_Count":
        return cls(number or 0, number or 0, float("-inf"))

    def take(self, number: int | None, now_s: float) -> None:
        if now_s - self.changed_s > _LATELY_S:
            self.base = self.last
        if number is not None and number > self.last:
            self.changed_s = now_s
        self.last = number or 0

    def lately(self, now_s: float) -> Lately | None:
        is_new = self.last > self.base and now_s - self.changed_s <= _LATELY_S
        return Lately(self.last - self.base, now_s - self.changed_s) if is_new else None


@mutable
class _Seen:
    entry: EdgeEntry
    beat_s: float
    gaps: _Count
    slow: _Count
    limited: _Count
    look: Look | None = None
    look_s: float = 0.0
    gone_at_s: float | None = None

    @classmethod
    def gone(cls, edge: GoneEdge, now_s: float) -> "_Seen":
        none = _Count.of(0)
        return cls(EdgeEntry(edge.id), now_s, none, none, none, gone_at_s=now_s - edge.ago_s)


class Ledger:
    """Remembers each edge, with times by our own clock alone: clocks of hosts differ.

    Args:
        clock: seconds, monotonic.

    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._away_since_s: float | None = None
        self._back_s = float("-inf")
        self._why = ""
        self._has_begun = False

    def take(self, entries: Sequence[EdgeEntry], view: View | None, gone: Sequence[GoneEdge] = ()) -> None:
        """Take the entries and looks of a second, and the edges gone by Redis' index: some since before we came."""
        now_s = self._clock()
        if self._away_since_s is not None:
            self._back_s = now_s
        self._away_since_s, self._why, self._has_begun = None, "", True
        for entry in entries:
            self._note(entry, now_s)
        there = {entry.id for entry in entries}
        dead = {it.id for it in gone}
        for edge, seen in list(self._seen.items()):
            if edge not in there:
                self._miss(edge, seen, now_s, is_dead=edge in dead)
        for it in gone:
            if it.id not in self._seen and it.ago_s <= _GONE_S and now_s - self._back_s >= _BACK_S:
                self._seen[it.id] = _Seen.gone(it, now_s)
        for look in view.looks if view is not None else ():
            if (found := self._seen.get(look.edge)) is not None:
                if found.look is None or found.look.at != look.at:
                    found.look_s = now_s
                found.look = look

    def _note(self, entry: EdgeEntry, now_s: float) -> None:
        seen = self._seen.get(entry.id)
        if seen is None or seen.gone_at_s is not None:
            gaps, slow, limited = map(_Count.of, (entry.gaps, entry.slow, entry.limited))
            self._seen[entry.id] = _Seen(entry, now_s, gaps, slow, limited, look_s=now_s)
            return
        seen.gaps.take(entry.gaps, now_s)
        seen.slow.take(entry.slow, now_s)
        seen.limited.take(entry.limited, now_s)
        if entry.heartbeat_ms != seen.entry.heartbeat_ms:
            seen.beat_s = now_s
        seen.entry = entry

    def _miss(self, edge: str, seen: _Seen, now_s: float, *, is_dead: bool) -> None:
        """Note an edge without an entry; an edge ended in order is forgotten at once."""
        # An edge that ends in order takes its id out of the index, whose other ids without an entry are the dead.
        if seen.gone_at_s is None and now_s - self._back_s < _BACK_S:
            return
        if seen.gone_at_s is None and not is_dead:
            del self._seen[edge]
            return
        seen.gone_at_s = now_s if seen.gone_at_s is None else seen.gone_at_s
        gone = [it for it, one in self._seen.items() if one.gone_at_s is not None]
        if now_s - seen.gone_at_s > _GONE_S or len(gone) > _GONE_LIMIT:
            del self._seen[edge]

    def away(self, why: str) -> None:
        """Note a question without an answer of Redis."""
        self._has_begun = True
        if self._away_since_s is None:
            self._away_since_s = self._clock()
        self._why = why

    def frame(self) -> Frame:
        """Return the frame of the moment."""
        now_s = self._clock()
        away_s = None if self._away_since_s is None else now_s - self._away_since_s
        edges = [self._edge(seen, now_s, is_away=away_s is not None) for seen in self._seen.values()]
        edges.sort(key=lambda it: (it.gone_s is not None, it.entry.id))
        return Frame(tuple(edges), away_s, self._why, self._has_begun)

    def _edge(self, seen: _Seen, now_s: float, *, is_away: bool) -> EdgeNow:
        since_s = max(0.0, now_s - self._back_s)
        silent_s, lookless_s = min(since_s, now_s - seen.beat_s), min(since_s, now_s - seen.look_s)
        is_there = seen.gone_at_s is None and not is_away  # while Redis is away, nothing is known of any edge
        is_stale = lookless_s >= _LOOKLESS_S
        return EdgeNow(
            seen.entry,
            None if is_stale and is_there else seen.look,
            silent_s if is_there and silent_s >= _QUIET_S else None,
            None if seen.gone_at_s is None else now_s - seen.gone_at_s,
            lookless_s if is_there and is_stale else None,
            seen.gaps.lately(now_s),
            seen.slow.lately(now_s),
            seen.limited.lately(now_s),
        )

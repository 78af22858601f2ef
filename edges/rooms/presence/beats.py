"""The beats of all edges, as one edge sees the beats: which edges have fallen silent. Pure; the time is an argument."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from bus.presence.store import DEAD_S
from bus.values import mutable

__all__ = ["BEAT_S", "Beats", "Seen"]

BEAT_S: Final = 0.5
"""Between two beats of an edge."""
_LOOKS: Final = 4
_GAP_S: Final = 3 * BEAT_S


class Seen(NamedTuple):
    """The edges of a look that are no more: silent edges with the last beat, and buried edges."""

    silent: Mapping[str, int]
    buried: frozenset[str]


@mutable
class _Sighting:
    beat_ms: int
    since_s: float
    looks: int = 1


class Beats:
    """The last beats, each with the time of the first look at that beat.

    A silent edge showed the same beat for ``DEAD_S`` of this edge's own clock, in several looks without a pause.
    """

    # decisions/0109: by the looker's clock. By Redis' clock, a Redis that hung for five seconds would have the first
    # edge to be answered declare all others dead.

    def __init__(self) -> None:
        self._sightings: dict[str, _Sighting] = {}
        self._looked_s: float | None = None

    def see(self, edges: Mapping[str, int], now_s: float) -> Seen:
        """Take the beats of a look at ``now_s``; a beat below 0 is a burial."""
        # A pause of this edge, or of Redis, says nothing of other edges: all sightings begin anew.
        if self._looked_s is None or now_s - self._looked_s > _GAP_S:
            self._sightings.clear()
        self._looked_s = now_s
        living = {edge: beat_ms for edge, beat_ms in edges.items() if beat_ms >= 0}
        self._sightings = {edge: self._sighting(edge, beat_ms, now_s) for edge, beat_ms in living.items()}
        silent = {edge: it.beat_ms for edge, it in self._sightings.items() if _is_silent(it, now_s)}
        return Seen(silent, frozenset(edges.keys() - living.keys()))

    def _sighting(self, edge: str, beat_ms: int, now_s: float) -> _Sighting:
        known = self._sightings.get(edge)
        if known is None or known.beat_ms != beat_ms:
            return _Sighting(beat_ms, now_s)
        known.looks += 1
        return known


def _is_silent(sighting: _Sighting, now_s: float) -> bool:
    return sighting.looks >= _LOOKS and now_s - sighting.since_s >= DEAD_S

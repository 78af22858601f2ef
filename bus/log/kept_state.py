"""The state of a channel in the memory of a process: what ``keyed.lua`` keeps in Redis. Pure, for tests alone."""

from dataclasses import field, replace
from typing import Self

from bus.keyed import Keyed, Place
from bus.position import BEGINNING
from bus.values import mutable

__all__ = ["KeptState"]


@mutable
class KeptState:
    """The newest line of each key.

    Attributes:
        lines: key to the line as published.
        ages: key to the number of its newest write.
        writes: so far.
        gone: the keys of tombstones.
        evicted: the position up to which keys may be missing; None for a whole state.
        is_begun: whether the state has seen any event of the log.
        size: the bytes of all lines and keys.

    """

    lines: dict[str, bytes] = field(default_factory=dict)
    ages: dict[str, int] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    evicted: str | None = None
    is_begun: bool = False
    size: int = 0
    writes: int = 0

    def copy(self) -> Self:
        """Return a state that shares nothing with this one."""
        return replace(self, lines=dict(self.lines), ages=dict(self.ages), gone=set(self.gone))

    def keep(self, keyed: Keyed, place: Place, line: bytes, previous: str) -> None:
        """Take the line of an event; the log's first event begins the state anew."""
        if previous == BEGINNING:
            self.lines, self.ages, self.gone, self.evicted = {}, {}, set(), None
            self.size = self.writes = 0
        elif not self.is_begun:
            self.evicted = previous
        self.is_begun = True
        for key in place.keys:
            if place.is_gone and keyed.has_parts:
                for part in [it for it in self.lines if it.startswith(f"{key}:")]:
                    self._drop(part)
            if key in self.lines:
                self._drop(key)
            self.writes += 1
            self.lines[key], self.ages[key] = line, self.writes
            self.size += len(key) + len(line)
            (self.gone.add if place.is_gone else self.gone.discard)(key)
        self._evict(keyed)

    def _evict(self, keyed: Keyed) -> None:
        while len(self.lines) > keyed.max_keys or self.size > keyed.max_bytes:
            oldest = min(self.lines, key=lambda key: (key not in self.gone, self.ages[key]))
            if oldest not in self.gone:
                self.evicted = self.lines[oldest].split(b'"', 4)[3].decode()
            self._drop(oldest)

    def _drop(self, key: str) -> None:
        self.size -= len(key) + len(self.lines[key])
        del self.lines[key], self.ages[key]
        self.gone.discard(key)

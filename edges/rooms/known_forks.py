"""The forks of a channel that an edge knows of: where its log lost events that this edge had, or another one. Pure.

Telling subscribers of a fork is the sequencer's; decisions/0018 says why forks are marked at all.
"""

from collections import deque
from collections.abc import Iterable, Sequence

from bus.log.forks import FORKS, Fork, passed
from bus.log.replay import Replay

__all__ = ["KnownForks"]


class KnownForks:
    """The newest forks of one log, and those of them that other edges may not know yet."""

    __slots__ = ("_forks", "_unmarked")

    def __init__(self) -> None:
        self._forks: deque[Fork] = deque(maxlen=FORKS)
        self._unmarked: list[Fork] = []

    @property
    def places(self) -> Sequence[str]:
        """The entries of the log behind which events are lost."""
        return [fork.position for fork in self._forks]

    @property
    def unmarked(self) -> tuple[Fork, ...]:
        """The forks that were found here and are unknown to other edges."""
        return tuple(self._unmarked)

    def crosses(self, start: str, *, has_stayed: bool) -> bool:
        """Tell whether a reader that goes on from ``start`` passes a fork; see ``bus.log.forks``."""
        return bool(self._forks and passed(self._forks, start, (), None, has_stayed=has_stayed))

    def passed(self, start: str | None, replay: Replay, *, has_stayed: bool) -> list[str]:
        """Return the places of the forks that a reader passes who is given ``replay`` from ``start`` on."""
        return passed(self._forks, start, replay.lines, replay.position, has_stayed=has_stayed)

    def found(self, position: str, now_ms: int) -> None:
        """Take note of a fork that was found here, by Redis' clock at ``now_ms``."""
        fork = Fork(position, now_ms)
        self._forks.append(fork)
        self._unmarked = [*self._unmarked, fork][-FORKS:]

    def new(self, forks: Iterable[Fork]) -> list[Fork]:
        """Return those of ``forks`` that are not known yet."""
        known = {fork.position for fork in self._forks}
        return [fork for fork in forks if fork.position not in known]

    def learn(self, forks: Iterable[Fork]) -> None:
        """Take note of forks that other edges found."""
        self._forks.extend(forks)

    def marked(self, forks: Sequence[Fork]) -> None:
        """Take note that other edges may know of ``forks`` by now."""
        self._unmarked = [fork for fork in self._unmarked if fork not in forks]

    def compare(self, marks: Iterable[Fork]) -> None:
        """Have forks marked again where Redis lacks the mark: a takeover loses marks, too."""
        marked = {mark.position for mark in marks}
        self._unmarked = [fork for fork in self._forks if fork.position not in marked]

    def forget(self) -> None:
        """Forget all forks: Redis began anew, and the epoch tells readers from before."""
        self._forks.clear()
        self._unmarked.clear()

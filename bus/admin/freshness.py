"""Which looks are new: a dead edge's last look stays in Redis for some seconds. Pure."""

from collections.abc import Sequence
from typing import Final

from bus.admin.values import Look

__all__ = ["Freshness"]

_STALE: Final = 3
"""A look that was seen so often in a row, once a second, is no look of now. By no clock: edges' clocks differ."""


class Freshness:
    """Remembers looks from second to second."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}

    def take(self, looks: Sequence[Look]) -> list[Look]:
        """Return the looks of now, after a second's reading."""
        before, self._seen = self._seen, {}
        for look in looks:
            at, times = before.get(look.edge, (None, 0))
            self._seen[look.edge] = (look.at, times + 1 if at == look.at else 1)
        return [look for look in looks if self._seen[look.edge][1] < _STALE]

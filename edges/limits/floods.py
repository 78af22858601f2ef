"""Lines of the log about clients and rooms, of which thousands may come in a second: one told, the rest summed up."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, Final

from bus.values import frozen, mutable

__all__ = ["Floods", "Told"]

_KINDS: Final = 20
"""So many reasons of one text are summed up apart; the others together."""
_LINES: Final = 10
"""So many lines of one text are written at once in a round."""
_NAMES: Final = 200
"""So many addresses, or channels, are counted apart."""
_TOP: Final = 3
_FLOOD: Final = 100
"""So many in a round are worth a warning."""
_OTHERS: Final = "others"


_NONE: Final[Mapping[str, object]] = {}


@frozen
class Told:
    """A line of the log about a client or a room, one of maybe thousands in a second.

    Attributes:
        text: constant.
        level: of the line; a flood is a warning at least.
        by: the field that names the occurrence: ``address`` or ``channel``.
        at_once: so many of one reason are told in full each round.
        is_apart: whether each name is summed up apart, too.

    """

    text: str
    level: int = logging.INFO
    by: str = "address"
    at_once: int = 1
    is_apart: bool = False


@mutable
class _Sum:
    """The occurrences of one text and reason since the last round."""

    told: Told
    reason: str
    lines: int = 0
    count: int = 0
    events: int = 0
    names: Counter[str] = field(default_factory=Counter)
    example: Mapping[str, object] = field(default_factory=dict)

    @property
    def level(self) -> int:
        return self.told.level if self.count < _FLOOD else max(self.told.level, logging.WARNING)

    def add(self, name: str, events: int, example: Mapping[str, object]) -> None:
        self.count += 1
        self.events += events
        if name in self.names or len(self.names) < _NAMES:
            self.names[name] += 1
        self.example = example

    def take(self, within_s: float) -> dict[str, Any]:
        """Return the fields of the sum, and begin anew."""
        top = dict(self.names.most_common(_TOP))
        others = self.count - sum(top.values())
        fields: dict[str, Any] = {
            "reason": self.reason,
            "count": self.count,
            "within_s": round(within_s, 1),
            f"by_{self.told.by}": top | ({_OTHERS: others} if others else {}),
            "distinct": len(self.names),
            "example": self.example,
        }
        if self.events:
            fields["events"] = self.events
        self.count = self.events = 0
        self.names, self.example = Counter(), {}
        return fields


class Floods:
    """Tells the first of a kind at once, and the rest as one line a round. Memory and lines are bounded.

    Args:
        logger: of the edge.
        now: seconds of a monotonic clock.

    """

    # decisions/0128: the sum keeps the text of the single line, so one search finds both, and counts add up.
    def __init__(self, logger: logging.Logger, now: Callable[[], float] = time.monotonic) -> None:
        self._logger, self._now, self._since = logger, now, now()
        self._sums: dict[Told, dict[tuple[str, str], _Sum]] = {}

    def note(
        self,
        told: Told,
        reason: str,
        name: str,
        fields: Mapping[str, object] = _NONE,
        *,
        events: int = 0,
        error: Exception | None = None,
    ) -> None:
        """Take note of one occurrence.

        Args:
            told: the line.
            reason: of the occurrence; each reason is summed up apart.
            name: the address, or the channel.
            fields: of the line, or of the example in a sum.
            events: how many events the occurrence is about.
            error: a bug of ours, with its traceback in a line of its own.

        """
        sums = self._sums.setdefault(told, {})
        key = (reason, name if told.is_apart else "")
        has_room = key in sums or len(sums) < _KINDS
        if not has_room:  # rooms by their closed set of reasons, the rest as one
            reason = reason if told.is_apart else _OTHERS
            key = (reason, _OTHERS)
        found = sums.setdefault(key, _Sum(told, reason))
        if has_room and found.lines < told.at_once and sum(it.lines for it in sums.values()) < _LINES:
            found.lines += 1
            counted = {"events": events} if events else {}
            whole = {"reason": reason, told.by: name, "count": 1, **counted, **fields}
            self._logger.log(told.level, told.text, exc_info=error, extra=whole)
        else:
            found.add(name, events, fields)

    def flush(self) -> None:
        """End a round: tell the sums, and forget kinds that did not occur."""
        now = self._now()
        within_s, self._since = now - self._since, now
        for told, sums in list(self._sums.items()):
            for key, found in list(sums.items()):
                if found.count:
                    self._logger.log(found.level, told.text, extra=found.take(within_s))
                else:
                    del sums[key]
            if not sums:
                del self._sums[told]

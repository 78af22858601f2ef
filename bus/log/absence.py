"""The story of a Redis that is away, as a publisher tells the log: begun, over, and caught up with."""

import logging
from collections.abc import Callable

from bus.errors import BusError
from bus.values import frozen

__all__ = ["Absence", "Standing"]


@frozen
class Standing:
    """Publications: how many ``waiting`` now, and how many of each outcome so far."""

    waiting: int = 0
    published: int = 0
    failed: int = 0
    dropped: int = 0

    @property
    def done(self) -> int:
        """How many have an outcome."""
        return self.published + self.failed + self.dropped


class Absence:
    """Tells of Redis' absence from the first failed attempt until the events that waited have an outcome.

    Args:
        name: of the publisher.
        logger: is told.
        standing: the publications as of now.
        now: seconds of a monotonic clock.

    Attributes:
        is_away: whether the last attempt to reach Redis failed.
        is_untold: whether the end is still to be told: events that waited are without an outcome.

    """

    def __init__(
        self, name: str, logger: logging.Logger, standing: Callable[[], Standing], now: Callable[[], float]
    ) -> None:
        self._name, self._logger, self._standing, self._now = name, logger, standing, now
        self._since = 0.0
        self._before = self._back = Standing()
        self.is_away = self.is_untold = False

    def began(self, error: BusError) -> None:
        """Take note of an attempt that failed."""
        if self.is_away:
            return
        standing = self._standing()
        if not self.is_untold:  # else Redis went again before the end was told: one story
            self._since, self._before = self._now(), standing
        self.is_away = self.is_untold = True
        fields = {"producer": self._name, "waiting": standing.waiting, "reason": str(error)}
        # decisions/0062: numbers and reasons stand in the text itself, which Python shows without any logging set up.
        self._logger.warning("Redis is away, and %d events wait: %s", standing.waiting, error, extra=fields)

    def ended(self) -> None:
        """Take note of an answer of Redis."""
        if not self.is_away:
            return
        self.is_away, self._back = False, self._standing()
        after_s = round(self._now() - self._since, 1)
        fields = {"producer": self._name, "after_s": after_s, "waiting": self._back.waiting}
        text = "Redis is back after %.1f s, and %d events are sent now"
        self._logger.info(text, after_s, self._back.waiting, extra=fields)

    def look(self) -> None:
        """Sum the story up, once the events that waited have an outcome. Called after each attempt."""
        now = self._standing()
        if self.is_away or now.done - self._back.done < self._back.waiting:
            return
        self.is_untold = False
        sent, failed = now.published - self._before.published, now.failed - self._before.failed
        dropped, after_s = now.dropped - self._before.dropped, round(self._now() - self._since, 1)
        fields = {"producer": self._name, "after_s": after_s, "sent": sent, "failed": failed, "dropped": dropped}
        level = logging.WARNING if failed or dropped else logging.INFO
        text = "caught up with Redis' absence after %.1f s: %d events sent, %d failed, %d dropped"
        self._logger.log(level, text, after_s, sent, failed, dropped, extra=fields)

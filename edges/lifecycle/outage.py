"""The story of an outage of Redis in the log: one incident, from the loss of the link to rooms that were compared."""

import logging
import time
from collections import Counter
from collections.abc import Callable

from edges.limits.floods import Floods
from edges.rooms.repairs import Repairs

__all__ = ["Outage"]

_logger = logging.getLogger("edgebus.edges")


class Outage:
    """Names the incident in every line of the edge while the incident lasts, and sums it up in the last.

    Args:
        edge: the edge's id.
        generation: how often the link came up.
        clients: how many there are.
        repairs: of rooms, counted.
        floods: sums up lines, and is flushed before the last line of an incident.
        now: seconds of a monotonic clock.

    """

    def __init__(
        self,
        edge: str,
        generation: Callable[[], int],
        clients: Callable[[], int],
        repairs: Repairs,
        floods: Floods,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._edge, self._generation, self._clients = edge, generation, clients
        self._repairs, self._floods, self._now = repairs, floods, now
        self._incident: str | None = None
        self._since = 0.0
        self._losses = self._events = 0
        self._told: Counter[str] = Counter()

    def fields(self) -> dict[str, object]:
        """Return the fields of every line of the edge."""
        fields: dict[str, object] = {"edge": self._edge, "generation": self._generation()}
        return fields if self._incident is None else {**fields, "incident": self._incident}

    def began(self, reason: str | None, *, rooms: int) -> None:
        """Tell of the loss, or of another one before the end of the last: the incident goes on.

        ``reason`` is None where the first link has not come in time: each attempt's reason is told already.
        """
        if self._incident is None:
            self._incident, self._since, self._losses = f"link-{self._generation()}", self._now(), 0
            self._events, self._told = self._repairs.events, self._repairs.told.copy()
        self._losses += 1
        fields: dict[str, object] = {"rooms": rooms, "clients": self._clients()}
        if reason is None:
            _logger.warning("there has been no link to Redis since the start", extra=fields)
        else:
            _logger.warning("link to Redis is lost", extra={"reason": reason, **fields})

    def told(self, clients: int) -> None:
        """Tell that clients know of the outage."""
        _logger.info("clients were told that events are late", extra={"clients": clients})

    def link_came(self, channels: int) -> None:
        """Tell of a link, the first one or another."""
        after = {} if self._incident is None else {"after_s": self._after_s()}
        _logger.info("link to Redis is up", extra={"channels": channels, **after})

    def ended(self, *, rooms: int, clients: int) -> None:
        """Sum the incident up, if any: rooms were compared, and ``clients`` told."""
        if self._incident is None:
            return
        self._floods.flush()  # lines about rooms belong to the incident
        told = dict(self._repairs.told - self._told)
        fields = {
            "after_s": self._after_s(),
            "losses": self._losses,
            "rooms_compared": rooms,
            "events_repaired": self._repairs.events - self._events,
            "gaps_told": told,
            "clients": clients,
        }
        # Events that cannot be had are a loss, which an operator wants to see at the level of the loss of the link.
        level = logging.WARNING if told else logging.INFO
        _logger.log(level, "link to Redis is restored: rooms are up to date again", extra=fields)
        self._incident = None

    def _after_s(self) -> float:
        return round(self._now() - self._since, 1)

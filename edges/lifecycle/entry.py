"""An edge's words about itself, for the entry in Redis."""

import time
from collections.abc import Callable

from bus.description import digest
from bus.redis.subscriber import Subscriber
from bus.service import Service
from edges.lifecycle.health import Health
from edges.lifecycle.observed import Observed
from edges.lifecycle.vitals import vitals
from edges.limits.registry import RegistryStatistics
from edges.rooms.statistics import HubStatistics
from edges.settings import EdgeSettings

__all__ = ["Entry"]


class Entry:
    """The facts of an edge.

    Args:
        service: the catalogue.
        settings: of the edge.
        port: to listen on.
        subscriber: the link.
        health: says whether the edge is ready.
        observed: has the end of the certificate.
        statistics: returns the counters of connections and of rooms.

    Attributes:
        started_s: seconds since 1970.

    """

    def __init__(
        self,
        service: Service,
        settings: EdgeSettings,
        port: int,
        subscriber: Subscriber,
        health: Health,
        observed: Observed,
        statistics: Callable[[], tuple[RegistryStatistics, HubStatistics]],
    ) -> None:
        self._service, self._settings, self._port = service, settings, port
        self._subscriber, self._health, self._observed, self._statistics = subscriber, health, observed, statistics
        self.started_s = time.time()

    def facts(self) -> dict[str, str | int]:
        """Return the facts of this moment; those of the process and of the clock are the heartbeat's."""
        not_ready, link = self._health.not_ready(), self._subscriber
        age_s, ends = link.probe_age_s, self._observed.certificate_ends
        return {
            "service": self._service.name,
            "port": self._port,
            "catalogue": digest(self._service),
            "started": int(self.started_s * 1000),
            "max_connections": self._settings.max_connections,
            "max_line_bytes": self._settings.max_line_bytes,
            "generation": link.statistics().generation,
            "link": self._link(),
            "probe_age_ms": "" if age_s is None else int(age_s * 1000),
            "ready": "yes" if not_ready is None else not_ready,
            "draining": int(self._health.is_draining),
            "certificate_expires": "" if ends is None else int(ends.timestamp() * 1000),
            **self._counts(),
            **_vitals(),
        }

    def _link(self) -> str:
        if not self._subscriber.is_up:
            return f"down: {self._subscriber.trouble}"
        return "up" if self._subscriber.is_heard else "deaf: no probe came back in time"

    def _counts(self) -> dict[str, int]:
        clients, rooms = self._statistics()
        return {
            "connections": clients.connections,
            "rooms": rooms.rooms,
            "events_in": rooms.lines,
            "deliveries": rooms.deliveries,
            "bytes_out": rooms.sent_bytes,
            "writes": rooms.writes,
            "slow": clients.slow,
            "limited": sum(clients.limited.values()) - clients.slow,
            "gaps": rooms.gaps,
            "repaired": rooms.repaired,
            "told": sum(rooms.told.values()),
            "waiting_bytes": clients.waiting_bytes,
        }


def _vitals() -> dict[str, int]:
    seen = vitals()
    return {"fds": seen.fds, "fds_limit": seen.fds_limit, "memory_bytes": seen.memory_bytes}

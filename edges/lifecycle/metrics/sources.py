"""What metrics are read from: the parts of an edge, as far as the parts count."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from bus.description import digest
from bus.redis.subscriber import Subscriber
from bus.service import Service
from bus.values import frozen
from edges.lifecycle.health import Health
from edges.lifecycle.metrics.skills import Skills
from edges.lifecycle.observed import Observed
from edges.limits.counters import Counters
from edges.limits.registry import RegistryStatistics
from edges.limits.replay_slots import Slots
from edges.rooms.statistics import HubStatistics
from edges.rooms.tallies import Tallies
from edges.session.tallies import RequestTallies
from edges.settings import EdgeSettings

if TYPE_CHECKING:
    from edges.session.live import LiveRequests

__all__ = ["Seen", "Sources"]


@frozen
class Sources:
    """The parts of an edge that count.

    Attributes:
        started_s: when the edge was built, seconds since 1970.
        tallies: of the rooms.
        requests: of clients.
        replay_slots: of the rooms.
        live: None for a service without live requests.
        statistics: returns the counters of connections and of rooms.
        catalogue: a digest of the service's families, events and requests.
        skills: of session-buddy; None for other services, and without the ecosystem's names.

    """

    service: Service
    settings: EdgeSettings
    started_s: float
    subscriber: Subscriber
    health: Health
    counters: Counters
    tallies: Tallies
    requests: RequestTallies
    replay_slots: Slots
    observed: Observed
    live: "LiveRequests | None"
    statistics: Callable[[], tuple[RegistryStatistics, HubStatistics]]
    skills: Skills | None = None

    @property
    def catalogue(self) -> str:
        """A digest of the service's families, events and requests; made at the first use, and kept."""
        return digest(self.service)

    def look(self) -> "Seen":
        """Look at everything once."""
        clients, rooms = self.statistics()
        return Seen(self, clients, rooms)


@frozen
class Seen:
    """One look at an edge."""

    sources: Sources
    clients: RegistryStatistics
    rooms: HubStatistics

"""All that operators reach of an edge, composed."""

from bus.admin.telling import Telling
from bus.redis.subscriber import Subscriber
from bus.service import Service
from bus.tasks import Spawn
from edges.admin.client_pages import ClientPages
from edges.admin.kicks import Kicks
from edges.admin.looks import Looks
from edges.admin.office import Office
from edges.admin.room_pages import RoomPages
from edges.admin.sights import Sights
from edges.admin.verbs import Verbs
from edges.lifecycle.draining import Draining
from edges.limits.counters import Counters
from edges.limits.mishaps import Mishaps
from edges.limits.registry import Registry
from edges.rooms.hub import Hub

__all__ = ["office_of"]


def office_of(  # noqa: PLR0913, PLR0917 (all that operators reach)
    edge_id: str,
    service: Service,
    hub: Hub,
    registry: Registry,
    counters: Counters,
    draining: Draining,
    subscriber: Subscriber,
    telling: Telling,
    spawn: Spawn,
    mishaps: Mishaps,
) -> Office:
    """Return the office of an edge."""
    sights = Sights(registry, edge_id)
    clients, rooms = ClientPages(registry, hub, sights), RoomPages(service, hub)
    looks = Looks(edge_id, hub, registry, counters, sights, telling, spawn, mishaps)
    verbs = Verbs(registry, clients, rooms, looks, Kicks(registry, hub, clients), draining)
    return Office(edge_id, subscriber, telling, verbs, spawn, mishaps)

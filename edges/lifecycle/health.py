"""Health and readiness: what an edge answers to those that watch the edge, such as balancers and orchestrators."""

from collections.abc import Callable

from bus.service import Service
from edges.lifecycle.redis_link import RedisLink
from edges.limits.mishaps import Mishaps
from edges.limits.registry import Registry
from edges.rooms.hub import Hub

__all__ = ["Health"]


class Health:
    """What is said of one edge.

    Args:
        service: what the edge serves.
        registry: the connections.
        hub: the rooms.
        link: the link to Redis.
        mishaps: what fails at present, though the edge may be ready.
        knows_revoked: whether the edge knows which tokens were revoked; True where none are asked for.
        max_connections: how many places there are.

    """

    def __init__(
        self,
        service: Service,
        registry: Registry,
        hub: Hub,
        link: RedisLink,
        *,
        mishaps: Mishaps,
        knows_revoked: Callable[[], bool],
        max_connections: int,
    ) -> None:
        self._service, self._registry, self._hub, self._link = service, registry, hub, link
        self._mishaps, self._knows_revoked, self._max_connections = mishaps, knows_revoked, max_connections
        self.is_leaving = False

    def leave(self) -> None:
        """Be not ready any more; no edge comes back from there."""
        self.is_leaving = True

    def body(self) -> dict[str, object]:
        """Return the body of ``/healthz``."""
        return {
            "status": "healthy",
            "service": self._service.name,
            "connections": len(self._registry),
            "rooms": self._hub.occupied,
        }

    def not_ready(self) -> str | None:
        """Return why the edge is not ready, None when the edge is."""
        if self.is_leaving:
            return "the edge is going away"
        if (trouble := self._link.trouble()) is not None:
            return trouble
        if not self._knows_revoked():
            return "it is not read yet which tokens were revoked"
        if not self._hub.is_compared:
            return "rooms are being compared with their logs"
        return f"every place is taken: max_connections is {self._max_connections}" if self._registry.is_full else None

    def warning(self) -> str | None:
        """Return what else stands against the edge, though it may be ready; None when nothing does."""
        return self._mishaps.reason

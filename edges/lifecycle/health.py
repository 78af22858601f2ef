"""Health and readiness, for balancers and orchestrators."""

from collections.abc import Callable

from bus.service import Service
from edges.lifecycle.redis_link import RedisLink
from edges.limits.mishaps import Mishaps
from edges.limits.registry import Registry
from edges.rooms.hub import Hub

__all__ = ["Health"]


class Health:
    """The health of an edge.

    Args:
        service: the catalogue.
        registry: the connections.
        hub: the rooms.
        link: the link to Redis.
        mishaps: failures at present, of an edge that may be ready.
        knows_revoked: whether the edge knows the revoked tokens; True without tokens.
        max_connections: the number of places.

    Attributes:
        is_leaving: whether the edge ends.
        is_drained: whether an operator has the edge send clients away, for as long as the operator wants.

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
        self.is_leaving = self.is_drained = False

    @property
    def is_draining(self) -> bool:
        """Whether clients are sent away: for good, or for as long as an operator wants."""
        return self.is_leaving or self.is_drained

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
        # decisions/0051: a Redis that takes no writes is no reason. Readiness is for a choice between replicas, and all
        # replicas share this Redis.
        if self.is_leaving:
            return "the edge is going away"
        if self.is_drained:
            return "an operator drains the edge: `edgebus undrain` has it serve again"
        if (trouble := self._link.trouble()) is not None:
            return trouble
        if (
            not self._knows_revoked()
        ):  # decisions/0024: clients are let in all the same, since Redis may be away for long
            return "it is not read yet which tokens were revoked"
        if not self._hub.is_compared:
            return "rooms are being compared with their logs"
        return f"every place is taken: max_connections is {self._max_connections}" if self._registry.is_full else None

    def warning(self) -> str | None:
        """Return a failure of work at present, though the edge may be ready; None without."""
        return self._mishaps.reason

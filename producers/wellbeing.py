"""The health of a service's edges, by the edges' own words in Redis: the answer of a service's own health tool.

Keys and words are the old tool's, which services had over a server in the process (``websocket_health_check``).
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

from bus.admin.operator import Operator
from bus.admin.values import EdgeEntry
from bus.errors import BusError
from bus.redis.address import default_url
from bus.service import Service
from producers.services import ALIASES

__all__ = ["HEALTH_TIMEOUT_S", "health", "name_of", "told"]

HEALTH_TIMEOUT_S: Final = 2.0


async def health(
    redis_url: str | None = None,
    service: Service | str | None = None,
    *,
    timeout_s: float = HEALTH_TIMEOUT_S,
) -> dict[str, Any]:
    """Return the health of a service's edges: ``status``, ``connections``, ``rooms`` and more, summed up.

    ``status`` is ``healthy`` (an edge is ready), ``degraded`` (none of the edges is ready; ``message`` says why),
    ``stopped`` (no edge is there) or ``error`` (Redis cannot tell; ``error`` says why). A room of two edges counts
    twice. Never raises for Redis' sake, and never takes longer than ``timeout_s``.

    Args:
        redis_url: None takes ``EDGEBUS_REDIS_URL``, else ``redis://127.0.0.1:6390``.
        service: a catalogue or a name, None for all: then ``services`` has the same of each.
        timeout_s: how long Redis may take.

    Raises:
        AddressError: the URL cannot be used.

    """
    name = name_of(service)
    try:
        async with asyncio.timeout(timeout_s), Operator(redis_url or default_url()) as operator:
            edges = await operator.edges(name)
    except TimeoutError:
        return _unknown(name, f"Redis did not answer within {timeout_s:g} s")
    except BusError as error:
        if isinstance(error, ValueError):  # the caller's own mistake, which is no state of the service
            raise
        return _unknown(name, str(error))
    return told(edges, name)


def name_of(service: Service | str | None) -> str | None:
    """Return the name of a service, by catalogue, by name, or by the name of the repository."""
    return ALIASES.get(service, service) if isinstance(service, str) else None if service is None else service.name


def told(edges: Sequence[EdgeEntry], service: str | None) -> dict[str, Any]:
    """Return the health of a service by the edges' own words; of all services for None."""
    if service is not None:
        return _told(edges, service)
    names = list(dict.fromkeys(it.service for it in edges))
    by_name = {name: _told([it for it in edges if it.service == name], name) for name in names}
    statuses = [it["status"] for it in by_name.values()]
    whole = _sums(edges)
    whole["status"] = next((it for it in ("degraded", "healthy") if it in statuses), "stopped")
    return whole | {"services": by_name}


def _told(edges: Sequence[EdgeEntry], service: str) -> dict[str, Any]:
    found: dict[str, Any] = {"status": "stopped", "server": service, **_sums(edges)}
    if not edges:
        return found | {"message": f"no edge of {service} is there"}
    ready = [it for it in edges if it.is_ready or not it.ready]  # an edge of an older version does not say
    first = (ready or edges)[0]
    # One ready replica serves; balancers pass the others over. `host` is the edge's own name for its machine.
    found |= {"status": "healthy" if ready else "degraded", "host": first.host, "port": first.port}
    return found if ready else found | {"message": f"no edge is ready: {first.ready}"}


def _sums(edges: Sequence[EdgeEntry]) -> dict[str, Any]:
    began = min((it.started for it in edges if it.started), default=None)
    return {
        "connections": sum(it.connections or 0 for it in edges),
        "rooms": sum(it.rooms or 0 for it in edges),
        "max_connections": sum(it.max_connections or 0 for it in edges),
        "edges": len(edges),
        "uptime_seconds": 0 if began is None else max(0, int(time.time() - began / 1000)),
    }


def _unknown(service: str | None, reason: str) -> dict[str, Any]:
    return {"status": "error", "server": service, "connections": 0, "rooms": 0, "error": reason}

"""Names in Redis that belong to no channel. Those of a channel are in ``bus.channel``."""

from typing import Final

__all__ = [
    "EDGES_KEY",
    "EPOCH_KEY",
    "FIGURES",
    "FORMER_KEY",
    "LAG",
    "LOOP",
    "REVOKED",
    "TRACES_KEY",
    "alive_key",
    "edge_key",
    "trace_key",
]

EPOCH_KEY: Final = "bus:epoch"
FIGURES: Final = "metrics_update"
"""Event of a service whose edge hears the service's events itself, for metrics (decisions/0117)."""
FORMER_KEY: Final = "bus:birth"
# decisions/0067: where older versions keep the epoch. A Redis of theirs goes on with that value, so that clients who
# come back over the upgrade are answered as before.
REVOKED: Final = "bus:revoked"
"""Key of the set of revocations, and name of their channel."""
LOOP: Final = "bus:doctor:"
"""Beginning of the channel on which a command publishes to itself, to see whether Redis hands events on."""
LAG: Final = "edgebus-lag-"
"""Beginning of the ids of channels on which a command measures the way of events."""
EDGES_KEY: Final = "bus:edges"
"""Key of the index of edges, a sorted set: ids by the time, in Redis' milliseconds, at which the entry expires."""


def edge_key(edge: str) -> str:
    """Return the key of an edge's entry, a hash that expires without heartbeats."""
    return f"bus:edge:{edge}"


def alive_key(service: str) -> str:
    """Return the key of the beats of a service's edges, a sorted set; only edges with users in rooms have a beat."""
    return f"bus:alive:{service}"


TRACES_KEY: Final = "bus:traces"
"""The ids of events whose stages are kept, by the time of the last word: a sorted set."""


def trace_key(event_id: str) -> str:
    """Return the key of an event's stages, a hash."""
    return f"bus:trace:{event_id}"

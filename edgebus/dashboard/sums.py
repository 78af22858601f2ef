"""A second of all edges as data for the page: troubles, in words, first. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from edgebus.dashboard.names import Names
from edgebus.top.frames import EdgeNow, Frame, label
from edgebus.top.sheets import state_of
from edgebus.top.troubles import summary, troubles

__all__ = ["NAME", "now_of"]

NAME: Final = "dashboard"
"""The name of the dashboard's own service; its edges are not shown."""


def now_of(frame: Frame, names: Names, counts: dict[str, int], now_ms: float) -> dict[str, Any]:
    """Return a frame as data; ``counts`` are lines by service."""
    # By the id, too: of an edge that was gone before this page came, nothing else is known.
    edges = tuple(it for it in frame.edges if it.entry.service != NAME and not it.entry.id.startswith(f"{NAME}-"))
    frame = Frame(edges, frame.away_s, frame.why, frame.has_begun)
    looks = [edge.look for edge in frame.present if edge.look is not None]
    return {
        "redis": {"away": frame.away_s, "why": frame.why},
        "begun": frame.has_begun,
        "summary": summary(frame),
        "troubles": [asdict(it) for it in troubles(frame, now_ms)],
        "edges": [_edge(edge) for edge in edges],
        "services": _services(frame.present, names, counts),
        "slow": [asdict(it) for it in frame.slow()[:50]],
        "busy": [{"service": service, **asdict(room)} for service, room in frame.rooms()],
        "deliveries": sum(it.rates.deliveries for it in looks),
        "clients": sum(edge.look.connections if edge.look else edge.entry.connections or 0 for edge in frame.present),
        "rooms": sum(edge.look.rooms_count if edge.look else edge.entry.rooms or 0 for edge in frame.present),
    }


def _edge(edge: EdgeNow) -> dict[str, Any]:
    look = edge.look
    return {
        **asdict(edge.entry),
        "label": label(edge.entry),
        "state": state_of(edge),
        "gone": edge.gone_s,
        "silent": edge.silent_s,
        "look": None
        if look is None
        else {"lagging": look.lagging, "waiting": look.waiting_bytes, **asdict(look.rates)},
    }


def _services(edges: Sequence[EdgeNow], names: Names, counts: dict[str, int]) -> list[dict[str, Any]]:
    """Return the services with an edge, a catalogue at hand, or events."""
    number = Counter(edge.entry.service for edge in edges)
    ready = Counter(edge.entry.service for edge in edges if edge.entry.is_ready)
    clients: Counter[str] = Counter()
    for edge in edges:
        clients[edge.entry.service] += edge.look.connections if edge.look else edge.entry.connections or 0
    every = dict.fromkeys([*names.services, *sorted(number), *sorted(it for it in counts if it)])
    return [
        {
            "name": name,
            "edges": number[name],
            "ready": ready[name],
            "clients": clients[name],
            "events": counts.get(name, 0),
            "isKnown": name in names.services,
        }
        for name in every
    ]

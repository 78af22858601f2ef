"""Edges, by the registry in Redis and by the listeners of probes."""

import os
import platform
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from bus.admin.registry import entry_of
from bus.admin.values import EdgeEntry
from bus.redis.keys import EDGES_KEY, edge_key
from edgebus.doctor.facts import Edge
from edgebus.doctor.questions import Questions, asking, pairs, text
from producers.services import NAMES

__all__ = ["edge_of", "gone", "look_at_edges"]

_PROBE: Final = "bus:probe:"
_MOST: Final = 1000
_ID: Final = re.compile(r"(?P<place>.+)-(?P<port>\d{1,5})-(?P<pid>\d{1,10})-[0-9a-f]+")
"""``<service>-<host>-<port>-<pid>-<random>``; services and hosts have hyphens of their own."""
_MILLISECONDS: Final = 1e11
"""A larger time is no number of seconds."""


async def look_at_edges(url: str, now_ms: float) -> list[Edge] | None:
    """Read the entries of all edges; None: the user may not.

    Args:
        url: of the primary.
        now_ms: Redis' clock.

    Raises:
        BusError: Redis cannot be reached.

    """
    async with asking(url) as questions:
        # Two lists: edges that hear, and edges that announced themselves. A dead one is in the second alone, and one of
        # an older version in the first.
        heard = await questions.ask("PUBSUB", "CHANNELS", f"{_PROBE}*", rule="+pubsub|channels")
        listed = pairs(await questions.ask("ZRANGE", EDGES_KEY, 0, -1, "WITHSCORES", rule=f"%R~{EDGES_KEY}"))
        channels: Iterable[Any] = heard if isinstance(heard, list) else ()
        ids = sorted({text(it).removeprefix(_PROBE) for it in channels} | set(listed))[:_MOST]
        found = [await _look_at(questions, edge_id, now_ms) or gone(edge_id, listed, now_ms) for edge_id in ids]
    edges = [edge for edge in found if edge is not None]
    return edges if edges or not questions.refused else None


async def _look_at(questions: Questions, edge_id: str, now_ms: float) -> Edge | None:
    """Return an edge with an entry; None: without, or of a service out of the user's sight."""
    answer = await questions.ask("HGETALL", edge_key(edge_id), rule="%R~bus:edge:*")
    if not isinstance(answer, list) or not answer:
        return None
    entry = entry_of(edge_id, dict(zip(answer[::2], answer[1::2], strict=False)))
    heard = pairs(await questions.answer("PUBSUB", "NUMSUB", f"{_PROBE}{edge_id}"))
    return edge_of(entry, heard.get(f"{_PROBE}{edge_id}", ""), now_ms)


def edge_of(entry: EdgeEntry, listening: str, now_ms: float) -> Edge:
    """Return the edge of an entry, with the number of listeners."""
    ends = entry.certificate_expires
    return Edge(
        id=entry.id,
        service=entry.service,
        host=entry.host,
        port=entry.port or 0,
        pid=entry.pid or 0,
        version=entry.version,
        catalogue=entry.catalogue,
        started=entry.started or 0,
        listeners=int(listening) if listening.isdecimal() else None,
        runs=_runs(entry.pid) if entry.host == platform.node() and entry.pid else None,
        link=entry.link or "up",
        ready=entry.ready or "yes",
        is_draining=bool(entry.draining),
        age_ms=_since(entry.started, now_ms),
        silent_ms=_since(entry.heartbeat_ms, now_ms),
        probe_age_ms=entry.probe_age_ms,
        max_connections=entry.max_connections,
        fds=entry.fds,
        fds_limit=entry.fds_limit,
        certificate_ends_s=ends and (ends / 1000 if ends > _MILLISECONDS else float(ends)),
        clock_ms=entry.clock_offset_ms,
        max_line_bytes=entry.max_line_bytes,
    )


def _since(time_ms: int | None, now_ms: float) -> int | None:
    return None if time_ms is None else max(0, int(now_ms - time_ms))


def gone(edge_id: str, listed: Mapping[str, str], now_ms: float) -> Edge | None:
    """Return an edge of the index without an entry: killed, or cut off from Redis."""
    expired = listed.get(edge_id, "").partition(".")[0]
    if not expired.isdecimal() or int(expired) > now_ms:
        return None  # an entry of a service that this user may not see has not expired
    parts = _ID.fullmatch(edge_id)
    place = parts["place"] if parts else ""
    service = next((name for name in sorted(NAMES) if place.startswith(f"{name}-")), "")
    return Edge(
        id=edge_id,
        service=service,
        host=place.removeprefix(f"{service}-") if service else "",
        port=int(parts["port"]) if parts else 0,
        pid=int(parts["pid"]) if parts else 0,
        listeners=None,
        gone_ms=int(now_ms - int(expired)),
    )


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True

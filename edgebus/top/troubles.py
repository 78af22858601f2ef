"""Troubles of the moment, in sentences with the edge and often a line to type, the worst first. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from bus.admin.values import EdgeEntry
from bus.values import frozen
from edgebus.figures import age, amount, count, rate, shortened
from edgebus.top.frames import EdgeNow, Frame, label

__all__ = ["Trouble", "summary", "title", "troubles"]

_FULL: Final = 0.9
_SOON_S: Final = 14 * 86_400
_CLOCK_MS: Final = 1_000
_REASON: Final = 100
_FLOOD: Final = 200
"""Within a minute: a single client is closed after 100."""


@frozen
class Trouble:
    """A sentence.

    Attributes:
        text: for people.
        is_bad: whether clients miss events now; else worth a look.

    """

    text: str
    is_bad: bool = True


def title(frame: Frame, address: str) -> str:
    """Return the sums over all present edges, in a line."""
    edges = frame.present
    looks = [edge.look for edge in edges if edge.look is not None]
    clients = sum(edge.look.connections if edge.look else edge.entry.connections or 0 for edge in edges)
    rooms = sum(edge.look.rooms_count if edge.look else edge.entry.rooms or 0 for edge in edges)
    events_in, out = sum(it.rates.events_in for it in looks), sum(it.rates.deliveries for it in looks)
    parts = (
        f"{count(len(edges))} edge(s)",
        f"{count(clients)} client(s)",
        f"{count(rooms)} room(s) on them",
        f"in {rate(events_in)}/s",
        f"out {rate(out)}/s",
        address,
    )
    return "  ".join(parts)


def troubles(frame: Frame, now_ms: float) -> list[Trouble]:
    """Return the troubles, the worst first. ``now_ms`` is the time since 1970, for the ends of certificates."""
    found = [*_of_redis(frame)]
    # Without Redis nothing is known of any edge: one sentence, and not one for each edge that seems silent.
    if frame.away_s is None:
        for edge in frame.edges:
            found += _of_edge(edge, now_ms)
        found += _of_services([edge.entry for edge in frame.present])
        found += _of_clients(frame)
    return sorted(found, key=lambda it: not it.is_bad)  # stable: by edge within


def summary(frame: Frame) -> str:
    """Return the sentence for a frame without trouble."""
    edges = frame.present
    if not frame.has_begun:
        return "asking Redis …"
    if not edges:
        return "no edge yet: start one with  edgebus edge mahavishnu"
    return f"all is well: {count(len(edges))} edge(s) ready, every link up, no client lags"


def _of_redis(frame: Frame) -> Iterator[Trouble]:
    if frame.away_s is not None:
        why = f": {shortened(frame.why, _REASON)}" if frame.why else ""
        yield Trouble(f"Redis is away for {age(frame.away_s)}{why}")
        if frame.edges:
            yield Trouble("what stands below is from before that; edges keep their clients meanwhile", is_bad=False)


def _of_edge(edge: EdgeNow, now_ms: float) -> Iterator[Trouble]:
    name, entry = label(edge.entry), edge.entry
    if edge.gone_s is not None:
        yield Trouble(f"{name} is gone for {age(edge.gone_s)}: killed, or cut off from Redis for ten seconds")
        return
    if edge.silent_s is not None:
        yield Trouble(f"{name} is silent for {age(edge.silent_s)}: no heartbeat; stopped, or cut off from Redis")
    elif entry.link and entry.link != "up":
        yield Trouble(f"{name}: its link to Redis is {shortened(entry.link, _REASON)}")
    elif entry.draining:
        yield Trouble(
            f"{name} drains, {count(entry.connections)} client(s) left; back with: edgebus undrain {name}", is_bad=False
        )
    elif entry.ready not in ("", "yes"):
        yield Trouble(f"{name} is not ready: {shortened(entry.ready, _REASON)}")
    elif edge.lookless_s is not None:
        yield Trouble(f"{name} writes no look for {age(edge.lookless_s)}: busy, or of an older version", is_bad=False)
    yield from _of_limits(edge, name, now_ms)


def _of_limits(edge: EdgeNow, name: str, now_ms: float) -> Iterator[Trouble]:
    entry = edge.entry
    for what, used, limit in (
        ("connections", entry.connections, entry.max_connections),
        ("descriptors", entry.fds, entry.fds_limit),
    ):
        if used is not None and limit and used >= _FULL * limit:
            yield Trouble(f"{name}: {count(used)} of {count(limit)} {what}", is_bad=used >= limit)
    ends_ms = entry.certificate_expires
    if ends_ms and ends_ms - now_ms < _SOON_S * 1000:
        left_s = (ends_ms - now_ms) / 1000
        ends = f"ends in {age(left_s)}" if left_s > 0 else "has ended"
        yield Trouble(f"{name}: its certificate {ends}", is_bad=left_s <= 0)
    if entry.clock_offset_ms is not None and abs(entry.clock_offset_ms) > _CLOCK_MS:
        yield Trouble(f"{name}: its clock is {entry.clock_offset_ms / 1000:+.1f} s off Redis' clock", is_bad=False)
    yield from _of_late(edge, name)


def _of_late(edge: EdgeNow, name: str) -> Iterator[Trouble]:
    if edge.gaps is not None:
        yield Trouble(
            f"{name} found {count(edge.gaps.count)} gap(s), the last {age(edge.gaps.ago_s)} ago", is_bad=False
        )
    if edge.slowed is not None:
        number, ago = count(edge.slowed.count), age(edge.slowed.ago_s)
        yield Trouble(f"{name} closed {number} client(s) for slow reading, the last {ago} ago", is_bad=False)
    if edge.limited is not None and edge.limited.count >= _FLOOD:
        number, ago = count(edge.limited.count), age(edge.limited.ago_s)
        yield Trouble(f"{name} held clients to its limits {number} times, the last {ago} ago: a flood", is_bad=False)


def _of_services(entries: Sequence[EdgeEntry]) -> Iterator[Trouble]:
    """Tell of services with different edges: a client finds other rules after a move."""
    by_service: dict[str, list[EdgeEntry]] = defaultdict(list)
    for entry in entries:
        by_service[entry.service].append(entry)
    for service, edges in by_service.items():
        for what, values in (
            ("catalogues", {it.catalogue for it in edges if it.catalogue}),
            ("versions", {it.version for it in edges if it.version}),
        ):
            if len(values) > 1:
                shown = ", ".join(shortened(value, 16) for value in sorted(values))
                yield Trouble(f"edges of {service} serve {len(values)} {what}: {shown}", is_bad=False)


def _of_clients(frame: Frame) -> Iterator[Trouble]:
    number = frame.lagging()
    if not number:
        return
    most = max(frame.slow(), key=lambda it: it.waiting_bytes, default=None)
    whose = (
        ""
        if most is None
        else f"; {amount(most.waiting_bytes)} wait for {most.user or most.address}: edgebus client {most.id}"
    )
    yield Trouble(f"{count(number)} client(s) read slower than events come{whose}", is_bad=False)

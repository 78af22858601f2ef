"""``edgebus lag``: the edges to measure, and the measure as a table or JSON lines."""

import math
import platform
from collections.abc import Sequence
from dataclasses import field
from typing import Any, Final

from bus.admin.operator import Operator
from bus.admin.values import EdgeEntry
from bus.errors import NotThere
from bus.redis.address import without_password
from bus.service import Service
from bus.values import frozen
from edgebus.catalogue import channel_at_edge
from edgebus.columns import add_row, table_of
from edgebus.commands.naming import chosen
from edgebus.commands.probing import Lag, Target, probe, watch
from edgebus.terminal import note, show_json, show_table
from edgebus.top.frames import label

__all__ = ["Measure", "quantile", "show_lag", "url_of"]

_LEGS: Final = ("to_redis", "to_client", "whole")
_SHARES: Final = (0.5, 0.99)
_COLUMNS: Final = ("#to Redis p50", "#p99", "#to client p50", "#p99", "#whole p50", "#p99")


@frozen
class Measure:
    """The means of a measure.

    Attributes:
        redis_url: of Redis.
        token: for the edges.
        count: how many events.
        timeout_s: how long a channel is watched.
        services: at hand.

    """

    redis_url: str
    token: str | None = field(repr=False)
    count: int
    timeout_s: float
    services: Sequence[Service]


async def show_lag(
    measure: Measure, channel: str | None, urls: Sequence[str], *, edges: Sequence[str] = (), as_json: bool
) -> bool:
    """Measure and print; tell whether every edge was measured.

    Without ``urls``, the edges are all of Redis' registry, or the edges with ids begun by ``edges``.

    Raises:
        NotThere: there is no edge to measure.
        BusUnavailable: Redis cannot be reached.

    """
    service = None if channel is None else channel_at_edge(channel, measure.services)
    targets = [Target(without_password(url), url) for url in urls]
    targets = targets or await _known(measure.redis_url, edges, service[0] if service is not None else None)
    if service is None:
        lags = await probe(
            measure.redis_url, targets, token=measure.token, count=measure.count, services=measure.services
        )
    else:
        found = service[1].name
        lags = await watch(
            measure.redis_url, targets, found, token=measure.token, count=measure.count, timeout_s=measure.timeout_s
        )
    _show(lags, as_json=as_json)
    return all(lag.whole and not lag.missing for lag in lags)


async def _known(redis_url: str, names: Sequence[str], service: Service | None) -> list[Target]:
    async with Operator(redis_url) as operator:
        ids = await chosen(operator, names)
        entries = await operator.edges(service.name if service is not None else None)
    found = [Target(label(it), url_of(it)) for it in entries if ids is None or it.id in ids]
    if not found:
        of = f" of {service.name}" if service is not None else ""
        raise NotThere(f"Redis' registry has no edge{of}; name one with --url ws://…")
    return found


def url_of(entry: EdgeEntry) -> str:
    """Return the address of an edge, by host and port of the entry; an edge of our machine is asked on 127.0.0.1."""
    host = "127.0.0.1" if entry.host == platform.node() else entry.host
    return f"{'ws' if entry.certificate_expires is None else 'wss'}://{host}:{entry.port}"


def quantile(numbers: Sequence[float], share: float) -> float | None:
    """Return the smallest of ``numbers`` not exceeded by ``share`` of the numbers; None of no numbers."""
    ordered = sorted(numbers)
    return ordered[math.ceil(len(ordered) * share) - 1] if ordered else None


def _show(lags: Sequence[Lag], *, as_json: bool) -> None:
    if as_json:
        for lag in lags:
            show_json(_data(lag))
        return
    table = table_of("edge", "channel", "#events", *_COLUMNS)
    for lag in lags:
        cells = [_ms(quantile(getattr(lag, leg), share)) for leg in _LEGS for share in _SHARES]
        add_row(table, lag.target.name, lag.channel or "-", str(len(lag.whole)), *cells)
    show_table(table)
    for lag in lags:
        if lag.trouble:
            note(f"{lag.target.name}: {lag.trouble}")


def _data(lag: Lag) -> dict[str, Any]:
    legs = {
        leg: {"p50_ms": quantile(getattr(lag, leg), 0.5), "p99_ms": quantile(getattr(lag, leg), 0.99)} for leg in _LEGS
    }
    return {
        "edge": lag.target.name,
        "channel": lag.channel or None,
        "events": len(lag.whole),
        "missing": lag.missing,
        **legs,
        "trouble": lag.trouble or None,
    }


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} ms"

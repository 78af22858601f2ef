"""``edgebus lag``: which edges are measured, and the measure as a table or JSON lines."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bus.errors import BusUnavailable
from bus.redis.address import without_password
from bus.service import Service
from edgebus.catalogue import channel_at_edge
from edgebus.commands.columns import add_row, table_of
from edgebus.commands.probing import Lag, Target, probe, watch
from edgebus.terminal import note, show_json, show_table

__all__ = ["Measure", "quantile", "show_lag"]

_LEGS: Final = ("to_redis", "to_client", "whole")
_SHARES: Final = (0.5, 0.99)
_COLUMNS: Final = ("#to Redis p50", "#p99", "#to client p50", "#p99", "#whole p50", "#p99")


@dataclass(frozen=True, slots=True)
class Measure:
    """What is measured with.

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


async def show_lag(measure: Measure, channel: str | None, urls: Sequence[str], *, as_json: bool) -> bool:
    """Measure and print; tell whether every edge was measured.

    Raises:
        BusUnavailable: there is no edge to measure, or no Redis.

    """
    service = None if channel is None else channel_at_edge(channel, measure.services)
    targets = [Target(without_password(url), url) for url in urls]
    if not targets:
        raise BusUnavailable("no edge is known to Redis; name one with --url ws://…")
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


def quantile(numbers: Sequence[float], share: float) -> float | None:
    """Return the smallest of ``numbers`` that ``share`` of them do not exceed; None of none."""
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

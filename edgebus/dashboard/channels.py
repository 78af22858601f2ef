"""All channels with a log in Redis, with members, or heard of; in slices, at any number."""

import time
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final

from bus.admin.operator import Operator
from bus.errors import BusError
from bus.values import mutable
from edgebus.dashboard.flow import Flow
from edgebus.dashboard.names import Names, is_channel
from edgebus.dashboard.reads import Reads

__all__ = ["ORDERS", "Channels"]

ORDERS: Final = ("rate", "members", "length", "last", "name")
_SLICE: Final = 100
_LISTED_S: Final = 5.0
"""How long a list of all channels is good for: some thousand commands."""
_MEMBERS_S: Final = 2.0
_RATED_S: Final = 1.0
_ROOMS: Final = 500
_HEADED_S: Final = 30.0
"""How long last positions are good for: an entry of each log. What is heard since then counts by itself."""


@mutable
class _Known:
    """The last findings, each with its time by the monotonic clock."""

    lengths: dict[str, int] = field(default_factory=dict)
    is_cut: bool = False
    listed_s: float = float("-inf")
    members: dict[str, int] = field(default_factory=dict)
    members_s: float = float("-inf")
    counts: dict[str, int] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    rated_s: float = float("-inf")
    lasts: dict[str, float] = field(default_factory=dict)
    lasts_s: float = float("-inf")


class Channels:
    """Lists channels.

    Args:
        flow: the channels heard of.
        operator: asks edges for rooms.
        reads: reads logs.

    """

    def __init__(self, flow: Flow, operator: Operator, reads: Reads) -> None:
        self._flow, self._operator, self._reads = flow, operator, reads
        self._known = _Known()

    async def page(self, search: str, by: str, offset: int) -> dict[str, Any]:
        """Return a slice of the channels with ``search`` in their names, and the number of all."""
        known = await self._refreshed()
        every = {*known.lengths, *known.members, *self._flow.channels}
        found = [name for name in every if search in name]
        # Positions of all cost an entry of each log, and are read for the slice alone where no page orders by them.
        orders: dict[str, Mapping[str, float]] = {
            "rate": known.rates,
            "members": known.members,
            "length": known.lengths,
            "last": await self._lasts(known) if by == "last" else {},
        }
        values = orders.get(by, {})
        found.sort(key=lambda it: (-values.get(it, 0), it))
        shown = found[offset : offset + _SLICE]
        heads = await self._reads.heads(shown)
        rows = [self._row(name, known, heads.get(name)) for name in shown]
        return {"rows": rows, "total": len(found), "isCut": known.is_cut}

    def _row(self, name: str, known: _Known, position: str | None) -> dict[str, Any]:
        names: Names = self._flow.names
        return {
            "channel": name,
            "service": names.service(name),
            "rate": known.rates.get(name, 0.0),
            "members": known.members.get(name, 0),
            "length": known.lengths.get(name),
            "position": position,
        }

    async def _refreshed(self) -> _Known:
        known, now_s = self._known, time.monotonic()
        # Each part ages by itself, and is shared by all pages: ten pages cost Redis as much as one.
        if now_s - known.rated_s >= _RATED_S:
            counts = {name: count for name, (count, _) in self._flow.channels.items()}
            spent_s = now_s - known.rated_s
            known.rates = {name: round((it - known.counts.get(name, it)) / spent_s, 1) for name, it in counts.items()}
            known.counts, known.rated_s = counts, now_s
        if now_s - known.members_s >= _MEMBERS_S:
            known.members_s = now_s
            known.members = await self._members()
        if now_s - known.listed_s >= _LISTED_S:
            known.listed_s = now_s
            known.lengths, known.is_cut = await self._reads.lengths()
        return known

    async def _lasts(self, known: _Known) -> dict[str, float]:
        """Return when each channel's last event was: by its log, or as heard; milliseconds since 1970."""
        now_s = time.monotonic()
        if now_s - known.lasts_s >= _HEADED_S:
            known.lasts_s = now_s
            heads = await self._reads.heads(list(known.lengths))
            known.lasts = {name: float(it.partition("-")[0]) for name, it in heads.items()}
        return known.lasts | {name: at_ms for name, (_, at_ms) in self._flow.channels.items()}

    async def _members(self) -> dict[str, int]:
        try:
            page = await self._operator.rooms(by="members", limit=_ROOMS)
        except BusError:  # an edge that cannot be asked hides no log
            return {}
        # `global` has no service in a row of all edges: its members stand beside no log.
        return {row.channel: row.members for row in page.rows if is_channel(row.channel)}

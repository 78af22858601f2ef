"""Lists over several edges: pages of each edge, put together."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from bus.admin.cursors import pack, unpack
from bus.admin.desk import Desk
from bus.admin.values import ClientInfo, Page, RoomRow
from bus.admin.words import PAGE_ROWS, AdminVerb, Order
from bus.errors import AdminRefused, EdgeSilent

__all__ = ["Lists", "ask_all"]

_CLIENTS: Final = TypeAdapter(list[ClientInfo])
_MEASURED: Final = TypeAdapter(list[tuple[str, int, float | None, float]])
_MEASURE_EVERY_S: Final = 0.2
_MEASURE_TURNS: Final = 15

_Row = tuple[str, int, float | None, float]
"""Name, members, rate and place in the order, of a room in an edge."""


async def ask_all(
    desk: Desk, edges: Sequence[str], verb: AdminVerb, data: Mapping[str, Any]
) -> tuple[dict[str, Mapping[str, Any]], tuple[str, ...]]:
    """Ask edges at the same time; return the answers by edge, and the edges that are silent."""
    asked = (desk.ask(edge, verb, data) for edge in edges)
    return _sorted_out(edges, await asyncio.gather(*asked, return_exceptions=True))


class Lists:
    """Asks edges for pages.

    Args:
        desk: asks.

    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def clients(
        self, edges: Sequence[str], wanted: Mapping[str, Any], *, limit: int, cursor: str | None
    ) -> Page[ClientInfo]:
        """Return a page of clients: each edge goes on where the page before ended at this edge."""
        places: dict[str, Any] = dict.fromkeys(edges, 0) if cursor is None else unpack(cursor)
        if not places:
            return Page(())
        # Of fewer rows than edges, the later edges wait for the next page: a row that came cannot be put back.
        now = list(places)[: max(1, limit)]
        part = min(PAGE_ROWS, max(1, limit // len(now)))
        asked = [self._desk.ask(it, AdminVerb.CLIENTS, {**wanted, "after": places[it], "limit": part}) for it in now]
        answers, silent = _sorted_out(now, await asyncio.gather(*asked, return_exceptions=True))
        rows = [row for answer in answers.values() for row in _parsed(_CLIENTS, answer.get("rows"))]
        left = {edge: answer["after"] for edge, answer in answers.items() if answer.get("after") is not None}
        return Page(tuple(rows), pack({**left, **{it: places[it] for it in places if it not in now}}), silent)

    async def rooms(
        self, edges: Sequence[str], order: Order, prefix: str, *, limit: int, cursor: str | None
    ) -> Page[RoomRow]:
        """Return a page of rooms: all edges go on behind the same place in the order."""
        # decisions/0120: a room of several edges stands where the edge with the most members has it, so one place is
        # enough for all edges, and no room comes twice while nothing changes.
        after = None if cursor is None else unpack(cursor).get("after")
        limit = min(PAGE_ROWS, max(1, limit))
        wanted = {"by": order, "prefix": prefix, "limit": limit, "after": after}
        answers, silent = await self._measured(edges, wanted)
        rows = sorted((row[3], row[0]) for answer in answers.values() for row in _parsed(_MEASURED, answer.get("rows")))
        places = list(dict.fromkeys(rows))[:limit]
        if not places:
            return Page((), None, silent)
        is_cut = len(places) < len(set(rows)) or any(answer.get("more") is True for answer in answers.values())
        found, others = await self._by_name(list(answers), list(dict.fromkeys(name for _, name in places)), order)
        shown = [row for at, name in places if (row := _first_seen(found.get(name), at, order)) is not None]
        # By rate the order moves with every second: there is a top, and no second page.
        goes_on = is_cut and order is not Order.RATE
        return Page(tuple(shown), pack({"after": places[-1]} if goes_on else {}), (*silent, *others))

    async def _measured(
        self, edges: Sequence[str], wanted: Mapping[str, Any]
    ) -> tuple[dict[str, Mapping[str, Any]], tuple[str, ...]]:
        """Ask for pages; an edge without an operator measures rates for a second first."""
        answers, silent = await ask_all(self._desk, edges, AdminVerb.ROOMS, wanted)
        for _ in range(_MEASURE_TURNS):
            waiting = [edge for edge, answer in answers.items() if answer.get("is_measuring") is True]
            if not waiting:
                break
            await asyncio.sleep(_MEASURE_EVERY_S)
            later, more_silent = await ask_all(self._desk, waiting, AdminVerb.ROOMS, wanted)
            answers, silent = {**answers, **later}, (*silent, *more_silent)
        return answers, silent

    async def _by_name(
        self, edges: Sequence[str], names: Sequence[str], order: Order
    ) -> tuple[dict[str, dict[str, _Row]], tuple[str, ...]]:
        """Return rooms by name, each with the row of every edge that has members there."""
        answers, silent = await ask_all(self._desk, edges, AdminVerb.ROOMS, {"names": list(names), "by": order})
        found: dict[str, dict[str, _Row]] = {}
        for edge, answer in answers.items():
            for row in _parsed(_MEASURED, answer.get("rows")):
                found.setdefault(row[0], {})[edge] = row
        return found, silent


def _first_seen(rows: Mapping[str, _Row] | None, at: float, order: Order) -> RoomRow | None:
    """Return the row of a room at its first place in the order; None for a later place, and a room left meanwhile."""
    if not rows:
        return None
    members = {edge: row[1] for edge, row in rows.items()}
    if order is Order.MEMBERS and -max(members.values()) < at:
        return None
    rates = [row[2] for row in rows.values() if row[2] is not None]
    name = next(iter(rows.values()))[0]
    return RoomRow(name, sum(members.values()), max(rates, default=None), members)


def _sorted_out(edges: Sequence[str], outcomes: Sequence[Any]) -> tuple[dict[str, Mapping[str, Any]], tuple[str, ...]]:
    answers: dict[str, Mapping[str, Any]] = {}
    silent: list[str] = []
    for edge, outcome in zip(edges, outcomes, strict=True):
        if isinstance(outcome, EdgeSilent):
            silent.append(edge)
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            answers[edge] = outcome
    return answers, tuple(silent)


def _parsed(adapter: TypeAdapter[Any], rows: Any) -> Any:
    try:
        return adapter.validate_python(rows)
    except ValidationError as error:
        raise AdminRefused("an edge's answer has another form: edge and operator are of different versions") from error

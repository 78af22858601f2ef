"""``edgebus edges``, ``rooms`` and ``clients``: lists, a page after another until there is enough."""

import dataclasses
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeAlias, TypeVar

from bus.admin.operator import Operator
from bus.admin.values import ClientInfo, EdgeEntry, Page, RoomRow
from bus.errors import BusTimeout
from edgebus.columns import add_row, table_of
from edgebus.commands.naming import chosen
from edgebus.figures import age, amount, clock_time, count, rate
from edgebus.terminal import note, show_json, show_table
from edgebus.top.frames import EdgeNow, Frame
from edgebus.top.sheets import state_of
from edgebus.top.troubles import troubles

__all__ = ["show_clients", "show_edges", "show_rooms"]

RowT = TypeVar("RowT", RoomRow, ClientInfo)
Pages: TypeAlias = Callable[[int, str | None], Awaitable[Page[RowT]]]

_PAGE = 500


async def show_edges(url: str, service: str | None, now_ms: float, *, as_json: bool) -> None:
    """Print the edges' entries, and the edges' troubles."""
    async with Operator(url) as operator:
        entries, gone = await operator.edges(service), await operator.gone(service)
    if as_json:
        for entry in entries:
            show_json(dataclasses.asdict(entry))
        for it in gone:
            show_json(dataclasses.asdict(it))
        return
    if not entries and not gone:
        note("no edge is in Redis' registry; start one with: edgebus edge mahavishnu")
        return
    table = table_of("edge", "state", "#clients", "#rooms", "#events in", "#out", "#slow", "#gaps", "#up", "version")
    edges = [*map(EdgeNow, entries), *(EdgeNow(EdgeEntry(it.id), gone_s=it.ago_s) for it in gone)]
    for edge in edges:
        add_row(table, *_edge(edge, now_ms))
    show_table(table)
    for trouble in troubles(Frame(tuple(edges)), now_ms):
        note(trouble.text)


def _edge(edge: EdgeNow, now_ms: float) -> Iterable[str]:
    entry = edge.entry
    numbers = (entry.connections, entry.rooms, entry.events_in, entry.deliveries, entry.slow, entry.gaps)
    up = None if entry.started is None else (now_ms - entry.started) / 1000
    return entry.id, state_of(edge), *map(count, numbers), age(up), entry.version or "-"


async def show_rooms(
    url: str, edges: Sequence[str], *, by: str, prefix: str, limit: int, cursor: str | None, as_json: bool
) -> None:
    """Print rooms, over all edges or some."""
    async with Operator(url) as operator:
        ids = await chosen(operator, edges)

        async def page(most: int, at: str | None) -> Page[RoomRow]:
            return await operator.rooms(ids, by=by, prefix=prefix, limit=most, cursor=at)

        found = await _pages(page, limit, cursor)
    columns = ("room", "#members", "#events/s", "#edges")
    _show(
        found, columns, lambda it: (it.channel, count(it.members), rate(it.rate), count(len(it.edges))), as_json=as_json
    )


async def show_clients(
    url: str,
    edges: Sequence[str],
    *,
    slow: bool,
    room: str | None,
    user: str | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """Print clients, over all edges or some."""
    async with Operator(url) as operator:
        ids = await chosen(operator, edges)

        async def page(most: int, at: str | None) -> Page[ClientInfo]:
            return await operator.clients(ids, slow=slow, room=room, user=user, limit=most, cursor=at)

        found = await _pages(page, limit, cursor)
    columns = ("client", "user", "address", "#rooms", "#waiting", "state", "since", "edge")
    _show(found, columns, _client, as_json=as_json)


def _client(client: ClientInfo) -> Iterable[str]:
    numbers = count(client.rooms_count), amount(client.waiting_bytes)
    user, since = client.user or "-", clock_time(client.connected)
    return client.id, user, client.address, *numbers, client.state, since, client.edge


async def _pages(page: Pages[RowT], limit: int, cursor: str | None) -> Page[RowT]:
    """Return rows of as many pages as ``limit`` rows take: an edge is asked for an answer's worth at a time."""
    rows: list[RowT] = []
    silent: dict[str, None] = {}
    while True:
        found = await page(min(_PAGE, limit - len(rows)), cursor)
        rows += found.rows
        silent.update(dict.fromkeys(found.silent))
        cursor = found.cursor
        if cursor is None or len(rows) >= limit:
            return Page(tuple(rows), cursor, tuple(silent))


def _show(found: Page[RowT], columns: Sequence[str], cells: Callable[[RowT], Iterable[str]], *, as_json: bool) -> None:
    """Print the rows, then how to go on, and the silent edges.

    Raises:
        BusTimeout: an edge did not answer; printed behind the rows of the others.

    """
    if as_json:
        _show_lines(found)
    elif found.rows:
        table = table_of(*columns)
        for row in found.rows:
            add_row(table, *cells(row))
        show_table(table)
    else:
        note("none")
    if found.cursor is not None and not as_json:
        note(f"there are more: the same with --cursor {found.cursor}, or a greater --limit")
    if found.silent:
        raise BusTimeout(f"without what is on {', '.join(found.silent)}: no answer came")


def _show_lines(found: Page[Any]) -> None:
    for row in found.rows:
        show_json(dataclasses.asdict(row))
    if found.cursor is not None or found.silent:
        show_json({"cursor": found.cursor, "silent": found.silent})

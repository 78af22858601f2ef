"""Tables of the dashboard as data: columns, orders, cells. Pure, and without textual."""

from collections.abc import Callable, Iterable
from dataclasses import field
from typing import Any, Final, Generic, TypeVar

from bus.admin.values import BusyRoom, ClientInfo, RoomOnEdge, RoomRow
from bus.values import frozen
from edgebus.figures import age, amount, count, rate, shortened
from edgebus.terminal import escape
from edgebus.top.frames import EdgeNow, label

__all__ = [
    "BUSY",
    "CLIENTS",
    "EDGES",
    "ON_EDGES",
    "ROOMS",
    "SLOW",
    "Busy",
    "Column",
    "Order",
    "Row",
    "Sheet",
    "state_of",
]

ValueT = TypeVar("ValueT")
Busy = tuple[str, BusyRoom]
"""A service's name, and a room of the service."""


@frozen
class Column(Generic[ValueT]):
    """A column.

    Attributes:
        name: the heading.
        cell: the text of a value.
        order: the key to sort rows by; None for no sorting.
        is_number: stands to the right, and begins with the greatest.
        is_wide: left out on a narrow terminal.
        limit: the most characters on a narrow terminal; three times as many on a wide terminal.

    """

    name: str
    cell: Callable[[ValueT], str]
    order: Callable[[ValueT], Any] | None = None
    is_number: bool = False
    is_wide: bool = False
    limit: int = 40


@frozen
class Row:
    """A row: key, cells, and a word for the colour (``bad``, ``odd`` or none)."""

    key: str
    cells: tuple[str, ...]
    mood: str = ""


@frozen
class Order:
    """The column to sort rows by, as an index among the sortable columns; reversed or not."""

    column: int = 0
    is_reversed: bool = False


@frozen
class Sheet(Generic[ValueT]):
    """A table for values of a type."""

    name: str
    columns: tuple[Column[ValueT], ...]
    key: Callable[[ValueT], str]
    mood: Callable[[ValueT], str] = field(default=lambda _: "")

    def shown(self, *, is_wide: bool) -> list[Column[ValueT]]:
        """Return the columns for a terminal."""
        return [it for it in self.columns if is_wide or not it.is_wide]

    def sorted_by(self, order: Order) -> Column[ValueT] | None:
        """Return the column of ``order``, None for a table in the order of the values."""
        able = [it for it in self.columns if it.order is not None]
        return able[order.column % len(able)] if able else None

    def rows(
        self, values: Iterable[ValueT], order: Order, *, wanted: str = "", is_wide: bool = True, most: int = 200
    ) -> list[Row]:
        """Return the rows with ``wanted``, letters of both cases alike, sorted, and at most so many."""
        column = self.sorted_by(order)
        found = list(values)
        if column is not None and column.order is not None:
            found.sort(key=column.order, reverse=column.is_number != order.is_reversed)
        columns = self.shown(is_wide=is_wide)
        rows: dict[str, Row] = {}  # an edge of another make could name a client twice, and a table takes a key once
        for value in found:
            if len(rows) == most:
                break
            if not wanted or self._has(value, wanted.casefold()):
                cells = tuple(_cell(it, value, is_wide=is_wide) for it in columns)
                rows.setdefault(self.key(value), Row(self.key(value), cells, self.mood(value)))
        return list(rows.values())

    def _has(self, value: ValueT, wanted: str) -> bool:
        return any(wanted in it.cell(value).casefold() for it in self.columns)


def _cell(column: Column[ValueT], value: ValueT, *, is_wide: bool) -> str:
    # Names of users, channels and addresses are texts of strangers; escaped first, for an escape is longer.
    text = escape(column.cell(value))
    return text if column.is_number else shortened(text, column.limit * (3 if is_wide else 1))


def state_of(edge: EdgeNow) -> str:
    """Return an edge's state in a word or two."""
    entry = edge.entry
    if edge.gone_s is not None:
        return f"gone {age(edge.gone_s)}"
    if edge.silent_s is not None:
        return f"silent {age(edge.silent_s)}"
    if entry.link and entry.link != "up":
        return f"link {entry.link.partition(':')[0]}"
    if entry.draining:
        return "draining"
    return "ready" if entry.ready in ("yes", "") else "not ready"


def _mood(edge: EdgeNow) -> str:
    return {"ready": "", "draining": "odd"}.get(state_of(edge), "bad")


def _in(edge: EdgeNow) -> float | None:
    return edge.look.rates.events_in if edge.look is not None else None


def _out(edge: EdgeNow) -> float | None:
    return edge.look.rates.deliveries if edge.look is not None else None


def _clients(edge: EdgeNow) -> int | None:
    return edge.look.connections if edge.look is not None else edge.entry.connections


def _rooms(edge: EdgeNow) -> int | None:
    return edge.look.rooms_count if edge.look is not None else edge.entry.rooms


def _waiting(edge: EdgeNow) -> int | None:
    return edge.look.waiting_bytes if edge.look is not None else edge.entry.waiting_bytes


def _known(number: Callable[[ValueT], float | None]) -> Callable[[ValueT], float]:
    def order(value: ValueT) -> float:
        found = number(value)
        return -1.0 if found is None else float(found)

    return order


def _lagging(edge: EdgeNow) -> int | None:
    return edge.look.lagging if edge.look is not None else None


EDGES: Final[Sheet[EdgeNow]] = Sheet(
    "edges",
    (
        Column("edge", lambda it: label(it.entry), lambda it: it.entry.id, limit=22),
        Column("in/s", lambda it: rate(_in(it)), _known(_in), is_number=True),
        Column("out/s", lambda it: rate(_out(it)), _known(_out), is_number=True),
        Column("clients", lambda it: count(_clients(it)), _known(_clients), is_number=True),
        Column("rooms", lambda it: count(_rooms(it)), _known(_rooms), is_number=True),
        Column("lag", lambda it: count(_lagging(it)), _known(_lagging), is_number=True),
        Column("gaps", lambda it: count(it.entry.gaps), _known(lambda it: it.entry.gaps), is_number=True),
        Column("waiting", lambda it: amount(_waiting(it)), _known(_waiting), is_number=True, is_wide=True),
        Column("state", state_of, state_of, limit=14),
        Column("link", lambda it: it.entry.link or "-", is_wide=True, limit=8),
        Column("version", lambda it: it.entry.version or "-", lambda it: it.entry.version, is_wide=True, limit=10),
    ),
    lambda it: it.entry.id,
    _mood,
)

BUSY: Final[Sheet[Busy]] = Sheet(
    "rooms",
    (
        Column("room", lambda it: it[1].channel, lambda it: it[1].channel, limit=32),
        Column("events/s", lambda it: rate(it[1].rate), lambda it: it[1].rate, is_number=True),
        Column("members", lambda it: count(it[1].members), lambda it: it[1].members, is_number=True),
        Column("service", lambda it: it[0], lambda it: it[0], limit=14),
    ),
    lambda it: f"{it[0]}/{it[1].channel}",
)


def _who(client: ClientInfo) -> str:
    return client.user or "-"


_CLIENT: Final[tuple[Column[ClientInfo], ...]] = (
    Column("client", lambda it: it.id, lambda it: it.id, limit=14),
    Column("user", _who, _who, limit=16),
    Column("waiting", lambda it: amount(it.waiting_bytes), lambda it: it.waiting_bytes, is_number=True),
    Column("state", lambda it: it.state, lambda it: it.state, limit=12),
    Column("rooms", lambda it: count(it.rooms_count), lambda it: it.rooms_count, is_number=True),
    Column("address", lambda it: it.address, lambda it: it.address, limit=16),
    Column("edge", lambda it: it.edge, lambda it: it.edge, is_wide=True, limit=10),
)

SLOW: Final[Sheet[ClientInfo]] = Sheet("slow clients", _CLIENT, lambda it: it.id)
CLIENTS: Final[Sheet[ClientInfo]] = Sheet(
    "clients", _CLIENT, lambda it: it.id, lambda it: "" if it.state == "reading" else "odd"
)

ROOMS: Final[Sheet[RoomRow]] = Sheet(
    "rooms",
    (
        Column("room", lambda it: it.channel, limit=40),
        Column("members", lambda it: count(it.members), is_number=True),
        Column("events/s", lambda it: rate(it.rate), is_number=True),
        Column("edges", lambda it: count(len(it.edges)), is_number=True),
    ),
    lambda it: it.channel,
)

ON_EDGES: Final[Sheet[RoomOnEdge]] = Sheet(
    "edges of the room",
    (
        Column("edge", lambda it: it.edge, limit=24),
        Column("members", lambda it: count(it.members), is_number=True),
        Column("events/s", lambda it: rate(it.rate), is_number=True),
        Column("position", lambda it: it.position or "-", limit=22),
        Column("in sync", lambda it: "yes" if it.in_sync else "no", limit=8),
        Column("left out", lambda it: count(it.left_out), is_number=True),
    ),
    lambda it: it.edge,
    lambda it: "" if it.in_sync else "bad",
)

"""The frame of every screen, the screen with all at once, and the page of the keys."""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, TypeAlias

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import DataTable, Footer, Input, Static

from edgebus.top.frames import Frame
from edgebus.top.sheets import BUSY, EDGES, SLOW, Busy, Order
from edgebus.top.widgets import Head, SheetTable

__all__ = ["FrameScreen", "HelpScreen", "Kind", "Open", "Overview", "named"]

Kind: TypeAlias = Literal["edge", "room", "client", "rooms", "clients"]

_KEYS: Final = """\
arrows, Tab   move within a table, to the next table
Enter         open the edge, the room, the client under the cursor
Esc           back; and end a filter
s, S          sort by the next column; the other way around
/             filter: only rows with this text; in the list of rooms: names that begin so; of clients: a user
p             pause: the tables stand still, the head goes on
r             all rooms, page by page (n next, b back)
c             all clients, page by page; of the edge or the room that is open
?             this page
q             quit

in/s, out/s   events from Redis, and events written to clients, in the last second
lag           clients that read slower than events come
waiting       bytes written by an edge that the clients' side has not taken yet
gaps          events that an edge's link missed; each is repaired from the log, or told to clients

The head says what is wrong now, the worst first. To change something, quit and type:
  edgebus kick CLIENT     edgebus kick --user U     edgebus kick --room R
  edgebus drain EDGE      edgebus undrain EDGE      edgebus log-level EDGE debug
docs/operating.md has an example of each, docs/runbook.md what to look at for each alert.
"""
_TOP: Final = 50


@dataclass
class Open(Message):
    """A wish for another screen: of an edge, a room, a client by ``key``; of a list, likewise (``edge:…``)."""

    kind: Kind
    key: str = ""


class FrameScreen(Screen[None]):
    """A screen under the head, with a line for a filter at the foot."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back"),
        Binding("s", "sort", "Sort"),
        Binding("S", "turn", "Reverse", show=False),
        Binding("slash", "filter", "Filter", key_display="/"),
    ]

    filter_hint = "only rows with this text; Enter to keep, Esc for all rows"

    def compose(self) -> ComposeResult:
        """Yield the head, the screen's own, the line of the filter, and the keys."""
        yield Head()
        yield Container(*self.body(), id="body")
        yield Input(placeholder=self.filter_hint, id="filter")
        yield Footer(show_command_palette=False, compact=True)

    @abstractmethod
    def body(self) -> Iterable[Widget]:
        """Return the widgets between head and foot."""

    def put(self, frame: Frame) -> None:
        """Take the newest frame; a screen with questions of its own shows no frame."""

    @property
    def tables(self) -> list[SheetTable[Any]]:
        """The tables of the screen."""
        return list(self.query(SheetTable))

    @property
    def current(self) -> SheetTable[Any] | None:
        """The table with the focus, else the first."""
        focused = next((it for it in self.tables if it.has_focus_within), None)
        return focused or next(iter(self.tables), None)

    def opens(self, table: SheetTable[Any]) -> Open | None:
        """Return the wish for the value under the table's cursor; None for an empty table."""
        return None

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open the value under the cursor, at Enter."""
        table = self.current
        wish = self.opens(table) if table is not None and table.table is event.data_table else None
        if wish is not None:
            self.post_message(wish)

    def action_sort(self) -> None:
        """Sort the table by the next column."""
        if (table := self.current) is not None:
            table.sort_next()

    def action_turn(self) -> None:
        """Sort the table the other way around."""
        if (table := self.current) is not None:
            table.turn()

    def action_filter(self) -> None:
        """Ask for the text of the filter."""
        line = self.query_one("#filter", Input)
        line.add_class("asked")
        line.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the filter."""
        self._end_filter()
        self.wanted(event.value.strip())

    def action_back(self) -> None:
        """End the filter; without a filter, go back a screen."""
        line = self.query_one("#filter", Input)
        if line.has_class("asked") or line.value:
            line.value = ""
            self._end_filter()
            self.wanted("")
        elif len(self.app.screen_stack) > 2:  # Textual's own first screen lies at the bottom
            self.app.pop_screen()

    def _end_filter(self) -> None:
        self.query_one("#filter", Input).remove_class("asked")
        if (table := next(iter(self.tables), None)) is not None:
            table.table.focus()

    def wanted(self, text: str) -> None:
        """Show only rows with ``text``."""
        for table in self.tables:
            table.wanted = text
            table.draw()


def named(busy: Busy) -> str:
    """Return a room's name with the service: services share names such as ``global``."""
    service, room = busy
    return f"{service}/{room.channel}" if service else room.channel


class Overview(FrameScreen):
    """Edges, the busiest rooms and the slowest clients."""

    def body(self) -> Iterable[Widget]:
        """Return the three tables."""
        yield SheetTable(EDGES, id="edges", empty="none is in Redis' registry")
        yield Container(
            SheetTable(BUSY, order=Order(1), id="rooms", empty="no event in the last second", most=_TOP),
            SheetTable(SLOW, order=Order(2), id="slow", empty="none", most=_TOP),
            id="below",
        )

    def put(self, frame: Frame) -> None:
        """Show a frame."""
        for name, values in (("edges", frame.edges), ("rooms", frame.rooms()), ("slow", frame.slow())):
            self.query_one(f"#{name}", SheetTable).put(values)

    def opens(self, table: SheetTable[Any]) -> Open | None:
        """Return the wish for the edge, the room or the client."""
        chosen = table.chosen
        if chosen is None:
            return None
        match table.id:
            case "edges":
                return Open("edge", chosen.entry.id)
            case "rooms":
                return Open("room", named(chosen))
        return Open("client", chosen.id)


class HelpScreen(FrameScreen):
    """The keys, and the meaning of columns."""

    def body(self) -> Iterable[Widget]:
        """Return the page."""
        yield VerticalScroll(Static(_KEYS, markup=False))

"""Lists of all rooms and of all clients, a page at a time: the terminal holds a page, and an edge makes a page."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Final, Generic, TypeVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from bus.admin.values import ClientInfo, Page, RoomRow
from bus.admin.words import Order as By
from bus.errors import BusError
from edgebus.top.screens import FrameScreen, Open
from edgebus.top.sheets import CLIENTS, ROOMS, Order, Sheet
from edgebus.top.source import Source
from edgebus.top.widgets import SheetTable

__all__ = ["ClientsScreen", "RoomsScreen"]

RowT = TypeVar("RowT")

_LIMIT: Final = 100
_EMPTY: Final = 20
"""How many pages without a row are passed for one that has some: a filter may pass over whole pages."""


class PagesScreen(FrameScreen, Generic[RowT]):
    """A list in pages."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "next", "Next"),
        Binding("b", "previous", "Before"),
        Binding("r", "again", "Again"),
    ]

    def __init__(self, source: Source, sheet: Sheet[RowT]) -> None:
        super().__init__()
        self._source, self._sheet = source, sheet
        # The way back needs the cursors and no rows: edges make a page again, as rooms and clients are then.
        self._cursors: list[str | None] = [None]
        self._next: str | None = None
        self.text = ""

    def body(self) -> Iterable[Widget]:
        """Return the table."""
        yield SheetTable(self._sheet, order=Order(), id="page", empty="none")

    def on_mount(self) -> None:
        """Ask for the first page."""
        self._load()

    @abstractmethod
    async def page(self, cursor: str | None) -> Page[RowT]:
        """Ask for a page."""

    def about(self) -> str:
        """Return the list's order and filter."""
        return ""

    @property
    def ending(self) -> str:
        """The name of a page without another behind."""
        return "the last page"

    def _load(self) -> None:
        self.query_one(SheetTable).put([], "asking …")
        self.run_worker(self._show(), name="ask for a page", exclusive=True)

    async def _show(self) -> None:
        table: SheetTable[RowT] = self.query_one(SheetTable)
        try:
            page = await self._some(self._cursors[-1])
        except BusError as error:
            table.put([], str(error))
            return
        self._next = page.cursor
        notes = [self.about(), f"page {len(self._cursors)}", "n for more" if page.cursor else self.ending]
        if page.silent:
            notes.append(f"without {len(page.silent)} edge(s) that did not answer: {', '.join(page.silent)}")
        table.put(page.rows, ", ".join(filter(None, notes)))

    async def _some(self, cursor: str | None) -> Page[RowT]:
        page = await self.page(cursor)
        for _ in range(_EMPTY):
            if page.rows or page.cursor is None:
                break
            page = await self.page(page.cursor)
        return page

    def action_next(self) -> None:
        """Go on to the next page."""
        if self._next is not None:
            self._cursors.append(self._next)
            self._next = None
            self._load()

    def action_previous(self) -> None:
        """Go back to the page before."""
        if len(self._cursors) > 1:
            self._cursors.pop()
            self._load()

    def action_again(self) -> None:
        """Ask for the page again."""
        self._load()

    def wanted(self, text: str) -> None:
        """Begin anew, with rows of ``text`` alone: asked of the edges, for a page holds only some."""
        self.text = text
        self._begin()

    def _begin(self) -> None:
        self._cursors = [None]
        self._load()


class RoomsScreen(PagesScreen[RoomRow]):
    """All rooms, by members, by rate or by name."""

    filter_hint = "names that begin so; Enter to ask, Esc for all"

    def __init__(self, source: Source) -> None:
        super().__init__(source, ROOMS)
        self._by = 0

    async def page(self, cursor: str | None) -> Page[RoomRow]:
        """Ask for a page of rooms."""
        by = list(By)[self._by]
        return await self._source.rooms(None, by=by, prefix=self.text, limit=_LIMIT, cursor=cursor)

    def about(self) -> str:
        """Return the order and the prefix."""
        return f"by {list(By)[self._by]}" + (f", beginning with {self.text!r}" if self.text else "")

    @property
    def ending(self) -> str:
        """The name of a page without another behind: by rate there is a top alone, as rates move with every second."""
        return "the busiest" if list(By)[self._by] is By.RATE else super().ending

    def action_sort(self) -> None:
        """Ask in the next order: edges sort, for a page holds only some."""
        self._by = (self._by + 1) % len(By)
        self._begin()

    def opens(self, table: SheetTable[Any]) -> Open | None:
        """Return the wish for the room."""
        return None if table.chosen is None else Open("room", table.chosen.channel)


class ClientsScreen(PagesScreen[ClientInfo]):
    """All clients, or the clients of an edge (``edge:…``) or of a room (``room:…``)."""

    filter_hint = "a user, as tokens name users; Enter to ask, Esc for all"

    def __init__(self, source: Source, of: str) -> None:
        super().__init__(source, CLIENTS)
        kind, _, name = of.partition(":")
        self._edges = [name] if kind == "edge" else None
        self._room = name if kind == "room" else None

    async def page(self, cursor: str | None) -> Page[ClientInfo]:
        """Ask for a page of clients."""
        return await self._source.clients(
            self._edges, room=self._room, user=self.text or None, limit=_LIMIT, cursor=cursor
        )

    def about(self) -> str:
        """Return the edge, the room and the user of the list."""
        parts = [f"of {self._edges[0]}" if self._edges else "", f"in {self._room}" if self._room else ""]
        return " ".join(filter(None, [*parts, f"of user {self.text!r}" if self.text else ""]))

    def opens(self, table: SheetTable[Any]) -> Open | None:
        """Return the wish for the client."""
        return None if table.chosen is None else Open("client", table.chosen.id)

"""Parts of the dashboard's screens: the head with troubles, and a table with a cursor that follows a row."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, Generic, TypeVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import DataTable, Static

from edgebus.terminal import escape
from edgebus.top.frames import Frame
from edgebus.top.sheets import Order, Row, Sheet
from edgebus.top.troubles import Trouble, summary, title

__all__ = ["WIDE", "Head", "SheetTable"]

ValueT = TypeVar("ValueT")

WIDE: Final = 110
"""Columns of a terminal from which on every column is shown."""
_TROUBLES: Final = 4
_STYLES: Final = {"bad": "bold red", "odd": "yellow", "": ""}


class Head(Static):
    """The sums, and below the troubles of the moment, the worst first."""

    def put(self, frame: Frame, found: Sequence[Trouble], address: str, *, is_paused: bool) -> None:
        """Show a frame's sums and troubles."""
        width = max(20, self.app.size.width - 2)
        line = title(frame, escape(address))
        text = Text.assemble(("PAUSED" if is_paused else "", "reverse"), " " * is_paused, (line[:width], "bold"), "\n")
        if not found:
            text.append(escape(summary(frame)), "green" if frame.present else "bold yellow")
        for trouble in found[:_TROUBLES]:
            mark, style = ("! ", _STYLES["bad"]) if trouble.is_bad else ("- ", _STYLES["odd"])
            text.append(mark + escape(trouble.text) + "\n", style)
        if len(found) > _TROUBLES:
            text.append(f"  and {len(found) - _TROUBLES} more", _STYLES["odd"])
        text.rstrip()
        self.update(text)


class SheetTable(Vertical, Generic[ValueT]):
    """A table of a sheet, with a caption: the order, the filter.

    Args:
        sheet: the columns.
        order: to begin with.
        id: of the widget.
        empty: said in place of rows.
        most: rows drawn; drawing a row a second costs a tenth of a millisecond.

    """

    def __init__(self, sheet: Sheet[ValueT], *, order: Order = Order(), id: str, empty: str, most: int = 200) -> None:  # noqa: B008
        super().__init__(id=id)
        self.sheet, self.order, self._empty, self._most = sheet, order, empty, most
        self.wanted = ""
        self._values: list[ValueT] = []
        self._by_key: dict[str, ValueT] = {}
        self._columns: tuple[str, ...] = ()
        self._note = ""

    def compose(self) -> ComposeResult:
        """Yield the caption and the table."""
        yield Static(classes="caption")
        yield DataTable[Text](cursor_type="row", zebra_stripes=False)

    @property
    def table(self) -> DataTable[Text]:
        """The widget of the rows."""
        return self.query_one(DataTable)

    @property
    def chosen(self) -> ValueT | None:
        """The value under the cursor; None of an empty table."""
        table = self.table
        if not table.is_valid_row_index(table.cursor_row):
            return None
        return self._by_key.get(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value or "")

    def put(self, values: Iterable[ValueT], note: str = "") -> None:
        """Show other values; the cursor stays on the row, wherever the row is now."""
        self._values, self._note = list(values), note
        self.draw()

    @property
    def _is_wide(self) -> bool:
        return (self.size.width or self.app.size.width) >= WIDE

    def sort_next(self) -> None:
        """Sort by the next column."""
        self.order = replace(self.order, column=self.order.column + 1)
        self.draw()

    def turn(self) -> None:
        """Sort the other way around."""
        self.order = replace(self.order, is_reversed=not self.order.is_reversed)
        self.draw()

    def draw(self) -> None:
        """Draw the table anew."""
        is_wide = self._is_wide
        rows = self.sheet.rows(self._values, self.order, wanted=self.wanted, is_wide=is_wide, most=self._most)
        self._by_key = {self.sheet.key(value): value for value in self._values}
        self._caption(len(rows))
        table = self.table
        at, row_at = self._cursor_key(), table.cursor_row
        self._head(table, is_wide=is_wide)
        # All rows anew: sorted by rates, most rows move every second, and textual moves no row.
        table.clear()
        for row in rows:
            table.add_row(*(self._cell(row, index) for index in range(len(row.cells))), key=row.key)
        place = next((index for index, row in enumerate(rows) if row.key == at), min(row_at, len(rows) - 1))
        if rows:
            table.move_cursor(row=place, scroll=False)

    def _head(self, table: DataTable[Text], *, is_wide: bool) -> None:
        columns = self.sheet.shown(is_wide=is_wide)
        names = tuple(column.name for column in columns)
        if names != self._columns:
            table.clear(columns=True)
            for column in columns:
                table.add_column(Text(column.name, justify="right" if column.is_number else "left"))
            self._columns = names

    def _cursor_key(self) -> str | None:
        table = self.table
        if not table.columns or not table.is_valid_row_index(table.cursor_row):
            return None
        return table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value

    def _cell(self, row: Row, index: int) -> Text:
        column = self.sheet.shown(is_wide=self._is_wide)[index]
        justify: Any = "right" if column.is_number else "left"
        return Text(row.cells[index], style=_STYLES[row.mood], justify=justify, no_wrap=True)

    def _caption(self, shown: int) -> None:
        column = self.sheet.sorted_by(self.order)
        parts = [self.sheet.name if shown else f"{self.sheet.name}: {self._empty}"]
        if column is not None and shown:
            parts.append(f"by {column.name}{' reversed' if self.order.is_reversed else ''}")
        if self.wanted:
            parts.append(f"only with {escape(self.wanted)!r}")
        if self._note:
            parts.append(escape(self._note))
        self.query_one(".caption", Static).update(Text(", ".join(parts)))

"""Tables of commands: columns without lines around, and cells with the texts of strangers."""

from typing import Literal

from rich.table import Table
from rich.text import Text

from edgebus.terminal import escape

__all__ = ["add_row", "table_of"]


def table_of(*columns: str) -> Table:
    """Return an empty table; a column named with a ``#`` in front holds numbers, and stands to the right."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        is_number = column.startswith("#")
        justify: Literal["right", "left"] = "right" if is_number else "left"
        table.add_column(column.removeprefix("#"), overflow="fold", justify=justify, no_wrap=is_number)
    return table


def add_row(table: Table, *cells: str, style: str | None = None) -> None:
    """Add a row; control characters are escaped."""
    table.add_row(*(Text(escape(cell)) for cell in cells), style=style)

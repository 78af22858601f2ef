"""A frame as plain text, for a pipe, a file, or a terminal asked once; and as data for JSON."""

import dataclasses
from collections.abc import AsyncIterator
from typing import Any, Final

from edgebus.columns import add_row, table_of
from edgebus.terminal import show, show_table
from edgebus.top.frames import Frame, label
from edgebus.top.sheets import BUSY, EDGES, SLOW, Order, Sheet, state_of
from edgebus.top.troubles import summary, title, troubles

__all__ = ["as_data", "first_whole", "show_frame"]

_FRAMES: Final = 4
"""How many seconds of waiting for looks: edges begin to write them when somebody looks."""
_ROWS: Final = 10


async def first_whole(frames: AsyncIterator[Frame]) -> Frame:
    """Return the first frame with a look of every edge; after a few seconds without, the newest."""
    frame = Frame(has_begun=False)
    number = 0
    async for frame in frames:
        number += 1
        is_whole = all(edge.look is not None for edge in frame.present)
        if is_whole or frame.away_s is not None or number == _FRAMES:
            break
    return frame


def show_frame(frame: Frame, address: str, now_ms: float) -> None:
    """Print a frame: the sums, troubles, edges, the busiest rooms, the slowest clients."""
    show(title(frame, address))
    found = troubles(frame, now_ms)
    for trouble in found:
        show(f"{'!' if trouble.is_bad else '-'} {trouble.text}")
    if not found:
        show(summary(frame))
    _show(EDGES, list(frame.edges), Order())
    _show(BUSY, frame.rooms(), Order(1))
    _show(SLOW, frame.slow(), Order(2))


def _show(sheet: Sheet[Any], values: list[Any], order: Order) -> None:
    rows = sheet.rows(values, order, most=len(values) if sheet is EDGES else _ROWS)
    if not rows:
        return
    show("")
    table = table_of(*(f"{'#' * it.is_number}{it.name}" for it in sheet.shown(is_wide=True)))
    for row in rows:
        add_row(table, *row.cells)
    show_table(table)


def as_data(frame: Frame, now_ms: float) -> dict[str, Any]:
    """Return a frame as data for JSON."""
    return {
        "redis": {"is_there": frame.away_s is None, "away_s": frame.away_s, "why": frame.why or None},
        "troubles": [dataclasses.asdict(it) for it in troubles(frame, now_ms)],
        "edges": [
            {
                "name": label(edge.entry),
                "state": state_of(edge),
                **dataclasses.asdict(edge.entry),
                "look": None if edge.look is None else dataclasses.asdict(edge.look),
            }
            for edge in frame.edges
        ],
    }

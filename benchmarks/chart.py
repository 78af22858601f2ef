"""The chart of the README, drawn as text of SVG: how many times as good ours is, row by row and peer by peer."""

import math
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Final

from benchmarks.results import OURS, Result, Row
from benchmarks.table import times

__all__ = ["chart", "drawn"]

_WIDTH: Final = 900
_LEFT: Final = 305
_RIGHT: Final = 30
_TOP: Final = 74
_STEP: Final = 30
_SHOWN: Final = (
    "burst",
    "single",
    "rooms",
    "hundreds",
    "mixed",
    "latency",
    "sustained",
    "connect",
    "wss",
    "memory",
    "redis",
)
_LOWEST: Final = 0.2
_TICKS: Final = (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
_MARKS: Final = {
    "centrifugo-history": ("#d9480f", "Centrifugo with history"),
    "centrifugo": ("#f08c00", "Centrifugo"),
    "nchan": ("#1971c2", "nchan"),
    "socketio": ("#9c36b5", "Socket.IO"),
    "python-socketio": ("#c2255c", "python-socketio"),
    "websockets": ("#2f9e44", "plain websockets"),
    "floor-joined": ("#868e96", "C, the kernel's price"),
}
_STYLE: Final = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 } .small { font-size: 11px; fill: #59636e }
.grid { stroke: #d1d9e0 } .even { stroke: #1f2328; stroke-width: 1.5 } .row { stroke: #d1d9e0; stroke-dasharray: 1 4 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .small { fill: #9198a1 }
.grid, .row { stroke: #3d444d } .even { stroke: #e6edf3 } }
"""


def chart(result: Result, path: Path) -> Path:
    """Write the chart of a run; return where."""
    path.write_text(drawn(result))
    return path


def drawn(result: Result) -> str:
    """Return the chart: one line per work, a dot per peer, to the right of 1 where ours is ahead."""
    rows = [result.rows[name] for name in _SHOWN if name in result.rows and result.rows[name].middle(OURS) is not None]
    peers = [name for name in _MARKS if any(row.ratio(name) is not None for row in rows)]
    most = max((row.ratio(peer) or 1 for row in rows for peer in peers), default=10)
    bottom = _TOP + _STEP * len(rows)
    body = [
        *_legend(peers),
        *_grid(bottom, most),
        *(part for i, row in enumerate(rows) for part in _line(i, row, peers, most)),
    ]
    note = f"edgebus, {result.began[:10]}; per CPU second of the server, on one core; p99, memory and CPU: the inverse"
    body.append(f'<text class="small" x="{_LEFT}" y="{bottom + 36}">{escape(note)}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {bottom + 48}" role="img">'
    title = "<title>How many times as good as its peers edgebus is, by work</title>"
    return "\n".join([head, title, f"<style>{_STYLE}</style>", *body, "</svg>\n"])


def _x(ratio: float, most: float) -> float:
    """Return where a ratio stands; the scale is logarithmic."""
    share = math.log(max(ratio, _LOWEST) / _LOWEST) / math.log(max(most * 1.15, 2) / _LOWEST)
    return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)


def _legend(peers: list[str]) -> Iterator[str]:
    for i, peer in enumerate(peers):
        colour, name = _MARKS[peer]
        x, y = 16 + i % 4 * 215, 18 + i // 4 * 20
        yield f'<circle cx="{x}" cy="{y - 4}" r="5" fill="{colour}"/><text x="{x + 11}" y="{y}">{escape(name)}</text>'


def _grid(bottom: int, most: float) -> Iterator[str]:
    even = _x(1, most)
    yield f'<text class="small" x="{even + 8}" y="{_TOP - 14}">edgebus is ahead</text>'
    yield f'<text class="small" x="{even - 8}" y="{_TOP - 14}" text-anchor="end">the peer is ahead</text>'
    for tick in (it for it in _TICKS if it <= most * 1.15):
        x = _x(tick, most)
        kind = "even" if tick == 1 else "grid"
        yield f'<line class="{kind}" x1="{x}" y1="{_TOP - 8}" x2="{x}" y2="{bottom}"/>'
        yield f'<text class="small" x="{x}" y="{bottom + 16}" text-anchor="middle">{tick:g}x</text>'


def _line(number: int, row: Row, peers: list[str], most: float) -> Iterator[str]:
    y = _TOP + _STEP * number + 10
    yield f'<text x="16" y="{y + 4}">{escape(row.title.replace(" (quick: x 20)", ""))}</text>'
    yield f'<line class="row" x1="{_LEFT}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}"/>'
    for peer in reversed(peers):  # those named first are drawn on top
        if (ratio := row.ratio(peer)) is not None:
            label = f"{_MARKS[peer][1]}: {times(ratio)}"
            x, colour = _x(ratio, most), _MARKS[peer][0]
            shape = f'<circle cx="{x}" cy="{y}" r="6"' if ratio >= _LOWEST else _arrow(x, y)
            yield f'{shape} fill="{colour}"><title>{escape(label)}</title></{shape[1:].partition(" ")[0]}>'


def _arrow(x: float, y: float) -> str:
    """Return the begin of a triangle that points to the left, where a ratio lies below the scale."""
    return f'<path d="M{x + 4} {y - 6}L{x - 7} {y}L{x + 4} {y + 6}Z"'

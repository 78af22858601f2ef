"""The table of a run as text: a cell has a figure, and how many times as good our edge is."""

from benchmarks.results import OURS, Result, Row

__all__ = ["figure", "markdown", "times"]


def figure(value: float | None) -> str:
    """Return three digits of a figure."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def times(ratio: float | None) -> str:
    """Return a ratio with two digits, or three above ten."""
    if ratio is None:
        return ""
    return f"{ratio:.0f}x" if ratio >= 10 else f"{ratio:.1f}x" if ratio >= 2 else f"{ratio:.2f}x"


def markdown(result: Result) -> str:
    """Return table, versions, failures and disturbance as Markdown in aligned columns."""
    names = list(result.peers)
    lines = [_aligned([["work", "unit", *names], *(_cells(row, names) for row in result.rows.values())])]
    lines.append("In brackets: how many times as good as that peer ours is, in the same run; above 1 is ahead.")
    lines += [f"- {name}: {version}" for name, version in result.peers.items()]
    lines += [f"- {name}: NOT MEASURED, {reason}" for name, reason in result.missing.items()]
    for row in result.rows.values():
        lines += [_beside(row, name) for name in row.samples if name not in names]
        lines += [f"- {peer} at {row.name}: {reason}" for peer, reason in row.refused.items()]
        lines += [f"- {row.name}: {note}" for note in row.notes]
    if result.took_s:
        lines.append("Seconds: " + ", ".join(f"{name} {took:.0f}" for name, took in result.took_s.items()) + ".")
    lines.append(_reliability(result))
    return "\n".join(lines)


def _beside(row: Row, name: str) -> str:
    """Return the comparison with a program that has no column."""
    ratio = row.ratio(name)
    said = f": {1 / ratio if row.is_more_better is False else ratio:.1f} times" if ratio else ""
    return f"- {row.title}: ours {figure(row.middle(OURS))} {row.unit}, {name} {figure(row.middle(name))}{said}"


def _cells(row: Row, names: list[str]) -> list[str]:
    return [row.title, row.unit, *(_cell(row, name) for name in names)]


def _cell(row: Row, name: str) -> str:
    if name in row.refused:
        return "failed"
    ratio = "" if name == OURS else times(row.ratio(name))
    return f"{figure(row.middle(name))} ({ratio})" if ratio else figure(row.middle(name))


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def _reliability(result: Result) -> str:
    spreads = [row.spread(name) for row in result.rows.values() for name in row.samples]
    widest = sorted(spreads)[len(spreads) // 2] if spreads else 0.0
    said = f"Others had {result.foreign():.0%} of the server's core; lowest to highest turn {widest:.0%} (medians)."
    if result.is_disturbed():
        said += " DISTURBED by other work on this machine: ratios are of some use, figures and latencies are not."
    return said

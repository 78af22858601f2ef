"""Edges by the beginnings of ids: ``mahavishnu-host-8690`` is enough, and so is ``mahavishnu`` of a list."""

from collections.abc import Sequence

from bus.admin.operator import Operator
from bus.admin.values import EdgeEntry
from bus.errors import BusError, NotThere

__all__ = ["chosen", "the_one"]

_NAMED = 10


async def the_one(operator: Operator, name: str) -> str:
    """Return the id of the edge that ``name`` begins.

    Raises:
        NotThere: no edge is so called; the message has the edges there are.
        Several: several edges are.

    """
    entries = await operator.edges()
    found = [entry.id for entry in entries if entry.id.startswith(name)]
    if name in found or len(found) == 1:
        return name if name in found else found[0]
    if found:
        raise Several(f"{name} begins the names of {len(found)} edges: {', '.join(found[:_NAMED])}")
    raise NotThere(_nobody(name, entries))


class Several(BusError, ValueError):
    """A name begins several edges' ids."""


async def chosen(operator: Operator, names: Sequence[str]) -> list[str] | None:
    """Return the ids of all edges begun by any of ``names``; None for no names: every edge.

    Raises:
        NotThere: a name begins no edge's id; the message has the edges there are.

    """
    if not names:
        return None
    entries = await operator.edges()
    for name in names:
        if not any(entry.id.startswith(name) for entry in entries):
            raise NotThere(_nobody(name, entries))
    return [entry.id for entry in entries if entry.id.startswith(tuple(names))]


def _nobody(name: str, entries: Sequence[EdgeEntry]) -> str:
    some = ", ".join(entry.id for entry in entries[:_NAMED])
    more = f" and {len(entries) - _NAMED} more" if len(entries) > _NAMED else ""
    there = (
        f"there are {some}{more}"
        if entries
        else "Redis' registry has none at all; start one with: edgebus edge mahavishnu"
    )
    return f"no edge's id begins with {name!r}; {there}"

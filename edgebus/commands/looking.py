"""``edgebus room`` and ``edgebus client``: all facts of a room, of a client."""

import dataclasses

from bus.admin.operator import Operator
from bus.errors import BusTimeout
from edgebus.columns import add_row, table_of
from edgebus.figures import count, rate
from edgebus.terminal import show, show_json, show_table
from edgebus.top.facts import Facts, client_facts, room_facts

__all__ = ["show_client", "show_room"]


async def show_room(url: str, channel: str, *, as_json: bool) -> None:
    """Print all about a room.

    Raises:
        NotThere: no edge serves the channel, and Redis has no such log.
        BusTimeout: an edge did not answer; printed behind the answers of others.

    """
    async with Operator(url) as operator:
        room = await operator.room(channel)
    if as_json:
        show_json(dataclasses.asdict(room))
    else:
        _show(room_facts(room))
    if room.edges and not as_json:
        table = table_of("edge", "#members", "#events/s", "position", "in sync", "#left out")
        for it in room.edges:
            cells = (it.edge, count(it.members), rate(it.rate), it.position or "-", "yes" if it.in_sync else "no")
            add_row(table, *cells, count(it.left_out))
        show("")
        show_table(table)
    if room.silent:
        raise BusTimeout(f"without the members on {', '.join(room.silent)}: no answer came")


async def show_client(url: str, client_id: str, *, as_json: bool) -> None:
    """Print all about a client.

    Raises:
        NotThere: no edge has the client; the message names the edges asked.

    """
    async with Operator(url) as operator:
        client = await operator.client(client_id)
    if as_json:
        show_json(dataclasses.asdict(client))
    else:
        _show(client_facts(client))


def _show(facts: Facts) -> None:
    width = max(len(name) for name, _ in facts)
    for name, text in facts:
        show(f"{name:<{width}}  {text}")

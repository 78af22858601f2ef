"""``edgebus kick``, ``drain``, ``undrain`` and ``log-level``: commands with an effect, told with the edge."""

import dataclasses

from bus.admin.operator import Operator
from bus.errors import BusTimeout
from edgebus.commands.naming import the_one
from edgebus.terminal import note, show, show_json

__all__ = ["drain", "kick", "log_level", "undrain"]


async def kick(url: str, *, client: str | None, user: str | None, room: str | None, as_json: bool) -> None:
    """Close connections of a client or a user, or let members out of a room, and print how many by edge.

    Raises:
        NotThere: no edge has such a connection; the message names the edges asked.
        BusTimeout: an edge did not answer, and may have connections still.

    """
    async with Operator(url) as operator:
        kicked = await operator.kick(client=client, user=user, room=room)
    if as_json:
        show_json({"kicked": kicked.connections, "silent": kicked.silent})
    whom = " ".join(filter(None, (client and f"client {client}", user and f"user {user}")))
    done = f"{whom or 'all members'} out of {room}" if room else f"{whom} kicked"
    for edge, number in kicked.connections.items() if not as_json else ():
        show(f"{done}: {number} connection(s) on {edge}")
    if kicked.silent:
        raise BusTimeout(f"no answer came from {', '.join(kicked.silent)}, where there may be more; type it again")


async def drain(url: str, name: str, *, as_json: bool) -> None:
    """Have an edge send all clients away, and print the edge's standing."""
    async with Operator(url) as operator:
        standing = await operator.drain(await the_one(operator, name))
    if as_json:
        show_json(dataclasses.asdict(standing))
        return
    show(f"{standing.edge} is {standing.state}: {standing.connections} client(s) are sent away over its drain window")
    note(f"it takes clients again after: edgebus undrain {standing.edge}")


async def undrain(url: str, name: str, *, as_json: bool) -> None:
    """Have an edge take clients again, and print the edge's standing."""
    async with Operator(url) as operator:
        standing = await operator.undrain(await the_one(operator, name))
    if as_json:
        show_json(dataclasses.asdict(standing))
        return
    show(f"{standing.edge} is {standing.state}: it takes clients again, and has {standing.connections}")


async def log_level(url: str, name: str, level: str, *, as_json: bool) -> None:
    """Change the level of an edge's log, and print the former level."""
    async with Operator(url) as operator:
        change = await operator.log_level(await the_one(operator, name), level)
    if as_json:
        show_json(dataclasses.asdict(change))
        return
    show(f"{change.edge} logs {change.level} and above now")
    note(f"as it was: edgebus log-level {change.edge} {change.before}")

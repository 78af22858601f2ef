"""``edgebus clients``, ``edgebus client`` and ``edgebus kick``: their arguments."""

from typing import Annotated

import typer

from edgebus.commands.options import (
    CursorOption,
    EdgesOption,
    JsonOption,
    LimitOption,
    RedisOption,
    redis_url,
)
from edgebus.terminal import Exit, exit_with, exits

__all__ = ["client", "clients", "kick"]


def clients(
    *,
    slow: Annotated[bool, typer.Option("--slow", help="Only those for which much waits.")] = False,
    room: Annotated[str | None, typer.Option(metavar="CHANNEL", help="Only the members of this room.")] = None,
    user: Annotated[str | None, typer.Option(help="Only this user's, as tokens name users.")] = None,
    edge: EdgesOption = None,
    limit: LimitOption = 100,
    cursor: CursorOption = None,
    redis: RedisOption = None,
    as_json: JsonOption = False,
) -> None:
    """List clients, over all edges."""
    from edgebus.commands import listing
    from edgebus.run import run

    with exits():
        url, edges = redis_url(redis), edge or []
        run(
            listing.show_clients(
                url, edges, slow=slow, room=room, user=user, limit=limit, cursor=cursor, as_json=as_json
            )
        )


def client(
    client_id: Annotated[str, typer.Argument(metavar="ID", help="As `edgebus clients` shows it.")],
    *,
    redis: RedisOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one client: user, address, rooms, what waits for it, its token's end."""
    from edgebus.commands import looking
    from edgebus.run import run

    with exits():
        run(looking.show_client(redis_url(redis), client_id, as_json=as_json))


def kick(
    client_id: Annotated[str | None, typer.Argument(metavar="CLIENT", help="As `edgebus clients` shows it.")] = None,
    *,
    user: Annotated[str | None, typer.Option(help="All connections of this user.")] = None,
    room: Annotated[
        str | None, typer.Option(metavar="CHANNEL", help="Out of this room only: all members, or CLIENT, or --user.")
    ] = None,
    redis: RedisOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close the connections of a client or a user, or empty a room, and say who was kicked on which edge."""
    from edgebus.commands import orders
    from edgebus.run import run

    if client_id is None and user is None and room is None:
        exit_with(Exit.USAGE, "say whom: a client's ID, --user USER, or --room CHANNEL")
    if client_id is not None and user is not None:
        exit_with(Exit.USAGE, "CLIENT, --user: give one of them")
    with exits():
        run(orders.kick(redis_url(redis), client=client_id, user=user, room=room, as_json=as_json))

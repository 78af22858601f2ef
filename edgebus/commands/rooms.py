"""``edgebus rooms`` and ``edgebus room``: their arguments."""

from enum import StrEnum
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
from edgebus.terminal import exits

__all__ = ["room", "rooms"]


class RoomOrder(StrEnum):
    """Which rooms come first."""

    RATE = "rate"
    MEMBERS = "members"
    NAME = "name"


def rooms(
    prefix: Annotated[str, typer.Argument(help="Only rooms whose names begin so.")] = "",
    *,
    by: Annotated[RoomOrder, typer.Option(help="The most events a second first, the most members, or by name.")] = (
        RoomOrder.MEMBERS
    ),
    edge: EdgesOption = None,
    limit: LimitOption = 100,
    cursor: CursorOption = None,
    redis: RedisOption = None,
    as_json: JsonOption = False,
) -> None:
    """List rooms that have members, over all edges."""
    from edgebus.commands import listing
    from edgebus.run import run

    with exits():
        url = redis_url(redis)
        run(listing.show_rooms(url, edge or [], by=by, prefix=prefix, limit=limit, cursor=cursor, as_json=as_json))


def room(
    channel: Annotated[str, typer.Argument(help="Such as workflow:wf_123.")],
    *,
    redis: RedisOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one room: members on which edges, position, log, and its last event."""
    from edgebus.commands import looking
    from edgebus.run import run

    with exits():
        run(looking.show_room(redis_url(redis), channel, as_json=as_json))

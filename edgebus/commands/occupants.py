"""``edgebus presence``: a client of the channel's edge, which asks who is there."""

import dataclasses
from typing import Final

import orjson

from bus.channel import Channel
from bus.errors import BusError, BusUnavailable, ChannelError
from bus.redis.address import without_password
from bus.service import Service
from bus.words import Code
from clients import AuthenticationFailed, Dismissed, Refused, Room, Unreachable, Untrusted, WrongAddress, connect
from edgebus.terminal import show, show_json

__all__ = ["show_room"]

_HINT: Final = "; no token was shown: give one with --token or EDGEBUS_TOKEN"


async def show_room(
    service: Service | None, channel: Channel, *, url: str | None, token: str | None, as_json: bool
) -> None:
    """Show the users in a room.

    Raises:
        BusUnavailable: the edge cannot be reached, or Redis cannot be reached from there.
        BusError: the edge wants a token, or another token.
        ChannelError: the edge refused the channel.

    """
    name, port = (service.name, service.port) if service is not None else ("SERVICE", 0)
    edge = url or f"ws://127.0.0.1:{port}"
    at, hint = without_password(edge), _HINT if token is None else ""
    try:
        async with connect(edge, token=token) as client:
            room = await client.presence(channel.name)
    except Untrusted as error:
        raise BusUnavailable(str(error)) from None
    except Unreachable as error:
        raise BusUnavailable(f"{error}; start one with: edgebus edge {name}") from None
    except AuthenticationFailed as error:
        raise BusError(f"{at}: {error}{hint}") from None
    except Dismissed as error:
        raise BusUnavailable(f"{at}: {error}") from None
    except WrongAddress as error:
        raise ChannelError(f"--url: {error}") from None
    except Refused as error:
        raise _refused(error, f"{at}: {error}", hint) from None
    _show(room, as_json=as_json)


def _refused(error: Refused, sentence: str, hint: str) -> BusError:
    match error.code:
        case Code.FORBIDDEN:
            return BusError(f"{sentence}{hint}")
        case Code.UNAVAILABLE:
            return BusUnavailable(sentence)
    return ChannelError(sentence)


def _show(room: Room, *, as_json: bool) -> None:
    if as_json:
        show_json(dataclasses.asdict(room))
        return
    # A room of many thousand users is counted in full, and named in part (decisions/0110).
    rest = "" if room.is_complete or not room.members else ", some not named"
    show(f"{room.channel}  {room.count} present, {room.connections} connection(s){rest}")
    for member in room.members:
        info = f"  {orjson.dumps(member.info).decode()}" if member.info else ""
        show(f"{member.user}  since {member.since}  {member.connections} connection(s){info}")

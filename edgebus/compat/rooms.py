"""From a room's name, any text, to the channel on the bus. Pure."""

import re
from typing import Final

from bus.channel import Channel, check_channel_name
from bus.errors import ChannelError
from bus.service import Service
from bus.spelling import encode_id, spell

__all__ = ["channel_of"]

_FORM: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}(:.+)?", re.DOTALL)


def channel_of(service: Service, room: str) -> Channel:
    """Return the channel of ``room``: the catalogue's, else a channel of this service alone, with a history.

    A text of another form (capitals, spaces, an umlaut in front) becomes an id of the family ``room``.

    Raises:
        ChannelError: the name is empty, too long, or reserved (``bus:``).

    """
    try:
        return service.channel(room)
    except ChannelError:
        pass
    if room.startswith("bus:"):
        raise ChannelError(f"{room[:80]!a}: names that begin with bus: are the bus's own; choose another room")
    name = spell(room) if _FORM.fullmatch(room) else f"room:{encode_id(room)}"
    check_channel_name(name)
    # decisions/0096: the service's name behind, as for `global`: the rooms `code` of two services are two rooms.
    return Channel(name, f"{name}:{service.name}")

"""What a request does, where the request is more than a question: data in a catalogue, carried out by an edge. Pure.

The edge does so with no process of the service running: a user comes into a room and leaves, users are listed, an event
is published for the client.
"""

from typing import TypeAlias

from bus.channel import Family, Presence
from bus.event import Event
from bus.parts import check_class, check_part
from bus.values import frozen

__all__ = ["Effect", "Joins", "Leaves", "Lists", "Publishes"]


@frozen
class Publishes:
    """The request publishes an event that is open to clients: fields of the question are fields of the event.

    Permission, sender and limits are those of the event; the answer has ``status`` (``published``), ``id``,
    ``position``, ``positions``, and the fields of the question.
    """

    event: type[Event]

    def __post_init__(self) -> None:
        """Refuse anything but an event's class."""
        check_class("effect", self.event, Event, "an event's class")


@frozen
class _OfRoom:
    family: Family

    def __post_init__(self) -> None:
        """Refuse a family without users that come by request.

        Raises:
            ValueError: the message names the family.

        """
        check_part("effect", self.family, Family, "a Family")
        presence = self.family.presence
        if not isinstance(presence, Presence) or not presence.by_request or presence.kind != "members":
            raise ValueError(f"{self.family.pattern}: users join by request with presence=Presence(by_request=True)")


class Joins(_OfRoom):
    """The client's user comes into the room of the family's channel, until ``Leaves`` or the end of the connection.

    The user is the token's; without tokens, the question's field ``Presence.user``. ``Presence.info`` names the field
    with what others see. The answer has ``status`` (``joined``), the user, and the fields of the question.
    """

    __slots__ = ()


class Leaves(_OfRoom):
    """The client's user leaves the room, at once; likewise for a user who was not there. ``status`` is ``left``."""

    __slots__ = ()


class Lists(_OfRoom):
    """The users in the room, over all replicas: ``users`` (user, info, ``since``, ``connections``) and ``count``."""

    __slots__ = ()


Effect: TypeAlias = Publishes | Joins | Leaves | Lists

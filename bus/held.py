"""A key of a channel's state that a user may hold, such as a lock: while held, the events of others are refused. Pure.

The catalogue says so of events that clients publish (``ClientEvent.unless``); the script that appends looks.
"""

from typing import NamedTuple

from bus.channel import Family
from bus.event import Event
from bus.parts import check_class, check_part
from bus.values import frozen

__all__ = ["Held", "Hold"]


class Hold(NamedTuple):
    """A question to the script: does another user hold a key?

    Attributes:
        channel: the name of the channel with the state.
        state_key: of the hash.
        key: in the hash.
        event: the newest event of a held key.
        holder: the field of that event's data with the user.
        user: who publishes.

    """

    channel: str
    state_key: str
    key: str
    event: str
    holder: str
    user: str


@frozen
class Held:
    """An event of a client is refused while another user holds a key of the state.

    Attributes:
        family: of the channel with the state; the event goes on that family.
        by: the event of the state by which a user holds the key; an event that removes the key frees it.
        holder: the field of ``by`` with the user.
        admins: whether admins publish all the same.

    Raises:
        ValueError: a part is wrong; the message names the part.

    """

    # decisions/0112: looked up by the script that appends, in the same step. An edge that asked first would let an
    # event pass that comes just behind a lock, on another replica.

    family: Family
    by: type[Event]
    holder: str = "user_id"
    admins: bool = False

    def __post_init__(self) -> None:
        """Check the parts once, where a catalogue is written."""
        try:
            check_part("family", self.family, Family, "a Family")
            check_class("by", self.by, Event, "an event's class")
            check_part("admins", self.admins, bool, "true or false")
        except TypeError as error:
            raise ValueError(f"held: {error}") from None
        if self.family.keyed is None or self.by.event_name not in self.family.keyed.events:
            raise ValueError(f"held: {self.by.__name__} is no state of {self.family.pattern}; say so with keyed=")
        if self.holder not in self.by.model_fields:
            raise ValueError(f"held: holder is {self.holder!r}, and {self.by.__name__} has no such field")

    def check(self, event: type[Event]) -> None:
        """Refuse an event that does not go on the family.

        Raises:
            ValueError: the message names the event.

        """
        if all(getattr(route, "family", None) != self.family for route in event.event_routes):
            raise ValueError(f"{event.__name__}: unless: goes on no channel of {self.family.pattern}")

    def hold(self, event: Event, user: str) -> Hold | None:
        """Return the question for ``event`` of ``user``; None where the event's data name no key."""
        keyed, name = self.family.keyed, self.by.event_name
        keys = () if keyed is None else keyed.templates[name].keys(event.model_dump(mode="json"))
        channel = next((it for it in event.channels() if self.family.parse(it.name) is not None), None)
        if not keys or channel is None:
            return None
        return Hold(channel.name, channel.state_key, keys[0], name, self.holder, user)

"""An event that clients may publish, as the catalogue of a service says so. Pure data."""

import re
from types import NoneType
from typing import Final

from bus.event import Event
from bus.held import Held
from bus.parts import check_class, check_part
from bus.values import frozen

__all__ = ["ClientEvent"]

_PERMISSION: Final = re.compile(r"\S{1,256}")


@frozen
class ClientEvent:
    """An event that a client of an edge may publish. No other event is open to clients.

    Attributes:
        event: the event's model, which validates the client's data as a producer's.
        permission: the claim that a client needs; those of admins do as well.
        sender: the field of the model that names the user. An edge fills the field from the client's token, and refuses
            another value. None: the event names no user.
        without_tokens: whether a client without a token may publish, too, if the edge gives the permission to such
            clients (``anonymous_permissions``). The client then fills the sender's field, and nobody vouches for the
            value.
        unless: the event is refused while another user holds a key of the state, such as a lock. Needs a sender.

    Raises:
        ValueError: a part is wrong; the message names the part.

    """

    event: type[Event]
    permission: str
    sender: str | None = None
    without_tokens: bool = False
    unless: Held | None = None

    def __post_init__(self) -> None:
        """Check the parts once, where a catalogue is written (decisions/0066)."""
        try:
            check_class("event", self.event, Event, "an event's class")
            check_part("sender", self.sender, (str, NoneType), "the name of a field")
            check_part("without_tokens", self.without_tokens, bool, "true or false")
            check_part("permission", self.permission, str, "a text")
            check_part("unless", self.unless, (Held, NoneType), "a Held")
        except TypeError as error:
            raise ValueError(f"a client's event: {error}") from None
        name = self.event.__name__
        if _PERMISSION.fullmatch(self.permission) is None:
            raise ValueError(f"{name}: permission is {self.permission!r}, and is to be a claim such as 'diagram:write'")
        self._check_sender(name)
        if self.unless is not None:
            if self.sender is None:
                raise ValueError(f"{name}: unless: without a sender nobody can be told from the holder")
            self.unless.check(self.event)

    def _check_sender(self, name: str) -> None:
        if self.sender is None:
            return
        field = self.event.model_fields.get(self.sender)
        if field is None:
            raise ValueError(f"{name}: sender is {self.sender!r}, and {name} has no such field")
        if field.annotation is not str:
            raise ValueError(f"{name}: sender is {self.sender!r}, a field of another type than str, as users' ids are")
        if field.validation_alias is not None:
            raise ValueError(f"{name}: sender is {self.sender!r}, a field that clients know by an alias")

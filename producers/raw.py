"""Events with no model: a name and data for a channel, for bridges from other systems.

A line is that of any event. Only JSON is checked, so a service's own events are better made of its models.
"""

import re
from typing import Any, Final

from pydantic import PrivateAttr, model_serializer, model_validator

from bus.channel import Channel, Family
from bus.errors import EventError
from bus.event import RESERVED, RESERVED_SENTENCE, Event, JsonObject
from bus.parts import is_text_of
from bus.service import Service
from producers.plain import validated

__all__ = ["raw_event"]

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,127}")


class RawEvent(Event):
    """An event of any name, on one channel, with any data; made by ``raw_event``."""

    data: JsonObject
    _name: str = PrivateAttr(default="")
    _room: Channel | None = PrivateAttr(default=None)

    @property
    def event_name(self) -> str:  # type: ignore[override] # of the class elsewhere; here each event has its own
        """The name that was given."""
        return self._name

    def channels(self) -> tuple[Channel, ...]:
        """Return the channel that was given."""
        return () if self._room is None else (self._room,)

    @model_validator(mode="after")
    def _check(self) -> "RawEvent":
        return self  # a timestamp in the data is the other system's own, and stays

    @model_serializer
    def _bare(self) -> dict[str, Any]:
        return dict(self.data)


def raw_event(channel: Channel | str, event: str, data: Any = None, *, service: Service | None = None) -> Event:
    """Return an event called ``event`` with ``data``, for ``publish``, ``emit`` and batches.

    Args:
        channel: a channel, or the name of one in any spelling.
        event: letters, digits and ``_.:-``, at most 128.
        data: a mapping, a model or a dataclass; values are made JSON as in broadcasts. None is no data. A
            ``timestamp`` in it stays; without one the time of publishing is put in.
        service: looks the name up, which decides retention and what ``global`` means. Without a service a name is a
            channel with history, and must be of none of the services' ``latest`` and ``live`` families.

    Raises:
        ChannelError: the name is no channel, or none of the service.
        EventError: the event's name is none, or an edge's own.
        pydantic.ValidationError: JSON cannot carry the data; the message has the path.

    """
    # decisions/0092: no catalogue is searched by itself, as the same name means other channels in other services.
    if not is_text_of(_NAME, event):
        raise EventError(f"{event!r} is no event name: letters, digits and _.:-, at most 128")
    if event.startswith(RESERVED):
        raise EventError(f"{event!r}: {RESERVED_SENTENCE}; choose another")
    made = validated(RawEvent, {"data": {} if data is None else data})
    made._name, made._room = event, _channel(channel, service)  # noqa: SLF001 -- its own module
    return made


def _channel(channel: Channel | str, service: Service | None) -> Channel:
    if isinstance(channel, Channel):
        return channel
    if service is not None:
        return service.channel(channel)
    head, colon, _ = channel.partition(":")
    return Family(f"{head}:{{id}}" if colon else head).called(channel)

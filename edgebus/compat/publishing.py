"""An event of any name and data, for a room without a model: the one place that knows how such an event is made."""

from typing import Any, Self

from pydantic import BaseModel, PrivateAttr
from pydantic_core import to_jsonable_python

from bus.channel import Channel
from bus.errors import EventError
from bus.event import RESERVED, RESERVED_SENTENCE, Event

__all__ = ["raw_event"]


class _Raw(Event, extra="allow"):
    _name: str = PrivateAttr("")
    _channel_of_raw: Channel | None = PrivateAttr(None)

    @property
    def event_name(self) -> str:  # type: ignore[override]
        return self._name

    def going(self, name: str, channel: Channel) -> Self:
        """Return the event, under this name and for this channel."""
        self._name, self._channel_of_raw = name, channel
        return self

    def channels(self) -> tuple[Channel, ...]:
        return () if self._channel_of_raw is None else (self._channel_of_raw,)


def raw_event(channel: Channel, name: str | None, data: dict[str, Any] | BaseModel) -> Event:
    """Return an event for ``channel``; values become JSON as pydantic makes them (a date, a UUID, a model, a set).

    Raises:
        EventError: the name is none, or the edge's own; or a value can be no JSON.
        pydantic.ValidationError: a value is NaN or infinite, or nests too deep.

    """
    if not name or len(name) > 128 or not name.isascii() or not name.isprintable() or '"' in name or "\\" in name:
        raise EventError(f"{name!a:.80} is no name of an event: write it like 'workflow.started'")
    if name.startswith(RESERVED):
        raise EventError(f"{name!r}: {RESERVED_SENTENCE}; choose another")
    try:
        plain = to_jsonable_python(data, inf_nan_mode="constants")
    except ValueError as error:
        raise EventError(f"{name}: {error}") from None
    plain.pop("timestamp", None)  # the bus puts its own in
    event = _Raw.model_validate(plain)
    return event.going(name, channel)

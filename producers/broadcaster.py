"""The base of every service's broadcast methods: one definition for the async producer and its blocking twin."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from bus.errors import EventError
from bus.event import Event
from bus.parts import check_part

__all__ = ["Broadcaster", "Publisher", "with_metadata"]

EventT = TypeVar("EventT", bound=Event)
OneT = TypeVar("OneT")
ManyT = TypeVar("ManyT")
EndlessT = TypeVar("EndlessT")
OneT_co = TypeVar("OneT_co", covariant=True)
ManyT_co = TypeVar("ManyT_co", covariant=True)
EndlessT_co = TypeVar("EndlessT_co", covariant=True)


class Publisher(Protocol[OneT_co, ManyT_co, EndlessT_co]):
    """A broadcaster's producer; ``Producer`` answers with awaitables, ``blocking.Producer`` with results."""

    def publish(self, event: Event) -> OneT_co:
        """Publish one event."""

    def publish_all(self, events: Sequence[Event]) -> ManyT_co:
        """Publish several events, in order."""

    def publish_every(self, interval_s: float, make: Callable[[], Sequence[Event]]) -> EndlessT_co:
        """Publish the events of ``make()`` again and again, ``interval_s`` seconds from start to start."""


class Broadcaster(Generic[OneT, ManyT, EndlessT]):
    """Calls for one service: ``Mahavishnu(producer).broadcast_workflow_started("wf_123", {})``.

    A method validates the arguments when called, and raises ``pydantic.ValidationError`` or ``EventError`` (both
    ``ValueError``) before any event is sent. A method returns the result of the producer's ``publish``: an awaitable
    with ``Producer``, the ``Published`` itself with ``blocking.Producer``.
    """

    # decisions/0004: plain functions, not `async def`, so that one definition serves both producers. Generated blocking
    # twins were rejected as a second source of one truth.

    def __init__(self, producer: Publisher[OneT, ManyT, EndlessT]) -> None:
        self._producer = producer


def with_metadata(model: type[EventT], metadata: Mapping[str, Any] | None, **fields: Any) -> EventT:
    """Make an event of declared ``fields`` and the caller's own ``metadata``.

    Raises:
        TypeError: ``metadata`` is no mapping.
        EventError: a key of ``metadata`` would overwrite a declared field, or the timestamp.
        pydantic.ValidationError: a value is not of its field's type, or JSON cannot carry the value.

    """
    metadata = {} if metadata is None else metadata
    check_part("metadata", metadata, Mapping, "a mapping")
    # The alias counts, too: a key of the caller's would overwrite the field on the way out.
    sent_as = {it.serialization_alias for it in model.model_fields.values()}
    declared = sorted(key for key in metadata if key in model.model_fields or key in sent_as or key == "timestamp")
    if declared:
        raise EventError(f"metadata would overwrite {', '.join(declared)} of {model.event_name}: rename the key")
    return model.model_validate({**metadata, **fields}, by_name=True)

"""The base of every service's broadcast methods: one definition for the async producer and its blocking twin."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar, overload

from pydantic import ValidationError

from bus.errors import EventError
from bus.event import Event
from bus.parts import check_part
from producers.plain import is_model, to_json, validated

__all__ = ["Broadcaster", "Emitter", "Publisher", "Skipping", "with_metadata"]

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

    def skip(self, name: str, error: Exception) -> object:
        """Count and tell a value called ``name`` that makes no event."""


class Skipping(Publisher[OneT_co, ManyT_co, EndlessT_co], Protocol[OneT_co, ManyT_co, EndlessT_co]):
    """A publisher that neither waits nor raises; see ``producers.emitting``."""

    def skip(self, name: str, error: Exception) -> OneT_co:
        """Do so, and return the answer of a broadcast that was not taken."""


class Emitter(Protocol[OneT_co, ManyT_co, EndlessT_co]):
    """The producer of a broadcaster that does not wait."""

    def emitting(self) -> Skipping[OneT_co, ManyT_co, EndlessT_co]:
        """Return a publisher that neither waits nor raises."""


class Broadcaster(Generic[OneT, ManyT, EndlessT]):
    """Calls for one service: ``Mahavishnu(producer).broadcast_workflow_started("wf_123", {})``.

    A method validates the arguments when called, and raises ``pydantic.ValidationError`` or ``EventError`` (both
    ``ValueError``) before any event is sent. A method returns the result of the producer's ``publish``: an awaitable
    with ``Producer``, the ``Published`` itself with ``blocking.Producer``.

    With ``wait=False`` a broadcast never stops the observed: events go through the outbox, and a method returns at once
    and raises nothing. Arguments that make no event, and events without a place in the outbox, are counted
    (``statistics().dropped``) and told to the log. The result is whether the outbox took the event: a bool with
    ``blocking.Producer``, and with ``Producer`` one that may be awaited, made a task, or let go.

    Raises:
        BusError: with ``wait=False``, a producer whose outbox has the policy ``block``.

    """

    # decisions/0004: plain functions, not `async def`, so that one definition serves both producers. Generated blocking
    # twins were rejected as a second source of one truth.

    @overload
    def __init__(self, producer: Publisher[OneT, ManyT, EndlessT], *, wait: Literal[True] = True) -> None: ...

    @overload
    def __init__(self, producer: Emitter[OneT, ManyT, EndlessT], *, wait: Literal[False]) -> None: ...

    def __init__(self, producer: Any, *, wait: bool = True) -> None:
        self._skipping: Skipping[OneT, ManyT, EndlessT] | None = None if wait else producer.emitting()
        self._producer: Publisher[OneT, ManyT, EndlessT] = self._skipping or producer

    def _publish(self, model: type[Event], metadata: Mapping[str, Any] | None = None, /, **fields: Any) -> OneT:
        """Publish an event made as by ``with_metadata``; a broadcaster that does not wait skips wrong arguments."""
        try:
            event = with_metadata(model, metadata, **fields)
        except (TypeError, ValidationError, EventError) as error:
            if self._skipping is None:
                raise
            return self._skipping.skip(model.event_name, error)
        return self._producer.publish(event)

    def _skip(self, name: str, error: Exception) -> None:
        """Count and tell a value called ``name`` that is left out of a broadcast."""
        self._producer.skip(name, error)


def with_metadata(model: type[EventT], metadata: Mapping[str, Any] | None, **fields: Any) -> EventT:
    """Make an event of declared ``fields`` and the caller's own ``metadata``.

    Values are taken as given, or made JSON as pydantic does it: a time, a UUID, a path, an enumeration, a tuple, a set,
    a model, a dataclass. A key of ``metadata`` that repeats a field's value is left out.

    Raises:
        TypeError: ``metadata`` is no mapping.
        EventError: a key of ``metadata`` would overwrite a declared field, or the timestamp.
        pydantic.ValidationError: a value is not of its field's type, or JSON cannot carry the value.

    """
    metadata = {} if metadata is None else to_json(metadata) if is_model(metadata) else metadata
    check_part("metadata", metadata, Mapping, "a mapping")
    # The alias counts, too: a key of the caller's would overwrite the field on the way out.
    sent_as = {it.serialization_alias for it in model.model_fields.values()}
    own = {key for key in metadata if key in model.model_fields or key in sent_as or key == "timestamp"}
    declared = sorted(key for key in own if key not in fields or to_json(metadata[key]) != to_json(fields[key]))
    if declared:
        raise EventError(f"metadata would overwrite {', '.join(declared)} of {model.event_name}: rename the key")
    return validated(model, {**metadata, **fields})

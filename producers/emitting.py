"""A publisher that never waits and never raises: events go through the outbox, and losses are counted and told."""

from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, Generic, Protocol, TypeVar

from bus.errors import BusError, EventError, OutboxFull
from bus.event import Event
from producers.drops import DropReason
from producers.skips import Skips

__all__ = ["Emitting", "Taken"]

AnswerT = TypeVar("AnswerT")
EndlessT = TypeVar("EndlessT")
EndlessT_co = TypeVar("EndlessT_co", covariant=True)


class Emitter(Protocol[EndlessT_co]):
    """The parts of a producer that are wanted here."""

    def emit(self, event: Event) -> bool:
        """Put an event into the outbox."""

    def publish_every(self, interval_s: float, make: Callable[[], Sequence[Event]]) -> EndlessT_co:
        """Publish the events of ``make()`` again and again."""


class Emitting(Generic[AnswerT, EndlessT]):
    """Emits events of ``producer``; ``answer`` makes the result of a call from whether the outbox took all events."""

    # decisions/0090: a view of a producer and no producer of its own: published and emitted events share one order.

    def __init__(self, producer: Emitter[EndlessT], skips: Skips, answer: Callable[[bool], AnswerT]) -> None:
        self._producer, self.skips, self._answer = producer, skips, answer

    def publish(self, event: Event) -> AnswerT:
        """Emit one event."""
        return self._answer(self._emit(event))

    def publish_all(self, events: Sequence[Event]) -> AnswerT:
        """Emit several events, in order."""
        return self._answer(self._emit_all(events))

    def publish_every(self, interval_s: float, make: Callable[[], Sequence[Event]]) -> EndlessT:
        """Emit the events of ``make()`` every ``interval_s`` seconds; see ``Producer.publish_every``."""

        def emit() -> Sequence[Event]:
            self._emit_all(make())
            return ()  # the producer's own loop keeps the time, and has nothing left to publish

        return self._producer.publish_every(interval_s, emit)

    def skip(self, name: str, error: Exception) -> AnswerT:
        """Count and tell a broadcast called ``name`` that made no event."""
        self.skips.add(name, error)
        return self._answer(False)

    def _emit_all(self, events: Sequence[Event]) -> bool:
        taken = [self._emit(event) for event in events]  # an event without room stops no other
        return all(taken)

    def _emit(self, event: Event) -> bool:
        try:
            return self._producer.emit(event)
        except (EventError, TypeError, ValueError) as error:
            self.skips.add(event.event_name, error)
        except OutboxFull as error:
            self.skips.add(event.event_name, error, DropReason.FULL)
        except BusError as error:  # not open, closed, or the parent's
            self.skips.add(event.event_name, error, DropReason.CLOSED)
        return False


class Taken(Coroutine[Any, Any, bool]):
    """Whether the outbox took the events: may be awaited, made a task, or let go without a warning."""

    # decisions/0090: the old broadcasts were awaited, or given to `create_task`. A coroutine that is let go would warn.

    def __init__(self, is_taken: bool) -> None:
        self._is_taken = is_taken

    def __bool__(self) -> bool:
        return self._is_taken

    def __await__(self) -> Generator[Any, Any, bool]:
        return self._is_taken
        yield

    def send(self, value: Any) -> Any:
        """End at once, with the answer."""
        raise StopIteration(self._is_taken)

    def throw(self, kind: Any, value: Any = None, trace: Any = None) -> Any:
        """End with the exception, as a coroutine that has not begun."""
        return super().throw(kind, value, trace)

    def close(self) -> None:
        """End; nothing is under way."""

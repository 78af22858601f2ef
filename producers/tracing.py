"""The traces of a producer's calls: the ``traceparent`` in events, and the span of a publish.

The active span of OpenTelemetry counts, if any. Knows no Redis.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Self

from bus import spans
from bus.event import Attempt, Event
from bus.traceparent import check_traceparent, new_traceparent, sampled

if TYPE_CHECKING:
    from opentelemetry.trace import Span

__all__ = ["NO_TRACE", "Tracing", "note_trace", "traced"]


class Tracing:
    """The trace of a call.

    Args:
        traceparent: the caller's, checked; else empty.
        is_asked: the stages of the events are to be kept.
        has_spans: a span for each event, in the active span or in ``traceparent``.

    """

    def __init__(self, traceparent: str, *, is_asked: bool, has_spans: bool) -> None:
        self._traceparent, self._is_asked, self._has_spans = traceparent, is_asked, has_spans
        self._spans: list[Span] = []

    def note(self, event: Event, made: Attempt) -> None:
        """Note the ``traceparent`` for the event's lines in the attempt; a repeated attempt keeps the first."""
        if made.traceparent:
            return
        carried = self._traceparent
        if self._has_spans and event.event_name and (channels := event.channels()):
            span = spans.begin_publish(channels, event.event_name, made.id, self._traceparent)
            self._spans.append(span)
            carried = spans.carried(span) or carried
        if self._is_asked:
            carried = sampled(carried) if carried else new_traceparent(made.id)
        made.traceparent = carried

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """End all open spans with the error: no event of the call was sent, or the caller has left."""
        if error is not None:
            self.end([error] * len(self._spans))

    def end(self, outcomes: Sequence[object]) -> None:
        """End the spans, each with the outcome of its event."""
        for span, outcome in zip(self._spans, outcomes, strict=False):
            spans.end_publish(span, outcome if isinstance(outcome, BaseException) else None)
        del self._spans[: len(outcomes)]


NO_TRACE: Final = Tracing("", is_asked=False, has_spans=False)
"""Of a call without a trace: notes nothing, and so may be shared."""


def traced(traceparent: str | None, *, trace: bool) -> Tracing:
    """Return the trace of a call, to stand in a ``with`` block around the call.

    Raises:
        EventError: ``traceparent`` is none.

    """
    # Without an active span none begins: each publish would be a trace of its own, with a root and nothing below.
    is_active = bool(spans.current())
    if traceparent is None and not trace and not is_active:  # the common case
        return NO_TRACE
    given = "" if traceparent is None else check_traceparent(traceparent)
    has_spans = is_active or bool(given and spans.is_loaded())
    return Tracing(given, is_asked=trace, has_spans=has_spans) if given or trace or has_spans else NO_TRACE


def note_trace(event: Event, made: Attempt, tracing: Tracing | None) -> None:
    """Note the ``traceparent`` for the event's lines; without a trace of the call, the active span, if any."""
    if tracing is NO_TRACE:
        return
    if tracing is not None:
        tracing.note(event, made)
    elif not made.traceparent:
        made.traceparent = spans.current()

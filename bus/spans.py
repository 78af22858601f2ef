"""OpenTelemetry's spans of a publish and of an edge's hand-over, for programs with OpenTelemetry set up.

Attributes and names follow the semantic conventions for messaging
(https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/). A program without OpenTelemetry loads no part
of OpenTelemetry here.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from bus.channel import Channel

if TYPE_CHECKING:
    from opentelemetry.trace import Span

__all__ = ["begin_publish", "carried", "current", "end_publish", "handed_over", "is_loaded"]

_NAME: Final = "edgebus"


def is_loaded() -> bool:
    """Tell whether the program has loaded OpenTelemetry; only then can a span be active."""
    return "opentelemetry.trace" in sys.modules


def current() -> str:
    """Return the active span as a ``traceparent``; empty for none."""
    # Each publish asks: so without an import statement, which takes as long as the rest, and by identity where none is.
    # A module that another thread imports just now has no names yet, and no span.
    trace = sys.modules.get("opentelemetry.trace")
    get_current_span = getattr(trace, "get_current_span", None)
    if get_current_span is None:
        return ""
    span: Span = get_current_span()
    return "" if span is getattr(trace, "INVALID_SPAN", None) else _written(span)


def begin_publish(channels: Sequence[Channel], event: str, event_id: str, parent: str) -> "Span":
    """Begin the span of a publish, in the active span, or in ``parent`` (a ``traceparent``) if given."""
    from opentelemetry import trace

    attributes = _attributes("publish", "send", channels[0].name, event, event_id)
    if len(channels) > 1:
        attributes["edgebus.channels"] = [it.name for it in channels]
    return trace.get_tracer(_NAME).start_span(
        f"publish {_template(channels[0].name)}",
        context=_context(parent) if parent else None,
        kind=trace.SpanKind.PRODUCER,
        attributes=attributes,
    )


def end_publish(span: "Span", error: BaseException | None) -> None:
    """End the span of a publish, with the error, if any."""
    from opentelemetry.trace import Status, StatusCode

    if error is not None:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(Status(StatusCode.ERROR, str(error)))
    span.end()


def carried(span: "Span") -> str:
    """Return the span as the ``traceparent`` of a message; empty where the span belongs to no trace."""
    return _written(span)


def handed_over(  # noqa: PLR0913 (the facts of a hand-over)
    traceparent: str,
    *,
    channel: str,
    event: str,
    event_id: str,
    edge: str,
    clients: int,
    read_ns: int,
    written_ns: int,
) -> None:
    """Record the span of a hand-over: from the read of the event's line to the writes to ``clients``."""
    from opentelemetry import trace

    attributes = _attributes("deliver", "process", channel, event, event_id)
    attributes |= {"messaging.client.id": edge, "edgebus.clients": clients}
    span = trace.get_tracer(_NAME).start_span(
        f"deliver {_template(channel)}",
        context=_context(traceparent),
        kind=trace.SpanKind.CONSUMER,
        attributes=attributes,
        start_time=read_ns,
    )
    span.end(written_ns)


def _attributes(name: str, kind: str, channel: str, event: str, event_id: str) -> dict[str, Any]:
    return {
        "messaging.system": "edgebus",
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
        "messaging.destination.name": channel,
        "messaging.destination.template": _template(channel),
        "messaging.message.id": event_id,
        "edgebus.event": event,
    }


def _template(channel: str) -> str:
    # The conventions want names of few values: a name with an id would make a line in every list of operations.
    head, colon, _ = channel.partition(":")
    return f"{head}:*" if colon else head


def _context(traceparent: str) -> Any:
    from opentelemetry import trace

    _, trace_id, span_id, flags = traceparent.split("-")
    parent = trace.SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=trace.TraceFlags(int(flags, 16))
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(parent))


def _written(span: "Span") -> str:
    # By hand: the propagator of the API needs a carrier and a context for these same three numbers.
    context = span.get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

"""The counters of a producer."""

from collections.abc import Mapping
from dataclasses import field

from bus.values import frozen

__all__ = ["ProducerStatistics"]


@frozen
class ProducerStatistics:
    """Counters since the producer was made, in events.

    Attributes:
        published: with Redis on every channel, emitted ones included.
        failed: told to a caller of ``publish`` as an error.
        retried: attempts beyond the first.
        unreplicated: stored, but confirmed by fewer replicas than asked for.
        outbox_events, outbox_bytes: emitted, and waiting or being sent.
        dropped: emitted and given up, or never an event, by reason (``DropReason``).
        is_away: whether the last attempt to reach Redis failed.

    """

    published: int = 0
    failed: int = 0
    retried: int = 0
    unreplicated: int = 0
    outbox_events: int = 0
    outbox_bytes: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    is_away: bool = False

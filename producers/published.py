"""What a producer answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ProducerStatistics", "Published"]


@dataclass(frozen=True, slots=True)
class Published:
    """What Redis answered to a publish.

    Attributes:
        id: of the event, the same in every room.
        positions: channel name to the event's position there; None on a ``live`` channel, which has no log.
        receivers: how many subscribers (edges, and whoever types ``SUBSCRIBE``) Redis sent it to, over all channels.
            A channel where a repeated attempt found the event counts 0.
        replicas: how many replicas have it for certain; None when that was not asked for.

    """

    id: str
    positions: dict[str, str | None]
    receivers: int
    replicas: int | None = None


@dataclass(frozen=True, slots=True)
class ProducerStatistics:
    """Counters since the producer was made, in events.

    Attributes:
        published: with Redis on every channel, emitted ones included.
        failed: told to a caller of ``publish`` as an error.
        retried: attempts beyond the first.
        unreplicated: stored, but confirmed by fewer replicas than asked for.
        outbox_events, outbox_bytes: emitted, and waiting or being sent now.
        dropped: emitted and given up, by reason (``DropReason``).
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

"""What the repeated works of an edge saw last, kept for whoever asks."""

from datetime import datetime

from edges.lifecycle.vitals import loop_lag
from edges.limits.buckets import Buckets

__all__ = ["Observed"]


class Observed:
    """What the repeated works of an edge saw last.

    Attributes:
        lag: of the event loop.
        redis_memory: used bytes and their limit, 0 for none; None while Redis does not say.
        certificate_ends: None for an edge without a certificate, or with one of which the end is not known.

    """

    __slots__ = ("certificate_ends", "lag", "redis_memory")

    def __init__(self) -> None:
        self.lag: Buckets = loop_lag()
        self.redis_memory: tuple[int, int] | None = None
        self.certificate_ends: datetime | None = None

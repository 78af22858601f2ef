"""A client's settings, beside the address, the token and the service."""

import asyncio
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field

from bus.values import frozen
from clients.queue import LEAST_LIMIT

__all__ = ["ClientSettings", "Timing"]


@frozen
class Timing:
    """The clock and the dice; tests bring their own.

    Attributes:
        sleep: waits for seconds.
        clock: seconds, monotonic.
        dice: a number in [0, 1).

    """

    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    dice: Callable[[], float] = random.random


@frozen
class ClientSettings:
    """How a client behaves.

    Attributes:
        queue_limit: how many values may wait in one subscription, at least 16. Above, the client leaves the room until
            half of the values are taken, and goes on from the log. Below 2,000 a full replay does not fit.
        open_timeout_s: for the connection, its opening handshake and the answer to the token, each.
        request_timeout_s: for the answer to a request, unless the call says otherwise.
        ping_interval_s: of silence after which the edge is pinged.
        ping_timeout_s: for the answer to a ping; then the connection counts as broken.
        close_timeout_s: for the closing handshake.
        max_message_bytes: largest message taken. A larger message ends the client with ``Dismissed`` (1009), since the
            replay would bring the same message again. None for no limit.
        max_request_bytes: the longest message sent. A longer message fails alone. As an edge's ``max_message_bytes``;
            the client learns the limit of an edge that takes less.
        headers: added to the opening handshake.
        tls: for ``wss``; None for the system's authorities.
        timing: for tests.

    """

    queue_limit: int = 2_000
    open_timeout_s: float = 10.0
    request_timeout_s: float = 10.0
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0
    close_timeout_s: float = 2.0
    max_message_bytes: int | None = 4 * 1024 * 1024
    max_request_bytes: int = 64 * 1024
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: ssl.SSLContext | None = None
    timing: Timing = field(default_factory=Timing)

    def __post_init__(self) -> None:
        """Refuse a queue that is too short for a subscription."""
        if self.queue_limit < LEAST_LIMIT:
            raise ValueError(f"queue_limit: expected {LEAST_LIMIT} or more, got {self.queue_limit}")

"""Hearing channels by pattern, beside the link: for numbers, where a message missed is no harm."""

from collections.abc import Callable, Sequence
from typing import Final, NoReturn

from bus.redis import address
from bus.redis.failures import converted

__all__ = ["overhear"]

_LOOK_S: Final = 1.0


async def overhear(
    url: str, name: str, patterns: Sequence[str], take: Callable[[bytes], None], *, begun: Callable[[], None]
) -> NoReturn:
    """Hand the messages of channels that match ``patterns`` to ``take``, until the connection is lost, or refused.

    Args:
        url: of Redis, see ``bus.redis.address``.
        name: for ``CLIENT LIST``.
        patterns: of https://redis.io/commands/psubscribe; a user of Redis needs each among its channels, as it stands.
        take: must neither wait nor raise.
        begun: is called when Redis has confirmed a pattern.

    Raises:
        BusUnavailable: the connection is lost, or was not made.
        BusError: Redis refused.

    """
    with converted(url):
        async with address.client(url, name) as redis, redis.pubsub() as heard:  # type: ignore[no-untyped-call, unused-ignore]
            await heard.psubscribe(*patterns)
            while True:
                match await heard.get_message(timeout=_LOOK_S):
                    case {"type": "pmessage", "data": bytes(line)}:
                        take(line)
                    case {"type": "psubscribe"}:
                        begun()

"""Opening a link to Redis: connect, log in, subscribe, and again until Redis agrees; each reason is told once."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from itertools import islice
from typing import Final

import hiredis
from tenacity import RetryCallState

from bus.errors import BusError, BusNotReady, BusUnavailable
from bus.redis.address import ATTEMPT_DEADLINE_S, fit_name, login, open_link, start_line, without_password
from bus.redis.failures import failure
from bus.redis.link import BATCH_CHANNELS, Batch, Link
from bus.redis.refusals import is_about_command, said
from bus.redis.role import is_untold, misplaced
from bus.retrying import attempts_after
from bus.shortage import is_closed_handle, shortage

__all__ = ["Opener", "log_in"]

_REASONS: Final = 20
"""The most reasons told per outage: some name a moment, so that each would be news."""

_logger = logging.getLogger("edgebus.bus")


class Opener:
    """Opens links to the Redis at ``url``, each called ``name`` in ``CLIENT LIST``.

    Args:
        url: of Redis, see ``bus.redis.address``.
        name: for ``CLIENT LIST``.
        deliver: gets each batch of lines of a link, see ``bus.redis.link``.

    Attributes:
        trouble: why the last attempt failed; for people, and without a password.

    """

    def __init__(self, url: str, name: str, deliver: Callable[[Batch], None]) -> None:
        self._url, self._name, self._deliver = url, name, deliver
        self._told: set[str] = set()
        self.trouble = start_line(url)

    async def open(self, wanted: Collection[bytes]) -> Link:
        """Return a link on which Redis confirmed all channels ``wanted`` by then, after any number of attempts.

        Raises:
            Exception: whatever ``deliver`` raised meanwhile.

        """
        async for attempt in attempts_after(BusError, tell=self._tell):
            with attempt:
                link = await self._attempt(wanted)
        self._told.clear()
        return link

    def _tell(self, state: RetryCallState) -> None:
        """Say each reason once per outage; every further attempt is for the curious."""
        self.trouble = str(state.outcome.exception()) if state.outcome else ""
        is_news = self.trouble not in self._told and len(self._told) < _REASONS
        self._told.add(self.trouble)
        level = logging.WARNING if is_news else logging.DEBUG
        fields = {"attempt": state.attempt_number, "reason": self.trouble}
        _logger.log(level, "there is no link to Redis", extra=fields)

    async def _attempt(self, wanted: Collection[bytes]) -> Link:
        """Make one link.

        Raises:
            BusError: no link is to be had now; the text says why.

        """
        try:
            return await self._opened(wanted)
        except (OSError, TimeoutError, BusError) as error:
            raise failure(error, self._url)  # noqa: B904 (its cause is set)
        except (RuntimeError, MemoryError) as error:
            if shortage(error) is None and not (isinstance(error, RuntimeError) and is_closed_handle(error)):
                raise
            raise failure(error, self._url)  # noqa: B904 (likewise)

    async def _opened(self, wanted: Collection[bytes]) -> Link:
        """Connect, log in, and subscribe to all that is wanted, in commands of bounded size."""
        link = await open_link(self._url, lambda: Link(self._deliver))
        is_ready = False
        try:
            async with asyncio.timeout(ATTEMPT_DEADLINE_S):
                await log_in(link, self._url, self._name)
            for channels in _batches(wanted, BATCH_CHANNELS):
                await link.answer(link.ask(b"SUBSCRIBE", channels), ATTEMPT_DEADLINE_S)
            is_ready = True
        finally:
            if not is_ready:
                link.abort()
                link.closed.result()  # an error of `deliver` is no failure of the link, and must not be retried
        return link


async def log_in(link: Link, url: str, name: str) -> None:
    """Log in on a fresh link, and give the connection its name.

    Raises:
        BusUnavailable: Redis refused the log-in, or the link was lost.
        BusNotReady: the server is a replica, or a sentinel.

    """
    words = login(url)
    if words:
        await link.command(b"AUTH", *(word.encode() for word in words))
    try:
        await link.command(b"CLIENT", b"SETNAME", fit_name(name).encode())
    except BusUnavailable as error:
        # decisions/0065: some managed servers have no CLIENT; a link without a name is as good.
        if not isinstance(error.__cause__, hiredis.ReplyError) or not is_about_command(said(error.__cause__)):
            raise
    await _check_role(link, url)


async def _check_role(link: Link, url: str) -> None:
    """Refuse a server that producers do not publish to.

    Raises:
        BusNotReady: the server is a replica, or a sentinel.

    """
    try:
        # decisions/0050: asked before SUBSCRIBE, since RESP2 lets a link that has subscribed ask for nothing more.
        where = misplaced(await link.command(b"ROLE"))
    except BusUnavailable as error:
        if not is_untold(link.refused):
            raise
        fields = {"run": "ACL SETUSER USER +role", "reason": str(error)}
        _logger.info("the role of Redis may not be asked for: a replica is not told from its primary", extra=fields)
        return
    if where is not None:
        raise BusNotReady(f"Redis at {without_password(url)} {where}")


def _batches(channels: Iterable[bytes], size: int) -> Iterable[list[bytes]]:
    iterator = iter(list(channels))
    while batch := list(islice(iterator, size)):
        yield batch

"""The revocations that an edge knows: told by the link at once, and read from Redis with every new link."""

import asyncio
import heapq
import logging
import time
from collections.abc import Callable, Collection, Iterable
from typing import Final

from bus.errors import BusError, BusUnavailable
from bus.redis.revocation import KEPT_S, REVOKED, Revocation, Revocations
from bus.retrying import until_true
from bus.tasks import Spawn
from edges.auth.permissions import Caller

__all__ = ["KnownRevocations"]

_STALE_ENDS: Final = 1_000

_logger = logging.getLogger("edgebus.edges")


class KnownRevocations:
    """The revocations, and the callers that each concerns.

    A revocation costs the same however many are known: the oldest stand at the top of a heap.

    Args:
        revocations: reads the set in Redis.
        spawn: runs and owns a task.
        on_news: is given the members of new revocations.
        clock: seconds since 1970.

    """

    # decisions/0024: no revocation is forgotten early, not even if Redis comes back without it: after a failover with
    # lag the set may lack the newest. So `ZREM` takes back nothing on a running edge; a new token does.

    def __init__(
        self,
        revocations: Revocations,
        spawn: Spawn,
        on_news: Callable[[Collection[str]], None],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._revocations, self._spawn, self._on_news, self._clock = revocations, spawn, on_news, clock
        self._known: dict[str, int] = {}
        self._ends: list[tuple[int, str]] = []
        self._asked = self._read_up_to = 0
        self._told: set[str] = set()
        self._unreadable = 0
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """The number of known revocations."""
        return len(self._known)

    @property
    def is_read(self) -> bool:
        """Whether the set was read, to the end and without a fault, since the link came up."""
        return self._asked > 0 and self._read_up_to == self._asked

    def concerns(self, caller: Caller) -> bool:
        """Tell whether a caller's token was revoked.

        Revoking a user concerns every token that the user may have had by then: a token is good if later by more than
        an issuer's clock may be ahead. A token without a time of issue counts as older.
        """
        if caller.user_id is None:
            return False
        user, *token = caller.revocable_by
        if any(name in self._known for name in token):
            return True
        at_ms = self._known.get(user)
        return at_ms is not None and (caller.issued_after is None or caller.issued_after * 1000 <= at_ms)

    def revoked_ms(self, caller: Caller) -> int | None:
        """Return when all tokens of a caller's user were revoked, None for a single token's revocation, or none."""
        if caller.user_id is None:
            return None
        user, *_ = caller.revocable_by
        return self._known.get(user)

    def take(self, message: bytes) -> None:
        """Take a message of the channel; any message, of whatever form, is news."""
        revocation = Revocation.parse(message)
        if revocation is None:  # decisions/0024: typed by hand, most likely beside a change of the set
            self.read()
        else:
            self._learn([revocation])

    def read(self) -> None:
        """Begin to read the whole set, again and again until a reading goes well."""
        self._asked += 1
        if self._task is None or self._task.done():
            self._task = self._spawn(self._read(), "read revocations")

    async def _read(self) -> None:
        while self._read_up_to != self._asked:
            await until_true(self._has_read)

    async def _has_read(self) -> bool:
        asked = self._asked
        try:
            await self._read_pages()
        except Exception as error:  # noqa: BLE001 (of any kind: an edge that has not read them all is not ready)
            self._tell(error)
            return False
        self._read_up_to = asked
        return True

    async def _read_pages(self) -> None:
        unreadable = 0
        async for page in self._revocations.pages():
            self._learn(page.readable)
            unreadable += page.unreadable
        if unreadable and unreadable != self._unreadable:
            fields = {"count": unreadable, "key": REVOKED, "form": "user:ID or id:JTI, with its time in ms"}
            _logger.warning("passed over revocations that cannot be read", extra=fields)
        self._unreadable = unreadable

    def _tell(self, error: Exception) -> None:
        """Say a reason once where no waiting helps: Redis answers and refuses, or a bug is ours."""
        reason = f"{type(error).__name__}: {error}"
        is_news = not isinstance(error, BusUnavailable) and reason not in self._told
        if is_news:
            self._told.add(reason)
        is_ours = not isinstance(error, BusError)
        level = (logging.ERROR if is_ours else logging.WARNING) if is_news else logging.DEBUG
        exc_info = error if is_ours and is_news else None
        _logger.log(level, "revocations cannot be read", exc_info=exc_info, extra={"reason": str(error)})

    def _learn(self, found: Iterable[Revocation]) -> None:
        oldest_ms = int((self._clock() - KEPT_S) * 1000)
        news = [it.member for it in found if it.at_ms >= oldest_ms and self._note(it)]
        self._forget(oldest_ms)
        if news:
            self._on_news(news)

    def _note(self, revocation: Revocation) -> bool:
        """Remember a revocation; tell whether the revocation is later than the member's last."""
        member, at_ms = revocation.member, revocation.at_ms
        if self._known.get(member, -1) >= at_ms:
            return False
        self._known[member] = at_ms
        heapq.heappush(self._ends, (at_ms, member))
        return True

    def _forget(self, oldest_ms: int) -> None:
        """Let go of revocations older than any token; of a member revoked again, the later time counts."""
        while self._ends and self._ends[0][0] < oldest_ms:
            at_ms, member = heapq.heappop(self._ends)
            if self._known.get(member) == at_ms:
                del self._known[member]
        if len(self._ends) > 2 * len(self._known) + _STALE_ENDS:  # members that were revoked again and again
            self._ends = [(at_ms, member) for member, at_ms in self._known.items()]
            heapq.heapify(self._ends)

    async def drop(self) -> None:
        """Give up the connection, which may lead nowhere."""
        await self._revocations.drop()

    async def close(self) -> None:
        """Close the connection; calling it twice is harmless."""
        await self._revocations.close()

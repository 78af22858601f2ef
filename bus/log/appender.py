"""Appending to logs over a connection: a pipeline of publishes, with an outcome for each.

Commands and the meaning of answers are ``bus.log.appending``'s; repetition is a publisher's.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bus.errors import BusError, BusNotReady
from bus.log.appending import ONCE_SCRIPTS, SCRIPTS, Appended, Entry, Replicas, command, outcome
from bus.redis.clock import now, redis_ms
from bus.redis.connection import Connection, Reply
from bus.redis.exchange import exchange
from bus.redis.failures import failure

__all__ = ["Appender"]

_CUTS: Final = (RedisConnectionError, RedisTimeoutError, OSError)
"""The answer to a command whose line was cut."""


class Appender(Connection):
    """A connection for publishing.

    Args:
        url: of database 0, see ``bus.redis.address``.
        name: for ``CLIENT LIST``.
        appends: False for readers: such a connection loads no script, and needs fewer permissions.
        once: whether the connection publishes for clients, too (``Entry.once``).

    Attributes:
        sent_ms: a time by Redis' clock, not after the last ``append`` was sent; None when nothing was sent.

    """

    def __init__(self, url: str, *, name: str, appends: bool = True, once: bool = False) -> None:
        # decisions/0028: edges face strangers, so an edge's user has neither SCRIPT LOAD nor CLIENT KILL.
        scripts = (*SCRIPTS, *ONCE_SCRIPTS) if once else SCRIPTS
        super().__init__(url, name=name, scripts=scripts if appends else ())
        self._appends = appends
        self.sent_ms: int | None = None

    async def append(self, entries: Sequence[Entry], *, replicas: Replicas | None = None) -> list[Appended | BusError]:
        """Store and publish every entry, in order, in one pipeline; return a result or an error for each.

        Entries are independent: some may fail while others do not. An entry is stored and published, or neither.
        An entry sent before (``since_ms``) is stored and published only if the log lacks the event.

        Raises:
            BusNotReady: Redis took no entry, and will when its state has passed.
            BusUnavailable: the connection failed before any entry was answered; any may or may not have been stored,
                or none if ``sent_ms`` is None. Once some are answered, the others have this error as their outcome.
            RuntimeError: the log was made with ``appends=False``.

        """
        if not self._appends:
            raise RuntimeError("this log was made with appends=False")
        self.sent_ms = None
        # decisions/0020: no transaction. MULTI would hold up all other clients of Redis for a whole pipeline.
        async with self.connected() as redis:
            replies, confirmed = await self._run(entries, replicas)
            if any(isinstance(reply, NoScriptError) for reply in replies):
                confirmed = await self._rerun(entries, replies, replicas)
        outcomes = [self._outcome(entry, reply, confirmed) for entry, reply in zip(entries, replies, strict=True)]
        if any(isinstance(it, BusNotReady) for it in outcomes):
            # decisions/0020: the primary may be elsewhere by now, and the address leads there on a new connection.
            await redis.connection_pool.disconnect()
        return outcomes

    def _outcome(self, entry: Entry, reply: Reply, confirmed: int | None) -> Appended | BusError:
        if isinstance(reply, _CUTS):
            return failure(reply, self._url)
        return outcome(entry, reply, confirmed)

    async def _run(self, entries: Iterable[Entry], replicas: Replicas | None) -> tuple[list[Reply], int | None]:
        """Send the commands for ``entries``; return an answer for each, and how many replicas confirmed them all."""
        # Taken here: where no connection can be made, nothing was sent, and the next attempt is no repetition.
        pool = self._redis.connection_pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call, unused-ignore]
        try:
            now_s = now()
            is_stale = self._clock.is_stale(now_s)
            self.sent_ms = self._clock.floor_ms(now_s) if self.sent_ms is None else self.sent_ms
            appending = [command(entry, by_function=self._calls_function) for entry in entries]
            # decisions/0020: TIME goes along once a second; a round trip of its own would cost every publish.
            commands = [*([("TIME",)] if is_stale else []), *appending]
            if replicas is not None:
                commands.append(("WAIT", replicas.count, replicas.timeout_ms))
            replies = await exchange(connection, commands)
        finally:
            await pool.release(connection)
        if is_stale and not isinstance(time := replies.pop(0), Exception):
            self._clock.take(redis_ms(*time), now())
        return replies, None if replicas is None else _confirmed(replies)

    async def _rerun(self, entries: Sequence[Entry], replies: list[Reply], replicas: Replicas | None) -> int | None:
        """Run again the entries refused for want of the script, as after ``SCRIPT FLUSH``; none of these was stored."""
        missing = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        try:
            await self.begin_anew()
            again, confirmed = await self._run([entries[index] for index in missing], replicas)
        except (RedisError, OSError) as error:  # entries of live channels need no script, and have their answers
            again, confirmed = [error] * len(missing), None if replicas is None else 0
        for index, reply in zip(missing, again, strict=True):
            replies[index] = reply
        return confirmed


def _confirmed(replies: list[Reply]) -> int:
    """Take the answer to ``WAIT`` off the end: half of the answers would tell a caller nothing of replicas.

    Raises:
        Exception: the cut of the line before that answer.

    """
    confirmed = replies.pop()
    if isinstance(confirmed, _CUTS):
        raise confirmed
    return confirmed if isinstance(confirmed, int) else 0

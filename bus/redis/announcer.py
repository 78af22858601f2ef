"""An edge's words about itself in Redis: an entry, which expires, and the tokens of the edge's probe."""

from collections.abc import Mapping

from bus.redis.address import without_password
from bus.redis.connection import Connection, Reply
from bus.redis.refusals import all_checked, checked, said
from bus.redis.role import is_untold, misplaced

__all__ = ["Announcer"]


class Announcer(Connection):
    """A connection on which an edge announces itself."""

    _asks_role = True

    async def send_probe(self, channel: str, token: str) -> str | None:
        """Publish ``token`` on an edge's own channel, past every log; return the objection to this server, or None.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused.

        """
        async with self.connected() as redis:
            pipeline = redis.pipeline(transaction=False)
            pipeline.publish(channel, token)
            if self._asks_role:
                # decisions/0050: a demoted primary still carries tokens, so each token's server is asked for its role.
                pipeline.execute_command("ROLE")
            sent, *role = await pipeline.execute(raise_on_error=False)
            checked(sent)
        return self._misplaced(role[0]) if role else None

    async def misplaced(self) -> str | None:
        """Return the objection to this server as a primary; None where there is none, or no right to ask for the role.

        Raises:
            BusUnavailable: Redis did not answer.

        """
        if not self._asks_role:
            return None
        async with self.connected() as redis:
            pipeline = redis.pipeline(transaction=False)
            pipeline.execute_command("ROLE")
            (role,) = await pipeline.execute(raise_on_error=False)
        return self._misplaced(role)

    def _misplaced(self, role: Reply) -> str | None:
        """Return the objection to a server of this role; a user without ``ROLE`` is not asked for once more."""
        if isinstance(role, Exception):
            self._asks_role = not is_untold(said(role))
            return None
        where = misplaced(role)
        return where and f"Redis at {without_password(self._url)} {where}"

    def forget(self) -> None:
        """Take note that another Redis may answer now, which may permit ``ROLE``."""
        super().forget()
        self._asks_role = True

    async def announce(self, key: str, fields: Mapping[str, str | int], *, expires_s: float) -> None:
        """Write the hash ``key`` anew, with a new life of ``expires_s``: an edge's sign that the edge is there."""
        async with self.connected() as redis:
            pipeline = redis.pipeline(transaction=False)
            pipeline.hset(key, items=[text for pair in fields.items() for text in pair])
            pipeline.pexpire(key, int(expires_s * 1000))
            all_checked(await pipeline.execute(raise_on_error=False))

    async def withdraw(self, key: str) -> None:
        """Remove the hash that ``announce`` wrote."""
        async with self.connected() as redis:
            await redis.delete(key)

"""Whether a link hears the events of producers: a token published at the primary must come back by the link itself.

An open connection proves little: a path may swallow all bytes and stay open, deaf. A link that is heard may lead
nowhere: a path may swallow the bytes of one direction alone. And a loop through a demoted server proves nothing of the
primary: so each token's server is asked for its role.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Protocol

from bus.errors import BusError
from bus.redis.clock import now

__all__ = ["Probe", "Prober"]

_logger = logging.getLogger("edgebus.bus")

_ON_THE_WAY = 16
"""Tokens remembered: a late token, behind long lines on a narrow path, proves as much as a prompt token."""
_PATIENCE = 6
"""Intervals in which a link may bring other bytes and no token: on a narrow path a long line takes its time."""
_OVERTAKEN = 2
"""Tokens sent behind a command, and back before the answer: by one more interval than a slow way to Redis explains."""


class Prober(Protocol):
    """A publisher of tokens, on another connection than the link's."""

    async def send_probe(self, channel: str, token: str) -> str | None:
        """Publish ``token``; return why this server is not the producers' primary, None if it is.

        Raises:
            BusError: Redis did not take the token.

        """


class Probe:
    """Sends tokens on an edge's own channel, and knows when the last token came back.

    Args:
        prober: publishes the tokens.
        channel: of this probe alone.
        interval_s: between two tokens. A link without a byte for two intervals is deaf.

    """

    def __init__(self, prober: Prober, channel: str, *, interval_s: float) -> None:
        self._prober, self.channel, self._interval_s = prober, channel, interval_s
        self._tokens: dict[bytes, object] = {}
        """Tokens under way, each with the command that the link owed the answer to when the token was sent."""
        self._owed: Callable[[], object] = lambda: None
        self._overtaken: object = None
        self._overtakes = 0
        self._heard_s: float | None = None
        self._moved_s: float | None = None
        self._began_s = 0.0
        self._failure, self._has_failed = "", False
        self.trouble: str | None = None
        """Why the link that was watched last was given up; None while there is no reason to."""

    @property
    def is_heard(self) -> bool:
        """Whether the watched link brought bytes lately, and a token not long ago."""
        return self._heard_s is not None and not self._is_overdue()

    @property
    def age_s(self) -> float | None:
        """How long ago a token came back by the watched link, seconds; None before the first."""
        return None if self._heard_s is None else now() - self._heard_s

    def take(self, token: bytes) -> None:
        """Take a message of the probe's channel; other messages than this probe's tokens are passed over."""
        if token in self._tokens:
            self._heard_s = now()
            self._look_behind(self._tokens[token])

    def _look_behind(self, command: object) -> None:
        """Take note of a token that was sent behind a command: the answer stands in front of the token in the link."""
        if command is None or command is not self._owed():
            self._overtaken, self._overtakes = None, 0
            return
        self._overtakes = self._overtakes + 1 if command is self._overtaken else 1
        self._overtaken = command
        if self._overtakes == _OVERTAKEN:
            self.trouble = "the link is heard, and leads nowhere: probes overtook the answer to a command"

    async def watch(
        self,
        give_up: Callable[[], None],
        *,
        progress: Callable[[], object] = lambda: None,
        owed: Callable[[], object] = lambda: None,
    ) -> None:
        """Probe a link from its beginning until the link is of no use or misplaced, and call ``give_up`` then.

        ``progress`` returns another value whenever bytes came by the link; ``owed`` the oldest command on the link
        without its answer, None for none.
        """
        self._heard_s, self._moved_s, self._began_s = None, None, now()
        self._owed, self._overtaken, self._overtakes = owed, None, 0
        self._tokens.clear()
        self.trouble, at = None, progress()
        while self.trouble is None:
            next_s = now() + self._interval_s
            await self._send(next_s)
            if self.trouble is not None:
                break
            await asyncio.sleep(next_s - now())
            # decisions/0052: bytes count only where no token came in this interval; for six intervals, then a link that
            # hears others and not its own token is deaf all the same.
            at, before = progress(), at
            if at != before and not self._was_heard_since(next_s - self._interval_s):
                self._moved_s = now()
            if self._is_overdue():
                self.trouble = f"the link is deaf: no probe came back in time{self._failure}"
        give_up()

    async def _send(self, deadline_s: float) -> None:
        token, self._failure = secrets.token_hex(8), ""
        self._tokens[token.encode()] = self._owed()
        if len(self._tokens) > _ON_THE_WAY:
            del self._tokens[next(iter(self._tokens))]
        try:
            async with asyncio.timeout_at(deadline_s):
                objection = await self._prober.send_probe(self.channel, token)
                self.trouble = self.trouble or objection
        except (BusError, TimeoutError) as error:
            self._failure = f" ({error})" if str(error) else ""
        except Exception as error:  # the probe goes on after a bug: nothing else would find a deaf link
            level = logging.DEBUG if self._has_failed else logging.ERROR
            _logger.log(level, "a probe could not be sent", exc_info=error)
            self._has_failed, self._failure = True, " (a bug of ours: see the log)"

    def _was_heard_since(self, at_s: float) -> bool:
        return self._heard_s is not None and self._heard_s >= at_s

    def _is_overdue(self) -> bool:
        heard_s = self._began_s if self._heard_s is None else self._heard_s
        came_s = max(heard_s, self._moved_s or heard_s)
        now_s = now()
        return now_s - came_s >= 2 * self._interval_s or now_s - heard_s >= _PATIENCE * self._interval_s

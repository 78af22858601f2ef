"""Where operators' commands come in and are answered, one after another: a flood costs other work little."""

import asyncio
import logging
from collections import deque
from typing import Any, Final

import orjson

from bus.admin.telling import Telling
from bus.admin.words import ANSWER_S, COMMAND_BYTES, admin_channel
from bus.errors import BusError, BusUnavailable
from bus.redis.subscriber import Subscriber
from bus.slices import Slices
from bus.tasks import Spawn
from edges.admin.asked import Asked, BadCommand, Unanswerable, read
from edges.admin.verbs import CHANGES, Verbs
from edges.limits.mishaps import Mishaps

__all__ = ["Office"]

_MOST_WAITING: Final = 64
_TELL_EVERY_S: Final = 10.0
_SHOWN: Final = frozenset({"client", "user", "room", "level"})
"""The data of a command that the log shows."""

_logger = logging.getLogger("edgebus.edges")


class Office:
    """Hears operators on the edge's own channel, and answers on theirs.

    Args:
        edge_id: the edge's name in Redis.
        subscriber: the link.
        telling: publishes answers.
        verbs: carry commands out.
        spawn: runs and owns a task.
        mishaps: is told when answers cannot be published.

    Attributes:
        passed_over: messages without an answer: no commands, too long, or too many.

    """

    # decisions/0120: no proof is asked of a command. Only users that may publish on the channel reach the edge.

    def __init__(
        self, edge_id: str, subscriber: Subscriber, telling: Telling, verbs: Verbs, spawn: Spawn, mishaps: Mishaps
    ) -> None:
        self._edge, self._subscriber, self._telling, self._verbs = edge_id, subscriber, telling, verbs
        self._spawn, self._mishaps = spawn, mishaps
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._is_answering = self._has_told_deaf = False
        self._told_at: float | None = None
        self.passed_over = 0

    def link_came(self) -> None:
        """Listen on a new link."""
        self._spawn(self._listen(), "listen to operators")

    async def _listen(self) -> None:
        """Listen; an edge whose user of Redis may not goes on without operators, and says so once."""
        try:
            await self._subscriber.overhear(admin_channel(self._edge), self.take)
        except BusUnavailable as error:
            if not self._subscriber.is_up:  # the next link listens again
                return
            level = logging.DEBUG if self._has_told_deaf else logging.WARNING
            self._has_told_deaf = True
            fields = {"channel": admin_channel(self._edge), "reason": str(error), "run": "edgebus acl | redis-cli"}
            _logger.log(
                level, "operators cannot reach the edge: its user of Redis may not listen to them", extra=fields
            )

    def take(self, message: bytes) -> None:
        """Take a message, to be answered in turn; of too many, the newest are passed over."""
        if len(message) > COMMAND_BYTES:
            self._pass_over(f"the message has {len(message)} bytes; the limit is {COMMAND_BYTES}")
            return
        if len(self._waiting) >= _MOST_WAITING:
            self._pass_over(f"{_MOST_WAITING} commands wait already")
            return
        self._waiting.append((asyncio.get_running_loop().time(), message))
        if not self._is_answering:
            self._is_answering = True
            self._spawn(self._answer_all(), "operators' commands")

    def _pass_over(self, reason: str) -> None:
        """Count a message without an answer; told now and then, so that a flood fills no log."""
        self.passed_over += 1
        now = asyncio.get_running_loop().time()
        is_news = self._told_at is None or now - self._told_at >= _TELL_EVERY_S
        self._told_at = now if is_news else self._told_at
        fields = {"reason": reason, "passed_over": self.passed_over}
        _logger.log(logging.WARNING if is_news else logging.DEBUG, "passed over an operator's message", extra=fields)

    async def _answer_all(self) -> None:
        slices = Slices()
        try:
            while self._waiting:
                came_at, message = self._waiting.popleft()
                if asyncio.get_running_loop().time() - came_at > ANSWER_S:
                    self._pass_over("the operator waits no more")
                    continue
                await self._answer(message)
                await slices.give_way()
        finally:
            self._is_answering = False

    async def _answer(self, message: bytes) -> None:
        try:
            asked = read(message)
        except Unanswerable as error:
            self._pass_over(str(error))
            return
        answer = {"id": asked.id, "edge": self._edge, **await self._outcome(asked)}
        with self._mishaps.spared("answers to operators"):
            await self._telling.tell(asked.reply, orjson.dumps(answer))

    async def _outcome(self, asked: Asked) -> dict[str, Any]:
        try:
            data = await self._verbs.answer(asked)
        except BadCommand as error:
            self._log(asked, str(error))
            return {"error": str(error)}
        except BusError as error:
            self._log(asked, str(error))
            return {"error": f"Redis cannot be asked at the moment: {error}"}
        except Exception:
            _logger.exception("an operator's command failed", extra={"verb": asked.verb, "by": asked.by})
            return {"error": "the edge failed; the fault is in its log"}
        self._log(asked, data if asked.verb in CHANGES else "answered")
        return {"data": data}

    def _log(self, asked: Asked, outcome: object) -> None:
        """Tell of a command: of those that change something always, with the operator's own word on who."""
        level = logging.WARNING if asked.verb in CHANGES else logging.DEBUG
        wanted = {name: value for name, value in asked.data.items() if name in _SHOWN}
        fields = {"verb": asked.verb, "by": asked.by, "asked": wanted, "outcome": outcome}
        _logger.log(level, "operator's command", extra=fields)

"""The asking side: an edge asks a service, looks after questions, and takes back questions that wait too long.

A question is asked at most once: an ask without Redis' answer is never repeated.
"""

import hashlib
import importlib.resources
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from bus.asking.keys import STALE_MS, answer_key, beats_key, questions_key, responder_key
from bus.asking.question import Asker
from bus.asking.scripted import Call, Scripted
from bus.errors import BusError
from bus.redis.connection import Reply
from bus.redis.refusals import checked
from bus.values import frozen

__all__ = ["QUESTIONS_LIMIT", "Asked", "Asking", "Found", "Standing"]

_SCRIPT: Final = importlib.resources.files("bus.asking").joinpath("ask.lua").read_text("utf-8")
_SHA: Final = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
QUESTIONS_LIMIT: Final = 1_000
"""The most questions of a request in Redis, taken or not."""


@frozen
class Asked:
    """A question in Redis.

    Attributes:
        request: the request's name.
        id: the edge's name for the question.
        entry: the id of the entry in the stream.

    """

    request: str
    id: str
    entry: str


class Standing(StrEnum):
    """The standing of a question."""

    ASKED = "asked"
    NOBODY = "nobody"
    """No responder is there, and none has begun; the question is not in Redis."""
    FULL = "full"
    """Too many questions wait; the question is not in Redis."""
    ANSWERED = "answered"
    WAITING = "waiting"
    TAKEN = "taken"
    DIED = "died"
    """The responder that took the question is gone; the question is not in Redis any more."""
    UNKNOWN = "unknown"
    """Redis has no such question."""


@frozen
class Found:
    """The outcome of a look: a standing, with the message of an answer, or the id of the responder."""

    standing: Standing
    message: bytes = b""


class Asking(Scripted):
    """A connection for questions to a service.

    Every method raises ``BusUnavailable`` where Redis did not answer, and ``BusError`` where Redis refused.

    Args:
        url: of database 0, see ``bus.redis.address``.
        name: for ``CLIENT LIST``.
        service: the service's name.
        edge: the id of the asking edge, which names the channel for answers.
        stale_ms: after so long without a beat a responder counts as gone.

    """

    def __init__(self, url: str, *, name: str, service: str, edge: str, stale_ms: int = STALE_MS) -> None:
        super().__init__(url, name=name, script=_SCRIPT, sha=_SHA)
        self._service, self._edge, self._stale_ms = service, edge, stale_ms

    async def ask(
        self, request: str, question: str, data: bytes, asker: Asker, *, timeout_ms: int, limit: int = QUESTIONS_LIMIT
    ) -> Asked | Standing:
        """Put a question where responders take questions; ``NOBODY`` or ``FULL`` for a question that is not asked."""
        arguments = ("ask", self._stale_ms, question, self._edge, data, asker.dump(), timeout_ms, limit)
        (reply,) = await self.call([(self._keys(request), arguments)])
        match checked(reply):
            case [b"asked", bytes(entry), _]:
                return Asked(request, question, entry.decode())
            case [b"nobody"]:
                return Standing.NOBODY
            case [b"full"]:
                return Standing.FULL
        raise BusError("what answers a question is no Redis: its answer has another form")

    async def look(self, asked: Sequence[Asked], *, takes_out: bool) -> list[Found]:
        """Return the standing of each question, in one round trip.

        Args:
            asked: the questions.
            takes_out: whether a question leaves Redis whose responder is gone. False soon after an outage, in which no
                responder could show its life.

        """
        calls = [self._look(it, takes_out=takes_out) for it in asked]
        return [_found(reply) for reply in await self.call(calls)]

    def _look(self, asked: Asked, *, takes_out: bool) -> Call:
        keys = (*self._keys(asked.request), answer_key(self._service, asked.id))
        return keys, ("look", self._stale_ms, asked.entry, responder_key(self._service, ""), int(takes_out))

    async def leave(self, asked: Sequence[Asked]) -> None:
        """Take questions out of Redis: nobody begins them any more, and a late answer finds nothing."""
        await self.call([(self._keys(it.request), ("leave", self._stale_ms, it.entry)) for it in asked])

    async def forget_answers(self, questions: Sequence[str]) -> None:
        """Delete kept answers of questions, by the ids of the questions."""
        async with self.connected() as redis:
            await redis.unlink(*[answer_key(self._service, it) for it in questions])

    def _keys(self, request: str) -> tuple[str, str]:
        return questions_key(self._service, request), beats_key(self._service, request)


def _found(reply: Reply) -> Found:
    match reply:
        case [bytes(word), *rest] if (text := word.decode("latin-1")) in list(Standing):
            return Found(Standing(text), rest[0] if rest else b"")
    return Found(Standing.WAITING)  # a refusal of Redis' says nothing of the question

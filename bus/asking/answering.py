"""The answering side: a responder shows its life, takes questions, and answers each at most once."""

import hashlib
import importlib.resources
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bus.asking.keys import (
    GROUP,
    STALE_MS,
    answer_key,
    answers_channel,
    beats_key,
    questions_key,
    responder_key,
)
from bus.asking.question import Answered, Question
from bus.asking.scripted import Scripted
from bus.redis.connection import Connection, Reply
from bus.redis.refusals import checked

__all__ = ["KEPT_MS", "Answering", "Taking"]

_SCRIPT: Final = importlib.resources.files("bus.asking").joinpath("answer.lua").read_text("utf-8")
_SHA: Final = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
KEPT_MS: Final = 30_000
"""How long Redis keeps an answer for an edge that missed the publish; an edge deletes what it has."""


class Answering(Scripted):
    """A connection for the beats and the answers of a responder.

    Every method raises ``BusUnavailable`` where Redis did not answer, and ``BusError`` where Redis refused.

    Args:
        url: of database 0, see ``bus.redis.address``.
        name: for ``CLIENT LIST``.
        service: the service's name.
        responder: the id of the responder, which no other process ever has.
        stale_ms: after so long without a beat the responder counts as gone.

    """

    def __init__(self, url: str, *, name: str, service: str, responder: str, stale_ms: int = STALE_MS) -> None:
        super().__init__(url, name=name, script=_SCRIPT, sha=_SHA)
        self._service, self._responder, self._stale_ms = service, responder, stale_ms

    async def beat(self, requests: Sequence[str], facts: Mapping[str, str | int], *, takes: bool) -> float:
        """Show life, and make streams and groups anew where missing; ``takes``: questions may be asked.

        Returns:
            Redis' time in milliseconds, at the latest.

        """
        shown = [text for pair in facts.items() for text in pair]
        arguments = ("beat", self._responder, self._stale_ms, int(takes), *shown)
        (reply,) = await self.call([(self._keys(requests), arguments)])
        return float(checked(reply))

    async def answer(self, question: Question, answered: Answered) -> bool:
        """Answer, and tell whether the question was still this responder's; an answer may be repeated."""
        keys = questions_key(self._service, question.request), answer_key(self._service, question.id)
        channel, message = answers_channel(question.edge), answered.dump()
        arguments = ("answer", self._responder, question.entry, message, channel, KEPT_MS)
        (reply,) = await self.call([(keys, arguments)])
        return bool(checked(reply) == 1)

    async def leave(self, requests: Sequence[str]) -> None:
        """Be gone: edges find at once the questions that were taken and not answered."""
        (reply,) = await self.call([(self._keys(requests), ("leave", self._responder))])
        checked(reply)

    def _keys(self, requests: Sequence[str]) -> list[str]:
        pairs = [key for it in requests for key in (questions_key(self._service, it), beats_key(self._service, it))]
        return [responder_key(self._service, self._responder), *pairs]


class Taking(Connection):
    """A connection on which a responder waits for questions.

    Args:
        url: of database 0, see ``bus.redis.address``.
        name: for ``CLIENT LIST``.
        service: the service's name.
        responder: the id of the responder.

    """

    def __init__(self, url: str, *, name: str, service: str, responder: str) -> None:
        super().__init__(url, name=name)
        self._service, self._responder = service, responder

    async def take(self, requests: Sequence[str], count: int, *, wait_ms: int) -> list[tuple[str, bytes, Any]]:
        """Take at most ``count`` questions, and wait for the first for ``wait_ms``: request, entry and fields of each.

        Raises:
            BusUnavailable: Redis did not answer; questions may have been taken, and ``held`` returns these.
            BusError: Redis refused.

        """
        chosen = requests[:count]
        each = max(1, count // len(chosen))
        async with self.connected() as redis:
            found = await redis.xreadgroup(
                GROUP, self._responder, dict.fromkeys(self._streams(chosen), ">"), count=each, block=wait_ms
            )
        return self._entries(found)

    async def held(self, requests: Sequence[str], count: int) -> list[tuple[str, bytes, Any]]:
        """Return the oldest questions of each request, at most ``count``, that this responder took and holds still."""
        async with self.connected() as redis:
            found = await redis.xreadgroup(
                GROUP, self._responder, dict.fromkeys(self._streams(requests), "0"), count=count
            )
        return self._entries(found)

    async def drop_question(self, request: str, entry: bytes) -> None:
        """Take an entry that is no question out of the stream."""
        key = questions_key(self._service, request)
        async with self.connected() as redis:
            pipeline = redis.pipeline(transaction=False)
            pipeline.xack(key, GROUP, entry)
            pipeline.xdel(key, entry)
            await pipeline.execute()

    def _streams(self, requests: Sequence[str]) -> list[str]:
        return [questions_key(self._service, it) for it in requests]

    def _entries(self, found: Reply) -> list[tuple[str, bytes, Any]]:
        start = len(questions_key(self._service, ""))
        # An entry that was deleted while held has no fields.
        return [
            (key.decode()[start:], entry, fields or {}) for key, entries in found or () for entry, fields in entries
        ]

"""Questions to responders: asked in Redis, looked after, and answered once to the client; the owner of those under way.

Knows no client: takes a question, and returns the data of the reply or raises the refusal.
"""

import asyncio
import itertools
import math
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, Final

import orjson

from bus.asking.asking import Asked, Asking, Found, Standing
from bus.asking.keys import STALE_MS
from bus.asking.question import Answered, Asker, parse_answer
from bus.errors import BusUnavailable
from bus.redis.clock import now
from bus.service import Request
from bus.values import frozen, mutable
from edges.limits.mishaps import Mishaps
from edges.limits.rates import LimitReached
from edges.limits.replay_slots import Slots
from edges.protocol.messages import Code, Refusal, Refused
from edges.session.requests import Check, read_question

__all__ = ["LiveRequests", "LiveStatistics"]

_LOOK_S: Final = 0.5
_OVERDUE_S: Final = 1.0
"""A question without an answer for so long is looked after."""
_AFTER_LINK_S: Final = STALE_MS / 1000 + 1.0
"""After an outage of Redis, responders have so long to show their life before any counts as dead."""
_LOOKED_AT: Final = 200
"""Questions that a round trip looks after."""
_KEPT: Final = 10_000
_BESIDE_BYTES: Final = 128
"""The most bytes around the data in the message of an answer."""
_RETRY_MS: Final = 1_000

_MAY_BE_DONE: Final = "the question may have been carried out, and is not asked again"
_SENTENCES: Final = {
    Code.NO_RESPONDER: "no responder of the service is there to answer; nothing was carried out",
    Code.TIMEOUT: f"no answer came within {{:g}} s; {_MAY_BE_DONE}",
    Code.INTERNAL_ERROR: f"the responder that was answering is gone; {_MAY_BE_DONE}",
    Code.UNAVAILABLE: f"Redis has lost the question; {_MAY_BE_DONE}",
}
_UNASKED: Final = "Redis did not answer; the question may have been asked all the same"
_BROKEN: Final = "the answer of the responder cannot be read"


@frozen
class LiveStatistics:
    """Counters since the start, and the questions under way.

    Attributes:
        asked: questions that Redis took.
        answered: with data.
        refused: by code.
        late: answers to no question under way: a second one, or behind the deadline.
        unreadable: messages that no responder wrote.
        under_way: at present.

    """

    asked: int
    answered: int
    refused: Mapping[str, int]
    late: int
    unreadable: int
    under_way: int


@mutable
class _Pending:
    future: "asyncio.Future[Answered]"
    since: float
    asked: Asked | None = None


@mutable
class _Counts:
    asked: int = 0
    answered: int = 0
    late: int = 0
    unreadable: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class LiveRequests:
    """The questions of an edge to responders.

    Args:
        asking: puts questions into Redis.
        is_up: tells whether answers can come.
        limit: the most questions under way; further questions wait for a turn, fairly among networks.
        longest_s: the longest wait for an answer.
        limit_bytes: the largest answer.

    """

    def __init__(
        self, asking: Asking, is_up: Callable[[], bool], *, limit: int, longest_s: float, limit_bytes: int
    ) -> None:
        self._asking, self._is_up, self._longest_s, self._limit_bytes = asking, is_up, longest_s, limit_bytes
        self._slots = Slots("max_questions", limit)
        self._pending: dict[str, _Pending] = {}
        self._nonce, self._numbers = secrets.token_hex(8), itertools.count()
        self._counts = _Counts()
        self._left: list[Asked] = []
        self._had: list[str] = []
        self._link_since, self._owes_look, self._wake = 0.0, False, asyncio.Event()

    def statistics(self) -> LiveStatistics:
        """Return the counters."""
        it = self._counts
        refused = dict(it.refused)
        return LiveStatistics(it.asked, it.answered, refused, it.late, it.unreadable, len(self._pending))

    # Asking.

    async def answer(
        self,
        request: Request[Any, Any],
        data: Mapping[str, Any],
        reply_to: str | None,
        check: Check,
        asker: Asker,
        network: str = "",
    ) -> bytes | None:
        """Return the data of the reply, as JSON; None where nobody is there, and the request has a fold.

        Raises:
            Refused: the question is not of the request's model; by ``check``; by the responder; or without an answer.
            LimitReached: many other questions are under way.
            BusUnavailable: Redis is away; nothing was asked.
            BusError: Redis refused; nothing was asked.

        """
        text = orjson.dumps(data)
        _, channels = read_question(request, text, reply_to)
        check(channels)
        async with self._slots.slot(network):
            answered = await self._outcome(request, text, asker)
        if answered.code is None:
            self._counts.answered += 1
            return answered.data
        if answered.code is Code.NO_RESPONDER and request.has_fold:
            return None
        self._counts.refused[answered.code] += 1
        wait_ms = _RETRY_MS if answered.code in (Code.NO_RESPONDER, Code.UNAVAILABLE) else None
        raise Refused(Refusal(answered.code, answered.sentence, request.name, reply_to, wait_ms))

    async def _outcome(self, request: Request[Any, Any], text: bytes, asker: Asker) -> Answered:
        if not self._is_up():  # an answer could not come
            raise BusUnavailable("the link to Redis is down")
        name = f"{self._nonce}{next(self._numbers):x}"
        pending = self._pending[name] = _Pending(asyncio.get_running_loop().create_future(), now())
        timeout_s = min(request.timeout_s, self._longest_s)
        try:
            async with asyncio.timeout(timeout_s):
                standing = await self._ask(request.name, name, text, asker, timeout_s)
                if isinstance(standing, Answered):
                    return standing
                pending.asked = standing
                return await pending.future
        except TimeoutError:
            if pending.asked is not None and len(self._left) < _KEPT:
                self._left.append(pending.asked)
            return _refused(name, Code.TIMEOUT, timeout_s)
        finally:
            self._pending.pop(name, None)

    async def _ask(self, request: str, name: str, text: bytes, asker: Asker, timeout_s: float) -> Asked | Answered:
        try:
            # decisions/0104: tried once. Nobody can tell an ask without an answer of Redis' from one never made.
            asked = await self._asking.ask(request, name, text, asker, timeout_ms=math.ceil(timeout_s * 1000))
        except BusUnavailable:
            return Answered(name, code=Code.UNAVAILABLE, sentence=_UNASKED)
        match asked:
            case Asked():
                self._counts.asked += 1
                return asked
            case Standing.FULL:
                raise LimitReached("max_questions", f"too many questions wait for {request}; try again later")
        return _refused(name, Code.NO_RESPONDER)

    # Answers.

    def take(self, message: bytes) -> None:
        """Take the message of an answer; neither waits nor raises. The first answer to a question counts."""
        name = message[:64].partition(b" ")[0].decode("latin-1")
        pending = self._pending.pop(name, None)
        if name.startswith(self._nonce) and len(self._had) < _KEPT:  # too late or not, it is kept for no one else
            self._had.append(name)
        if pending is None or pending.future.done():
            self._counts.late += 1
            return
        self._settle(name, pending, self._read(name, message))

    def _read(self, name: str, message: bytes) -> Answered:
        if len(message) > self._limit_bytes + _BESIDE_BYTES:  # before a look inside
            sentence = f"the answer has {len(message)} bytes; max_answer_bytes is {self._limit_bytes}: ask for less"
            return Answered(name, code=Code.ANSWER_TOO_LARGE, sentence=sentence)
        answered = parse_answer(message)
        if answered is None:
            self._counts.unreadable += 1
            return Answered(name, code=Code.INTERNAL_ERROR, sentence=_BROKEN)
        return answered

    @staticmethod
    def _settle(name: str, pending: _Pending, answered: Answered) -> None:
        if not pending.future.done():
            pending.future.set_result(answered)

    # Looking after questions.

    def link_came(self) -> None:
        """Look after every question at once: answers may have passed while the link was down."""
        self._link_since, self._owes_look = now(), True
        self._wake.set()

    async def look_on(self, mishaps: Mishaps) -> None:
        """Look after questions that have waited, again and again."""
        while True:
            with mishaps.spared("questions"):
                await self.look()
            self._wake.clear()
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Look once; and tidy up behind answers and deadlines.

        Raises:
            BusError: Redis did not answer, or refused; the next look does the same.

        """
        at = now()
        least_s = 0.0 if self._owes_look else _OVERDUE_S
        due = [it for it in self._pending.items() if it[1].asked is not None and at - it[1].since >= least_s]
        for some in _slices(due, _LOOKED_AT):
            asked = [pending.asked for _, pending in some if pending.asked is not None]
            found = await self._asking.look(asked, takes_out=at - self._link_since > _AFTER_LINK_S)
            for (name, _), one in zip(some, found, strict=True):
                self._found(name, one)
        self._owes_look = False
        await self._tidy()

    def _found(self, name: str, found: Found) -> None:
        match found.standing:
            case Standing.ANSWERED:
                if name in self._pending:
                    self.take(found.message)
            case Standing.NOBODY:
                self._refuse(name, Code.NO_RESPONDER)
            case Standing.DIED:
                self._refuse(name, Code.INTERNAL_ERROR)
            case Standing.UNKNOWN:
                self._refuse(name, Code.UNAVAILABLE)

    def _refuse(self, name: str, code: Code) -> None:
        pending = self._pending.pop(name, None)
        if pending is not None:
            self._settle(name, pending, _refused(name, code))

    async def _tidy(self) -> None:
        """Take overdue questions out of Redis, and delete answers that were had."""
        left, self._left = self._left[:_LOOKED_AT], self._left[_LOOKED_AT:]
        if left:
            await self._asking.leave(left)
        had, self._had = self._had, []
        if had:
            await self._asking.forget_answers(had)

    async def drop(self) -> None:
        """Give up the connection, which may lead nowhere."""
        await self._asking.drop()

    async def close(self) -> None:
        """Close the connection; calling it twice is harmless."""
        await self._asking.close()


def _refused(name: str, code: Code, timeout_s: float = 0.0) -> Answered:
    return Answered(name, code=code, sentence=_SENTENCES[code].format(timeout_s))


def _slices(due: Sequence[tuple[str, _Pending]], size: int) -> Sequence[Sequence[tuple[str, _Pending]]]:
    return [due[start : start + size] for start in range(0, len(due), size)]

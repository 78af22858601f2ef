"""The requests of one connection: composed, sent in turn at the edge's pace, and given their answers.

Requests know no socket: ``clients.connection`` sends the texts of ``outgoing``, and brings the answers.
"""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Hashable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from clients.errors import Unsendable
from clients.pace import Pace, Terms
from clients.settings import Timing
from clients.wire import Answer, Refusal, encode

__all__ = ["Hear", "Heard", "Requests"]

Heard: TypeAlias = Answer | Refusal | Unsendable | None
"""The answer; the error when the edge would not read the request; None when the connection ended before either."""

Hear: TypeAlias = Callable[[Heard], None]
"""Called once, with a request's end."""

_SMALL_BYTES: Final = 512
"""No message of this size or less is taken for the one that was too long: the client's own are."""
_RATE_LIMIT: Final = 1_000_000
"""Messages per second; no edge counts faster."""


class _Asked(NamedTuple):
    size: int
    hear: Hear | None


class _Spawn(Protocol):
    def __call__(self, work: Coroutine[Any, Any, None], name: str) -> None: ...


class Requests:
    """The requests of one connection.

    Args:
        terms: the edge's limits, as earlier connections learned them; updated here.
        timing: clock and sleep.
        spawn: runs a task for as long as the connection lasts.

    """

    def __init__(self, terms: Terms, timing: Timing, spawn: _Spawn) -> None:
        self._terms, self._timing, self._spawn = terms, timing, spawn
        self._pace = Pace(terms.rate, timing.clock())
        self._numbers = itertools.count(1)
        self._asked: dict[str, _Asked] = {}
        self._offered: dict[Hashable, Callable[[], None]] = {}
        self._is_trickling = False
        self.outgoing: asyncio.Queue[str] = asyncio.Queue()
        """Texts to send, in order."""

    # Requests that a caller waits for: sent at once, and counted.

    def compose(self, verb: str, data: Mapping[str, Any], request_id: str | None = None) -> tuple[str, str]:
        """Return id and text of a request that is sent now; without an id of the caller's the id is a number.

        Raises:
            Unsendable: ``data`` holds a value that JSON cannot carry, or more than the edge takes. Nothing has changed.

        """
        asked = request_id or str(next(self._numbers))
        text = encode(verb, data, asked)
        size, limit = len(text.encode()), self._terms.request_bytes
        if size > limit:
            raise Unsendable(f"{verb}: the message has {size} bytes, and the edge takes {limit} (max_message_bytes)")
        self._pace.spend(self._timing.clock())
        return asked, text

    def ask(
        self, verb: str, data: Mapping[str, Any], hear: Hear | None = None, *, request_id: str | None = None
    ) -> str:
        """Send a request in its turn, and return its id; ``hear`` is called with the answer.

        Raises:
            Unsendable: as ``compose`` does.

        """
        asked, text = self.compose(verb, data, request_id)
        self.outgoing.put_nowait(text)
        self._asked[asked] = _Asked(len(text), hear)
        return asked

    async def exchange(self, verb: str, data: Mapping[str, Any]) -> Heard:
        """Ask, and return the answer. May be cancelled; the edge's answer is dropped then.

        Raises:
            Unsendable: as ``compose`` does.

        """
        heard: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()
        asked = self.ask(verb, data, partial(_settle, heard))
        try:
            return await heard
        finally:
            self._forget(asked)

    def _forget(self, asked: str) -> None:
        # The request stays known: an edge that finds it too long may still close with 1009 for it.
        left = self._asked.get(asked)
        if left is not None:
            self._asked[asked] = left._replace(hear=None)

    def answered(self, answer: Answer | Refusal) -> None:
        """Give an answer to the request's caller; an answer to no known request is dropped."""
        asked = self._asked.pop(answer.asked, None) if answer.asked is not None else None
        if asked is not None and asked.hear is not None:
            asked.hear(answer)

    def too_long(self, reason: str) -> bool:
        """Fail the request that was too long for the edge; False where none can have been. The others go on.

        The request's size bounds all later ones (``Terms``).
        """
        # decisions/0054: close code 1009 names no request. The longest one without an answer is taken for the culprit.
        name, asked = max(self._asked.items(), key=lambda item: item[1].size, default=("", _Asked(0, None)))
        if asked.size <= _SMALL_BYTES:
            return False
        self._terms.request_bytes = min(self._terms.request_bytes, asked.size - 1)
        del self._asked[name]
        if asked.hear is not None:
            asked.hear(Unsendable(f"the message of {asked.size} bytes is longer than the edge takes: {reason}"))
        return True

    def give_up(self) -> None:
        """Tell every caller that no answer will come."""
        self._offered.clear()
        left, self._asked = self._asked, {}
        for asked in left.values():
            if asked.hear is not None:
                asked.hear(None)

    # Requests that no caller waits for: sent when the edge's rate allows one more.

    def offer(self, key: Hashable, say: Callable[[], None]) -> None:
        """Have ``say`` called as soon as the edge's rate allows one more message.

        An offer that is repeated under its ``key`` keeps its place.
        """
        # decisions/0053: `say` composes the request when its turn comes, not when the turn is booked. So a subscription
        # resumes at where its caller stands by then, and one that ended meanwhile costs nothing.
        if not self._offered and self._pace.wait_s(self._timing.clock()) == 0:
            say()
            return
        self._offered[key] = say
        if not self._is_trickling:
            self._is_trickling = True
            self._spawn(self._trickle(), "client pace")

    def withdraw(self, key: Hashable) -> None:
        """Drop an offer; no offer under ``key`` is no error."""
        self._offered.pop(key, None)

    async def _trickle(self) -> None:
        try:
            while self._offered:
                wait_s = self._pace.wait_s(self._timing.clock())
                if wait_s:
                    await self._timing.sleep(wait_s)
                else:
                    self._offered.pop(next(iter(self._offered)))()
        finally:
            self._is_trickling = False

    def welcomed(self, rate: int) -> None:
        """Go by the edge's own rate, messages per second, from here on."""
        self._terms.rate = min(rate, _RATE_LIMIT)
        self._pace.welcomed(self._terms.rate, self._timing.clock())

    def refused(self, wait_s: float) -> None:
        """Offer nothing for ``wait_s`` seconds: the edge refused a request for its rate."""
        self._pace.refused(wait_s, self._timing.clock())


def _settle(heard: "asyncio.Future[Heard]", answer: Heard) -> None:
    if not heard.done():
        heard.set_result(answer)

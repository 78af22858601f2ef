"""A responder: the functions of a service's process, which answer the live requests of the service's clients.

Several responders share the questions, and each question is taken by one.
"""

import asyncio
import logging
import os
import platform
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, Self, TypeVar

from pydantic import BaseModel

from bus.asking.answering import Answering, Taking
from bus.asking.question import Answered, Asker, Question
from bus.errors import BusError, BusUnavailable
from bus.parts import check_part
from bus.redis.address import check_url, default_url
from bus.redis.clock import now
from bus.retrying import until_true
from bus.service import Request, Service
from bus.tasks import end
from bus.values import frozen
from bus.words import Code
from producers.answers import LOGGER, Answers, Function, RequestRefused

__all__ = ["Asker", "RequestRefused", "Responder", "ResponderStatistics"]

FunctionT = TypeVar("FunctionT", bound=Function)

_BEAT_S: Final = 0.5
_WAIT_MS: Final = 250
"""How long Redis holds a call for questions: a new function, and an end, wait for so long at most."""
_GRACE_S: Final = 1.0


@frozen
class ResponderStatistics:
    """Counters since the responder was made.

    Attributes:
        answered: with data.
        refused: with ``RequestRefused``, or for their form.
        failed: by a function's error, a wrong answer, or an answer that is too large.
        overdue: not begun, because the deadline had passed, or given up at the deadline.
        late: answered when the question was not this responder's any more.
        unreadable: entries of other writers.
        under_way: at present.
        is_up: whether the last beat came through.

    """

    answered: int = 0
    refused: int = 0
    failed: int = 0
    overdue: int = 0
    late: int = 0
    unreadable: int = 0
    under_way: int = 0
    is_up: bool = False


class Responder:
    """Answers live requests of a service, for as long as the block runs.

    A function takes the question (and an ``Asker``, if it has a second argument), and returns the answer. A plain
    function runs in a thread, an ``async`` function in the event loop, which is not to be held up: a responder without
    a sign of life for three seconds counts as dead.

    Args:
        url: of Redis; None takes ``EDGEBUS_REDIS_URL``, else ``redis://127.0.0.1:6390``.
        service: the catalogue.
        max_at_once: questions under way; further questions are left to other responders, or wait.
        max_answer_bytes: the largest answer.
        close_s: at the end, how long questions under way may take.
        logger: is told of functions that fail, and when Redis goes and comes back.

    Raises:
        AddressError: the URL cannot be used.
        TypeError: ``service`` is no service.
        ValueError: a number is out of range.

    """

    def __init__(
        self,
        url: str | None,
        service: Service,
        *,
        max_at_once: int = 16,
        max_answer_bytes: int = 4_000_000,
        close_s: float = 5.0,
        logger: logging.Logger = LOGGER,
    ) -> None:
        url = url or default_url()
        import bus.redis.pooled  # noqa: F401 (see producers.sender)

        check_url(url)
        check_part("service", service, Service, "a Service")
        if max_at_once < 1 or max_answer_bytes < 1 or close_s < 0:
            raise ValueError("max_at_once and max_answer_bytes are at least 1, close_s at least 0")
        self.service, self._url, self._max_at_once, self._close_s = service, url, max_at_once, close_s
        self._logger = logger
        self._answers = Answers(service, limit_bytes=max_answer_bytes, logger=logger)
        self._counts = ResponderStatistics()
        self._since_ms = int(time.time() * 1000)
        self._under_way: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._is_leaving, self._is_up, self._owes_look = False, False, False
        self._redis_ms, self._beaten_s = 0.0, 0.0
        self._told = ""
        self._turn = 0

    # Functions.

    def answers(self, what: type[BaseModel] | Request[Any, Any]) -> Callable[[FunctionT], FunctionT]:
        """Register the decorated function for a request: named by the model of its question, or by the request.

        Before or after the responder is opened.

        Raises:
            TypeError: the function is none, takes other arguments, or is annotated with other models.
            ValueError: the catalogue has no such live request, or the request has a function already.

        """

        def register(function: FunctionT) -> FunctionT:
            self._answers.add(what, function)
            if self._tasks:  # from any thread, as the blocking twin does
                self._loop.call_soon_threadsafe(self._wake.set)
            return function

        return register

    # Beginning and end.

    async def open(self) -> Self:
        """Begin to answer, and return the responder; Redis need not be there yet.

        Raises:
            BusError: the responder is open already.

        """
        if self._tasks:
            raise BusError("the responder is open already: use one `async with` at a time")
        self.id = f"{platform.node()}-{os.getpid()}-{secrets.token_hex(4)}"
        name, service = f"edgebus-responder-{self.service.name}", self.service.name
        self._answering = Answering(self._url, name=name, service=service, responder=self.id)
        self._taking = Taking(self._url, name=f"{name}-questions", service=service, responder=self.id)
        self._pool = ThreadPoolExecutor(self._max_at_once, thread_name_prefix="edgebus-responder")
        self._loop = asyncio.get_running_loop()
        self._wake, self._freed, self._is_leaving = asyncio.Event(), asyncio.Event(), False
        self._tasks = [
            asyncio.create_task(self._beat_on(), name=f"beats of {self.id}"),
            asyncio.create_task(self._take_on(), name=f"questions of {self.id}"),
        ]
        return self

    async def __aenter__(self) -> Self:
        """Do as ``open``."""
        return await self.open()

    async def __aexit__(self, *exc_info: object) -> None:
        """Do as ``close``."""
        await self.close()

    async def close(self) -> None:
        """Take no more questions, finish those under way within ``close_s``, and leave Redis; twice is harmless.

        The clients of questions that are not answered by then hear that their responder is gone.
        """
        if not self._tasks:
            return
        tasks, self._tasks, self._is_leaving = self._tasks, [], True
        self._wake.set()
        self._freed.set()
        try:
            async with asyncio.timeout(self._close_s):
                await self._beat()
                await asyncio.wait([tasks[1]])
                while self._under_way:
                    await asyncio.wait(list(self._under_way.values()))
        except TimeoutError:
            self._logger.warning("left before all was answered", extra={"questions": len(self._under_way)})
        finally:
            await end([*tasks, *self._under_way.values()])
            self._pool.shutdown(wait=False, cancel_futures=True)
            with suppress(BusError, TimeoutError):
                async with asyncio.timeout(_GRACE_S):
                    await self._answering.leave(self._answers.requests)
            await self._answering.close()
            await self._taking.close()

    async def wait(self) -> None:
        """Wait for as long as the responder answers: for ever, unless a bug of ours ends it.

        Raises:
            BusError: the responder is not open.
            Exception: the bug.

        """
        if not self._tasks:
            raise BusError("the responder is not open: use it as `async with Responder(...) as responder`")
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    def statistics(self) -> ResponderStatistics:
        """Return the counters."""
        return replace(self._counts, under_way=len(self._under_way), is_up=self._is_up)

    # Signs of life.

    async def _beat_on(self) -> None:
        while not self._is_leaving:
            self._wake.clear()
            await until_true(self._beat)
            with suppress(TimeoutError):
                async with asyncio.timeout(_BEAT_S):
                    await self._wake.wait()
        while self._under_way:  # what is under way at the end is alive
            await self._beat()
            await asyncio.sleep(_BEAT_S)

    async def _beat(self) -> bool:
        """Show life once; an error is told once, and tried again."""
        try:
            self._redis_ms = await self._answering.beat(
                self._answers.requests, self._facts(), takes=not self._is_leaving
            )
        except BusError as error:
            self._note(error)
            return self._is_leaving
        self._beaten_s = now()
        if not self._is_up:
            self._logger.info("responder is up", extra={"service": self.service.name, "responder": self.id})
        self._is_up, self._told = True, ""
        return True

    def _note(self, error: BusError) -> None:
        if self._told != str(error):
            level = logging.WARNING if isinstance(error, BusUnavailable) else logging.ERROR
            self._logger.log(level, "responder cannot reach the questions", extra={"reason": str(error)})
        self._is_up, self._told = False, str(error)

    def _facts(self) -> dict[str, str | int]:
        counts = self._counts
        return {
            "requests": " ".join(self._answers.requests),
            "host": platform.node(),
            "pid": os.getpid(),
            "since": self._since_ms,
            "answered": counts.answered,
            "refused": counts.refused,
            "failed": counts.failed,
            "under_way": len(self._under_way),
        }

    # Questions.

    async def _take_on(self) -> None:
        while not self._is_leaving:
            await until_true(self._take)

    async def _take(self) -> bool:
        """Begin the next questions; False after an error of Redis', for a pause."""
        requests, free = self._answers.requests, self._max_at_once - len(self._under_way)
        if not requests or free < 1 or not self._is_up:
            self._freed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_BEAT_S if requests and free < 1 else _BEAT_S / 10):
                    await self._freed.wait()
            return True
        self._turn += 1  # with fewer free hands than requests, each request is looked at in its turn
        turn = self._turn % len(requests)
        try:
            # decisions/0104: of a cut line the questions on it are this responder's, and nobody has begun them.
            found = await self._taking.held(requests, self._max_at_once) if self._owes_look else []
            self._owes_look = False
            found = found or await self._taking.take([*requests[turn:], *requests[:turn]], free, wait_ms=_WAIT_MS)
        except BusError as error:
            self._owes_look = True
            self._note(error)
            self._wake.set()  # a beat makes a stream anew that was deleted
            return self._is_leaving
        for request, entry, fields in found:
            await self._begin(request, entry, fields)
        return True

    async def _begin(self, request: str, entry: bytes, fields: Any) -> None:
        key = request, entry.decode()
        if key in self._under_way:
            return
        question = Question.parse(request, entry, fields)
        if question is None:
            self._count("unreadable")
            self._logger.warning("an entry is no question", extra={"request": request, "entry": key[1]})
            with suppress(BusError):
                await self._taking.drop_question(request, entry)
            return
        task = asyncio.create_task(self._answer(question), name=f"{request} {question.id}")
        self._under_way[key] = task
        task.add_done_callback(lambda _: self._end(key))

    def _end(self, key: tuple[str, str]) -> None:
        del self._under_way[key]
        self._freed.set()

    async def _answer(self, question: Question) -> None:
        left_s = self._left_s(question)
        if left_s <= 0:  # the edge has answered TIMEOUT: whatever the function did would be for nobody
            self._count("overdue")
            with suppress(BusError):
                await self._taking.drop_question(question.request, question.entry.encode())
            return
        answered = await self._answers.answer(question, self._pool, left_s)
        self._count(_kind(answered))
        await self._send(question, answered)

    async def _send(self, question: Question, answered: Answered) -> None:
        """Send an answer until Redis has it, or nobody waits for it any more."""

        async def has_sent() -> bool:
            try:
                if not await self._answering.answer(question, answered):
                    self._count("late")
            except BusUnavailable:
                return False
            except BusError as error:
                self._note(error)
                return False
            return True

        try:
            async with asyncio.timeout(max(0.0, self._left_s(question)) + _GRACE_S):
                await until_true(has_sent)
        except TimeoutError:
            self._count("late")

    def _left_s(self, question: Question) -> float:
        """Return the time until a deadline by Redis' clock, from the last beat and our own clock."""
        return (question.deadline_ms - self._redis_ms) / 1000 - (now() - self._beaten_s)

    def _count(self, name: str) -> None:
        self._counts = replace(self._counts, **{name: getattr(self._counts, name) + 1})


def _kind(answered: Answered) -> str:
    match answered.code:
        case None:
            return "answered"
        case Code.INTERNAL_ERROR | Code.ANSWER_TOO_LARGE:
            return "failed"
        case Code.TIMEOUT:
            return "overdue"
    return "refused"

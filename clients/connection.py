"""One connection to an edge, from the handshake to its end: what is asked, and who waits for the answer.

It knows nothing of subscriptions, and of reconnecting only what the edge said about it.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Coroutine, Hashable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple, Self, TypeAlias

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from bus.tasks import end
from bus.words import CloseCode, Code, NoticeName, Verb
from clients.comeback import advised_s, for_good
from clients.dialing import dial
from clients.errors import AuthenticationFailed, ClientError, Disconnected, Dismissed, Unsendable
from clients.pace import Pace, Terms
from clients.settings import ClientSettings
from clients.wire import Answer, Message, Notice, Refusal, decode, encode, whole

__all__ = ["Connection", "Hear"]

Hear: TypeAlias = Callable[[Answer | Refusal | Unsendable | None], None]
"""Takes the answer; or the error, when the edge would not even read it; or None when the connection ended before either
came. Called once."""

_SMALL_BYTES: Final = 512
"""No message of this size or less is taken for the one that was too long: the client's own are."""
_RATE_LIMIT: Final = 1_000_000
"""No edge counts faster than that."""


_logger = logging.getLogger("edgebus.clients")


class _Asked(NamedTuple):
    size: int
    hear: Hear | None


class Connection:
    """One open connection. Whoever opened it calls ``close`` when it is over, however it ended."""

    def __init__(self, websocket: ClientConnection, settings: ClientSettings, terms: Terms | None = None) -> None:
        self._websocket, self._settings = websocket, settings
        self._terms = terms if terms is not None else Terms(settings.max_request_bytes)
        self._clock = settings.timing.clock
        self._outgoing: asyncio.Queue[str] = asyncio.Queue()
        self._pace = Pace(self._terms.rate, self._clock())
        self._own: dict[Hashable, Callable[[], None]] = {}
        self._is_trickling = False
        self._asked: dict[str, _Asked] = {}
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._crash: BaseException | None = None
        self._refusal: Refusal | None = None
        self.come_back_at: float | None = None
        """When the edge advised to come back, on the client's clock; None when it did not."""

    @classmethod
    async def open(cls, url: str, settings: ClientSettings, terms: Terms | None = None) -> Self:
        """Connect and shake hands; ``terms`` are what earlier connections found out.

        Raises:
            Unreachable: it did not go well; another attempt may. ``Untrusted`` when it is for the certificate,
                ``Redirected`` when another address is to be taken.
            Dismissed: the handshake was refused in a way that says it never will.

        """
        return cls(await dial(url, settings), settings, terms)

    async def authenticate(self, token: str) -> None:
        """Show the token before anything else; nobody else reads yet.

        Raises:
            AuthenticationFailed: the edge does not take it.
            Unsendable: it is none that could be sent.
            Disconnected: the edge did not say.
            Dismissed: the edge closed for good.

        """
        try:
            async with asyncio.timeout(self._settings.open_timeout_s):
                answer = await self._exchange(Verb.AUTH, {"token": token})
        except TimeoutError:
            raise Disconnected("the edge did not answer to the token") from None
        match answer:
            case Refusal(sentence=sentence, is_about_the_token=True):
                raise AuthenticationFailed(CloseCode.POLICY_VIOLATION, sentence, answer.retry_after_ms)
            case Refusal(code=code, sentence=sentence):
                raise Disconnected(f"the edge did not look at the token: {code}: {sentence}")

    async def _exchange(self, verb: str, data: Mapping[str, Any]) -> Answer | Refusal:
        asked, text = self._encoded(verb, data)
        self._pace.spend(self._clock())
        with suppress(ConnectionClosed):  # reading says why
            await self._websocket.send(text)
        while True:
            try:
                message = await self.next()
            except Dismissed as error:
                raise _of_token(error) from None
            if isinstance(message, Answer | Refusal) and message.asked == asked:
                return message

    # What comes.

    async def next(self) -> Message | None:
        """Return the next message, None for one that means nothing. May be cancelled without loss.

        Raises:
            Disconnected: the connection ended.
            Dismissed: the edge ended it for good.
            Exception: what a task of ``spawn`` failed with.

        """
        try:
            message = decode(await self._websocket.recv())
        except ConnectionClosed as error:
            if self._crash is not None:
                raise self._crash from None
            raise self._ending(error) from None
        match message:
            case Refusal():
                self._note_refusal(message)
            case Notice(event=NoticeName.SESSION_CREATED, data=data):
                *_, rate = NoticeName.SESSION_CREATED.values(data)
                self._welcomed(whole(rate))
        return message

    def _note_refusal(self, refusal: Refusal) -> None:
        if refusal.is_about_the_token:
            self._refusal = refusal
        elif refusal.code == Code.RATE_LIMIT_EXCEEDED:
            self._pace.refused(advised_s(refusal.retry_after_ms or 0), self._clock())
        elif refusal.asked is None:  # it answers nobody in particular, and so nobody
            fields = {"code": refusal.code, "reason": refusal.sentence}
            _logger.warning("the edge refused a message without saying which", extra=fields)

    def _welcomed(self, rate: int | None) -> None:
        if rate:
            self._terms.rate = min(rate, _RATE_LIMIT)
            self._pace.welcomed(self._terms.rate, self._clock())

    def _ending(self, error: ConnectionClosed) -> ClientError:
        close = error.rcvd or error.sent
        if close is None:
            return Disconnected("the connection broke")
        if error.rcvd is not None and close.code == CloseCode.MESSAGE_TOO_BIG and self._blame(close.reason):
            return Disconnected(f"the connection ended: {error}")
        retry_ms = None if self._refusal is None else self._refusal.retry_after_ms
        was_refused = self._refusal is not None
        dismissed = for_good(close.code, close.reason, was_refused=was_refused, retry_after_ms=retry_ms)
        return dismissed or Disconnected(f"the connection ended: {error}")

    def _blame(self, reason: str) -> bool:
        """Find the message that was too long for the edge, and tell who sent it; the others had no part in it."""
        name, asked = max(self._asked.items(), key=lambda item: item[1].size, default=("", _Asked(0, None)))
        if asked.size <= _SMALL_BYTES:
            return False
        self._terms.request_bytes = min(self._terms.request_bytes, asked.size - 1)
        del self._asked[name]
        if asked.hear is not None:
            asked.hear(Unsendable(f"the message of {asked.size} bytes is longer than the edge takes: {reason}"))
        return True

    # What goes.

    def start(self) -> None:
        """Begin to send what is asked."""
        self.spawn(self._write(), "client writer")

    async def _write(self) -> None:
        with suppress(ConnectionClosed):  # reading says why
            while True:
                await self._websocket.send(await self._outgoing.get())

    def _encoded(self, verb: str, data: Mapping[str, Any]) -> tuple[str, str]:
        """Return the id and the text of a request; nothing has changed where it raises ``Unsendable``."""
        asked = str(next(self._numbers))
        text = encode(verb, data, asked)
        size, limit = len(text.encode()), self._terms.request_bytes
        if size > limit:
            raise Unsendable(f"{verb}: the message has {size} bytes, and the edge takes {limit} (max_message_bytes)")
        return asked, text

    def ask(self, verb: str, data: Mapping[str, Any], hear: Hear | None = None) -> str:
        """Send a request in its turn, and return its id; ``hear`` is called with the answer.

        Raises:
            Unsendable: ``data`` holds what JSON cannot carry, or more than the edge takes.

        """
        asked, text = self._encoded(verb, data)
        self._pace.spend(self._clock())
        self._outgoing.put_nowait(text)
        self._asked[asked] = _Asked(len(text), hear)
        return asked

    def offer(self, key: Hashable, say: Callable[[], None]) -> None:
        """Have ``say`` called as soon as the edge's rate allows one more message: what nobody is kept waiting by.

        One that is offered again under its ``key`` keeps its place.
        """
        if not self._own and self._pace.wait_s(self._clock()) == 0:
            say()
            return
        self._own[key] = say
        if not self._is_trickling:
            self._is_trickling = True
            self.spawn(self._trickle(), "client pace")

    def withdraw(self, key: Hashable) -> None:
        """Offer it no more."""
        self._own.pop(key, None)

    async def _trickle(self) -> None:
        try:
            while self._own:
                wait_s = self._pace.wait_s(self._clock())
                if wait_s:
                    await self._settings.timing.sleep(wait_s)
                else:
                    self._own.pop(next(iter(self._own)))()
        finally:
            self._is_trickling = False

    async def exchange(self, verb: str, data: Mapping[str, Any]) -> Answer | Refusal | Unsendable | None:
        """Ask, and return the answer as a ``Hear`` is given it.

        Raises:
            Unsendable: as ``ask`` does.

        """
        heard: asyncio.Future[Answer | Refusal | Unsendable | None] = asyncio.get_running_loop().create_future()
        asked = self.ask(verb, data, partial(_settle, heard))
        try:
            return await heard
        finally:
            self.forget(asked)

    def forget(self, asked: str) -> None:
        """Wait for an answer no more."""
        left = self._asked.get(asked)
        if left is not None:
            self._asked[asked] = left._replace(hear=None)

    def answered(self, answer: Answer | Refusal) -> None:
        """Give an answer to whoever asked."""
        asked = self._asked.pop(answer.asked, None) if answer.asked is not None else None
        if asked is not None and asked.hear is not None:
            asked.hear(answer)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run something for as long as the connection lasts; if it fails, the connection ends with its error."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._crash = task.exception()
            self._websocket.transport.abort()

    def give_up(self) -> None:
        """Tell everyone who waits for an answer that none will come."""
        self._own.clear()
        left, self._asked = self._asked, {}
        for asked in left.values():
            if asked.hear is not None:
                asked.hear(None)

    async def close(self) -> None:
        """End the connection and everything that belongs to it."""
        try:
            await end(tuple(self._tasks))
            await self._websocket.close()
        finally:
            self._websocket.transport.abort()


def _settle(heard: "asyncio.Future[Any]", answer: object) -> None:
    if not heard.done():
        heard.set_result(answer)


def _of_token(error: Dismissed) -> Dismissed:
    """Return what a close means while nothing but the token was said: too long is one that the edge does not take."""
    if error.code != CloseCode.MESSAGE_TOO_BIG or isinstance(error, AuthenticationFailed):
        return error
    return AuthenticationFailed(error.code, f"the token is longer than the edge takes: {error.reason}")

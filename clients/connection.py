"""One connection to an edge, from the handshake to its end.

A connection knows nothing of subscriptions, and of reconnecting only the edge's advice.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any, Self

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from bus.tasks import end
from bus.words import CloseCode, Code, NoticeName, Verb
from clients.comeback import advised_s, for_good
from clients.dialing import dial
from clients.errors import AuthenticationFailed, ClientError, Disconnected, Dismissed
from clients.pace import Terms
from clients.requests import Requests
from clients.settings import ClientSettings
from clients.wire import Answer, Message, Notice, Refusal, decode, whole

__all__ = ["Connection"]

_logger = logging.getLogger("edgebus.clients")


class Connection:
    """One open connection. The opener calls ``close`` when the connection is over, however it ended."""

    def __init__(self, websocket: ClientConnection, settings: ClientSettings, terms: Terms | None = None) -> None:
        self._websocket, self._settings = websocket, settings
        self._tasks: set[asyncio.Task[None]] = set()
        self._crash: BaseException | None = None
        self._refusal: Refusal | None = None
        terms = terms if terms is not None else Terms(settings.max_request_bytes)
        self.requests = Requests(terms, settings.timing, self.spawn)
        self.publish_rate: int | None = None
        """Events per second that the edge takes, as the welcome says; None without a word."""
        self.come_back_at: float | None = None
        """When the edge advised to come back, on the client's clock; None without advice."""

    @classmethod
    async def open(cls, url: str, settings: ClientSettings, terms: Terms | None = None) -> Self:
        """Connect and shake hands; ``terms`` are the limits that earlier connections found out.

        Raises:
            Unreachable: the attempt failed; another one may go well. ``Untrusted`` when the certificate is the reason,
                ``Redirected`` when the edge points to another address.
            Dismissed: the handshake was refused in a way that says it never will go well.

        """
        return cls(await dial(url, settings), settings, terms)

    async def authenticate(self, token: str) -> None:
        """Show the token before any other message; no task reads from the connection yet.

        Raises:
            AuthenticationFailed: the edge does not take the token.
            Unsendable: the token cannot be sent.
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
        asked, text = self.requests.compose(verb, data)
        with suppress(ConnectionClosed):  # reading says why
            await self._websocket.send(text)
        while True:
            try:
                message = await self.next()
            except Dismissed as error:
                raise _of_token(error) from None
            if isinstance(message, Answer | Refusal) and message.asked == asked:
                return message

    # Messages from the edge.

    async def next(self) -> Message | None:
        """Return the next message, None for a message without a meaning here. May be cancelled without loss.

        Raises:
            Disconnected: the connection ended.
            Dismissed: the edge ended the connection for good.
            Exception: the error with which a task of ``spawn`` failed.

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
                *_, rate, publish_rate = NoticeName.SESSION_CREATED.values(data)
                self.publish_rate = whole(publish_rate)
                if known_rate := whole(rate):
                    self.requests.welcomed(known_rate)
        return message

    def _note_refusal(self, refusal: Refusal) -> None:
        if refusal.is_about_the_token:
            self._refusal = refusal
        elif refusal.code == Code.RATE_LIMIT_EXCEEDED:
            self.requests.refused(advised_s(refusal.retry_after_ms or 0))
        elif refusal.asked is None:  # no request is named, so no caller can be told
            fields = {"code": refusal.code, "reason": refusal.sentence}
            _logger.warning("the edge refused a message without saying which", extra=fields)

    def _ending(self, error: ConnectionClosed) -> ClientError:
        close = error.rcvd or error.sent
        if close is None:
            return Disconnected("the connection broke")
        if error.rcvd is not None and close.code == CloseCode.MESSAGE_TOO_BIG and self.requests.too_long(close.reason):
            return Disconnected(f"the connection ended: {error}")
        # An edge says in a refusal what is wrong with a token, and closes with a code that alone does not say so.
        retry_ms = None if self._refusal is None else self._refusal.retry_after_ms
        was_refused = self._refusal is not None
        dismissed = for_good(close.code, close.reason, was_refused=was_refused, retry_after_ms=retry_ms)
        return dismissed or Disconnected(f"the connection ended: {error}")

    # Tasks.

    def start(self) -> None:
        """Begin to send the requests."""
        self.spawn(self._write(), "client writer")

    async def _write(self) -> None:
        with suppress(ConnectionClosed):  # reading says why
            while True:
                await self._websocket.send(await self.requests.outgoing.get())

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run ``work`` for as long as the connection lasts; if the task fails, the connection ends with its error."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._crash = task.exception()
            self._websocket.transport.abort()

    async def close(self) -> None:
        """End the connection and its tasks."""
        try:
            await end(tuple(self._tasks))
            await self._websocket.close()
        finally:
            # A closing handshake that is cancelled or times out must not leave the socket to the garbage collector.
            self._websocket.transport.abort()


def _of_token(error: Dismissed) -> Dismissed:
    """Return the meaning of a close when only the token was sent: with 1009, the edge takes no token of this length."""
    if error.code != CloseCode.MESSAGE_TOO_BIG or isinstance(error, AuthenticationFailed):
        return error
    return AuthenticationFailed(error.code, f"the token is longer than the edge takes: {error.reason}")

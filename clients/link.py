"""One connection to an edge, from the handshake to its end: what is asked, and who waits for the answer.

It knows nothing of subscriptions, and of reconnecting only what the edge said about it.
"""

import asyncio
import itertools
import logging
import ssl
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Final, Self, TypeAlias
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

from bus.tasks import end
from clients.comeback import for_good, refused_for_good
from clients.errors import AuthenticationFailed, ClientError, Disconnected, Unreachable, Untrusted
from clients.keepalive import HearingConnection
from clients.settings import ClientSettings
from clients.wire import Answer, Message, Refusal, decode, encode

__all__ = ["Hear", "Link"]

Hear: TypeAlias = Callable[[Answer | Refusal | None], None]
"""Takes the answer, or None when the connection ended before it came. Called once."""

_quiet: Final = logging.getLogger("edgebus.clients.websockets")
"""The library's own log: every frame at debug level, tokens included, so it stays above that."""
_quiet.setLevel(logging.WARNING)

_UNKNOWN_ISSUER: Final = frozenset({18, 19, 20, 21})
"""Of OpenSSL's verification: self-signed, self-signed in the chain, an issuer not at hand (two of them)."""
_AUTH_CODES = frozenset({"AUTH_REQUIRED", "AUTH_FAILED"})


class Link:
    """One open connection. Whoever opened it calls ``close`` when it is over, however it ended."""

    def __init__(self, websocket: ClientConnection, settings: ClientSettings) -> None:
        self._websocket, self._settings = websocket, settings
        self._outgoing: asyncio.Queue[str] = asyncio.Queue()
        self._hearers: dict[str, Hear] = {}
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._crash: BaseException | None = None
        self._was_refused = False
        self.come_back_at: float | None = None
        """When the edge advised to come back, on the client's clock; None when it did not."""

    @classmethod
    async def open(cls, url: str, settings: ClientSettings) -> Self:
        """Connect and shake hands.

        Raises:
            Unreachable: it did not go well; another attempt may. ``Untrusted`` when it is for the certificate.
            Dismissed: the handshake was refused in a way that says it never will.

        """
        try:
            return cls(await _connected(url, settings), settings)
        except InvalidStatus as error:
            status = error.response.status_code
            raise refused_for_good(status) or Unreachable(f"{url} answers with HTTP {status}") from None
        except TimeoutError:
            raise Unreachable(f"nothing answers at {url} within {settings.open_timeout_s:g} s") from None
        except ssl.SSLCertVerificationError as error:
            raise Untrusted(_untrusted(url, error)) from error
        except (OSError, InvalidHandshake, WebSocketException) as error:
            raise Unreachable(f"no edge answers at {url}: {error}") from error

    async def authenticate(self, token: str) -> None:
        """Show the token before anything else; nobody else reads yet.

        Raises:
            AuthenticationFailed: the edge does not take it.
            Disconnected: the edge did not say.
            Dismissed: the edge closed for good.

        """
        try:
            async with asyncio.timeout(self._settings.open_timeout_s):
                answer = await self._exchange("auth", {"token": token})
        except TimeoutError:
            raise Disconnected("the edge did not answer to the token") from None
        match answer:
            case Refusal(code=code, sentence=sentence) if code in _AUTH_CODES:
                raise AuthenticationFailed(1008, sentence)
            case Refusal(code=code, sentence=sentence):
                raise Disconnected(f"the edge did not look at the token: {code}: {sentence}")

    async def _exchange(self, verb: str, data: Mapping[str, Any]) -> Answer | Refusal:
        asked = str(next(self._numbers))
        with suppress(ConnectionClosed):  # reading says why
            await self._websocket.send(encode(verb, data, asked))
        while True:
            message = await self.next()
            if isinstance(message, Answer | Refusal) and message.asked in (asked, None):
                return message

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
        self._was_refused |= isinstance(message, Refusal) and message.code in _AUTH_CODES
        return message

    def _ending(self, error: ConnectionClosed) -> ClientError:
        close = error.rcvd or error.sent
        if close is None:
            return Disconnected("the connection broke")
        dismissed = for_good(close.code, close.reason, was_refused=self._was_refused)
        return dismissed or Disconnected(f"the connection ended: {error}")

    def start(self) -> None:
        """Begin to send what is asked."""
        self.spawn(self._write(), "client writer")

    async def _write(self) -> None:
        with suppress(ConnectionClosed):  # reading says why
            while True:
                await self._websocket.send(await self._outgoing.get())

    def ask(self, verb: str, data: Mapping[str, Any], hear: Hear | None = None) -> str:
        """Send a request in its turn, and return its id; ``hear`` is called with the answer.

        Raises:
            TypeError: ``data`` holds what JSON cannot carry.

        """
        asked = str(next(self._numbers))
        self._outgoing.put_nowait(encode(verb, data, asked))
        if hear is not None:
            self._hearers[asked] = hear
        return asked

    def forget(self, asked: str) -> None:
        """Wait for an answer no more."""
        self._hearers.pop(asked, None)

    def answered(self, answer: Answer | Refusal) -> None:
        """Give an answer to whoever asked."""
        hear = self._hearers.pop(answer.asked, None) if answer.asked is not None else None
        if hear is not None:
            hear(answer)

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
        hearers, self._hearers = self._hearers, {}
        for hear in hearers.values():
            hear(None)

    async def close(self) -> None:
        """End the connection and everything that belongs to it."""
        try:
            await end(tuple(self._tasks))
            await self._websocket.close()
        finally:
            self._websocket.transport.abort()


_THIS_MACHINE: Final = ("127.0.0.1", "localhost", "::1")


def _untrusted(url: str, error: ssl.SSLCertVerificationError) -> str:
    sentence = f"the certificate at {url} is not trusted ({error.verify_message.rstrip('.')})"
    if error.verify_code not in _UNKNOWN_ISSUER:
        return sentence
    return f"{sentence}; if you trust who signed it, name that file: SSL_CERT_FILE=ca.pem (or ClientSettings.tls)"


async def _connected(url: str, settings: ClientSettings) -> ClientConnection:
    return await connect(
        url,
        additional_headers=dict(settings.headers),
        compression=None,
        create_connection=HearingConnection,
        open_timeout=settings.open_timeout_s,
        ping_interval=settings.ping_interval_s,
        ping_timeout=settings.ping_timeout_s,
        close_timeout=settings.close_timeout_s,
        max_size=settings.max_message_bytes,
        logger=_quiet,
        proxy=None if urlsplit(url).hostname in _THIS_MACHINE else True,  # a proxy may be named for the world outside
        ssl=(settings.tls or True) if url.lower().startswith("wss:") else None,
    )

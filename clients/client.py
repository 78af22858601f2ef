"""A client of one edge: keeps a connection, and its subscriptions whole across connections.

What subscriptions say to the edge, and hear from it, is in ``subscriptions.py``; here is the connection, and who the
client is.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from bus.service import Service
from bus.tasks import end
from bus.words import NoticeName
from clients.comeback import advised_s, delay_s, rarely_s
from clients.connection import Connection
from clients.dialing import place
from clients.errors import (
    AuthenticationFailed,
    ClientClosed,
    ClientError,
    Disconnected,
    Dismissed,
    Redirected,
    RequestTimeout,
    Unreachable,
    Unsendable,
    WrongAddress,
)
from clients.pace import Terms
from clients.proxies import without_secrets
from clients.renewal import Renewal
from clients.settings import ClientSettings
from clients.subscription import Subscription
from clients.subscriptions import Subscriptions, refused
from clients.token import Token, TokenFault, TokenSource
from clients.typed import Catalogue
from clients.values import Received
from clients.wire import Answer, Message, Notice, Refusal, whole

__all__ = ["Client", "ClientStatistics", "connect"]

_STEADY_S: Final = 5.0
"""A connection that lasted this long went well: the next attempt to reconnect is a first one."""

_logger = logging.getLogger("edgebus.clients")


@dataclass(frozen=True, slots=True)
class ClientStatistics:
    """Counters: connections made, subscriptions, values that wait in them, and repeated events that were dropped."""

    connections: int
    subscriptions: int
    waiting: int
    duplicates: int


def connect(
    url: str,
    *,
    token: Token | None = None,
    service: Service | None = None,
    retry_first: bool = False,
    settings: ClientSettings | None = None,
) -> "Client":
    """Return a client of the edge at ``url``; ``async with`` opens it.

    Args:
        url: ``ws://…`` or ``wss://…``.
        token: shown as the first message of every connection; None for an edge that wants none.
        service: its catalogue, for typed events and answers.
        retry_first: open at once, and keep trying when no edge answers yet. Otherwise the first connection must
            succeed; later ones are retried for ever in either case.
        settings: limits and timeouts.

    Raises:
        WrongAddress: ``url`` is no WebSocket URL.

    """
    try:
        parse_uri(url)
    except (InvalidURI, ValueError) as error:
        why = error.msg if isinstance(error, InvalidURI) else error
        raise WrongAddress(f"{without_secrets(url)} is no address of an edge: {why}") from None
    return Client(url, token=token, service=service, retry_first=retry_first, settings=settings)


class Client:
    """See ``connect``. For one event loop.

    A connection that ends is made anew for ever: after a wait with full jitter, or the one that the edge advised. Each
    subscription then goes on after its last event. What says not to come back (close codes 1007, 1008, 1009 and 4001)
    ends the client: its iterators hand over what they have, then raise the error. So do most HTTP answers of 400 to 499
    and redirects to other addresses, until a connection went well: after that they are a proxy's on a bad day, and the
    client tries on, rarely. Likewise when the caller's ``token`` raises.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Token | None = None,
        service: Service | None = None,
        retry_first: bool = False,
        settings: ClientSettings | None = None,
    ) -> None:
        self.url = url
        self._token, self._catalogue, self._retry_first = TokenSource(token), Catalogue(service), retry_first
        self._settings = settings if settings is not None else ClientSettings()
        self._timing = self._settings.timing
        self._subscriptions = Subscriptions(self._settings, self._catalogue)
        self._terms = Terms(self._settings.max_request_bytes)
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._over: Exception | None = ClientClosed("the client is not open: use `async with`")
        self._connections = 0
        self._back_at: float | None = None
        self._least_s = 0.0
        self._waits_rarely = False
        self._told: str | None = None

    # Opening and closing.

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            Unreachable: no edge answers, and ``retry_first`` was not asked for; ``Untrusted`` when its certificate is
                not trusted.
            Dismissed: the edge does not want this client; ``AuthenticationFailed`` when it is for the token.
            Exception: what the caller's ``token`` raised.

        """
        connection = None
        try:
            connection = await self._open()
        except TokenFault as error:
            raise error.__cause__ or error from None
        except Unreachable as error:
            if not self._retry_first:
                raise
            self._found_nobody(error)
        except Disconnected as error:
            if not self._retry_first:
                raise Unreachable(str(error)) from error
        self._over = None
        self._connection = connection
        self._task = asyncio.create_task(self._run(connection), name="client")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """Close the connection and end every iterator; calling it twice is harmless."""
        task, self._task = self._task, None
        self._finish(ClientClosed("the client was closed"))
        if task is not None:
            await end([task])
        if self._connection is not None:  # the task had not begun
            connection, self._connection = self._connection, None
            await connection.close()

    def _finish(self, error: Exception) -> None:
        """End whatever waits on the client. Closing is no error for those who iterate."""
        if self._over is None:
            self._over = error
        self._subscriptions.end(None if isinstance(error, ClientClosed) else error)

    # What callers do.

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection at the moment, as far as one can know."""
        return self._connection is not None

    def statistics(self) -> ClientStatistics:
        """Return the counters."""
        subscriptions = self._subscriptions
        return ClientStatistics(self._connections, len(subscriptions), subscriptions.waiting, subscriptions.duplicates)

    def subscribe(self, channel: str, *, since: str | None = None, last: int | None = None) -> Subscription:
        """Follow ``channel``: from now on, after ``since``, or from the ``last`` so many events on.

        Iterate over what it returns. ``since`` is a position, an ISO time with its offset, or a span such as
        ``"-15m"``; the edge judges it. ``async with`` waits until the edge has confirmed.

        Raises:
            AlreadyFollowed: this client has a subscription of the channel.
            ValueError: both ``since`` and ``last`` are given.
            Unsendable: an argument is nothing that JSON can carry.
            ClientError: the client is closed, or ended by an error.

        """
        if self._over is not None:
            raise self._over
        return self._subscriptions.subscribe(channel, since=since, last=last)

    def unsubscribe(self, channel: str) -> None:
        """End the subscription of ``channel`` at once; of one that there is not, do nothing."""
        self._subscriptions.unsubscribe(channel)

    async def request(
        self, verb: str, data: Mapping[str, Any] | None = None, /, *, timeout_s: float | None = None, **fields: Any
    ) -> Any:
        """Ask the edge; return the answer's data, as its model when the client has the service's catalogue.

        ``data`` and ``fields`` together are what is asked. Never repeated by itself: whether that is right, the caller
        knows. May be cancelled; the edge answers then to nobody.

        Raises:
            Disconnected: there is no connection, or it ended before the answer came.
            RequestTimeout: no answer in ``timeout_s``, else the settings' ``request_timeout_s``.
            Refused: the edge answered with an error.
            WrongAnswer: the answer does not fit the model.
            Unsendable: ``data`` holds what JSON cannot carry, or more than the edge takes.

        """
        connection = self._connected()
        limit_s = self._settings.request_timeout_s if timeout_s is None else timeout_s
        try:
            async with asyncio.timeout(limit_s):
                answer = await connection.exchange(verb, {**(data or {}), **fields})
        except TimeoutError:
            raise RequestTimeout(f"{verb}: no answer within {limit_s:g} s") from None
        match answer:
            case Answer(data=found):
                return self._catalogue.answer(verb, found)
            case Refusal():
                raise refused(answer)
            case Unsendable():
                raise answer
        raise Disconnected("the connection ended before the answer came")

    def _connected(self) -> Connection:
        if self._over is not None:
            raise self._over
        if self._connection is None:
            raise Disconnected("there is no connection at the moment")
        return self._connection

    # One connection after another.

    async def _run(self, connection: Connection | None) -> None:
        try:
            await self._stay_connected(connection)
        except ClientError as error:
            self._finish(error)
        except Exception as error:
            _logger.exception("the client failed", extra={"url": place(self.url)})
            self._finish(error)

    async def _stay_connected(self, connection: Connection | None) -> None:
        """Raise what ends the client for good."""
        clock, attempt = self._timing.clock, 0
        while True:
            begun = clock()
            if connection is not None:
                await self._live(connection)
                attempt = 0 if clock() - begun >= _STEADY_S else attempt
            await self._timing.sleep(self._pause_s(attempt))
            attempt += 1
            connection = await self._reopen()

    def _pause_s(self, attempt: int) -> float:
        """Return how long to wait now: as a leaving edge advised, rarely, or by the dice but for what was asked for."""
        back_at, self._back_at = self._back_at, None
        least_s, self._least_s = self._least_s, 0.0
        is_rare, self._waits_rarely = self._waits_rarely, False
        if back_at is not None:
            return max(0.0, back_at - self._timing.clock())
        dice = self._timing.dice()
        return max(least_s, rarely_s(dice) if is_rare else delay_s(attempt, dice))

    async def _reopen(self) -> Connection | None:
        """Open another connection, None where that did not go well; raise what no time will mend."""
        try:
            return await self._open()
        except Dismissed as error:
            self._took_refusal(error)
        except Unreachable as error:
            self._found_nobody(error)
        except (Disconnected, Unsendable) as error:
            self._note(error)
        return None

    def _found_nobody(self, error: Unreachable) -> None:
        """Take note of when to try again."""
        self._waits_rarely = isinstance(error, TokenFault | Redirected) and self._connections > 0
        if error.retry_after_s is not None:  # everybody was told the same, so the dice spread them
            self._least_s = error.retry_after_s + delay_s(0, self._timing.dice())
        self._note(error)

    def _took_refusal(self, error: Dismissed) -> None:
        """Find out whether to try again after a refusal; raise it if not.

        After a good connection an HTTP answer says nothing for good: it may be that of a proxy whose edge restarts.
        """
        if error.is_handshake and self._connections > 0:
            self._waits_rarely = True
            self._note(error)
        elif isinstance(error, AuthenticationFailed) and not error.is_handshake:
            self._token.rejected(error)
            self._least_s = advised_s(error.retry_after_ms or 0)
        else:
            raise error

    def _note(self, error: ClientError) -> None:
        """Log why there is no connection; what hardly passes by itself, once at a level that people see."""
        reason = str(error)
        is_news = self._told != reason and isinstance(error, Dismissed | Redirected | TokenFault | Unsendable)
        self._told = reason if is_news else self._told
        cause = error.__cause__ if is_news and isinstance(error, TokenFault) else None
        level = logging.WARNING if is_news else logging.DEBUG
        _logger.log(level, "no connection yet", extra={"url": place(self.url), "reason": reason}, exc_info=cause)

    async def _open(self) -> Connection:
        token = await self._token.fresh()
        connection = await Connection.open(self.url, self._settings, self._terms)
        is_in = False
        try:
            if token is not None:
                await connection.authenticate(token)
            is_in = True
        finally:
            if not is_in:
                await connection.close()
        self._connections += 1
        self._told = None
        self._token.accepted()
        return connection

    async def _live(self, connection: Connection) -> None:
        """Serve one connection to its end; return if another may follow."""
        self._connection = connection
        renewal = Renewal(connection, self._token, self._timing)
        connection.start()
        self._subscriptions.connection_came(connection)
        reason = "the client is closed"
        try:
            while True:
                self._take(connection, renewal, await connection.next())
        except Disconnected as error:
            reason = str(error)
            self._back_at = connection.come_back_at
        except AuthenticationFailed as error:
            reason = str(error)
            self._took_refusal(error)
            reason = f"the edge does not take the token any more ({error.reason}); another one is shown"
        except Exception as error:
            reason = str(error) or type(error).__name__
            raise
        finally:
            self._connection = None
            self._subscriptions.connection_went()
            connection.give_up()
            self._subscriptions.interrupt("link", reason)
            await connection.close()

    # Messages.

    def _take(self, connection: Connection, renewal: Renewal, message: Message | None) -> None:
        match message:
            case Received():
                self._subscriptions.arrived(message)
            case Answer() | Refusal():
                connection.answered(message)
            case Notice(channel=None):
                self._notice(connection, renewal, message)
            case Notice():
                self._subscriptions.notice(message)

    def _notice(self, connection: Connection, renewal: Renewal, notice: Notice) -> None:
        match notice.event:
            case NoticeName.BUS_DEGRADED:
                (reason,) = NoticeName.BUS_DEGRADED.values(notice.data)
                self._subscriptions.interrupt("bus", str(reason or "the edge cannot reach Redis"))
            case NoticeName.BUS_RESTORED:
                self._subscriptions.restore()
            case NoticeName.EDGE_DRAINING:
                (wait_ms,) = NoticeName.EDGE_DRAINING.values(notice.data)
                connection.come_back_at = self._timing.clock() + advised_s(whole(wait_ms) or 0)
            case NoticeName.AUTH_EXPIRING:
                renewal.begin(notice)

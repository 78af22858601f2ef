"""A client of one edge: keeps a connection, and its subscriptions whole across connections.

What a message means to a subscription is decided in ``follower.py``; here is only who is told, and what is sent.
"""

import asyncio
import logging
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Self

from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from bus.service import Service
from bus.tasks import end
from clients.comeback import ADVICE_LIMIT_MS, delay_s
from clients.errors import (
    AlreadyFollowed,
    AuthenticationFailed,
    ClientClosed,
    ClientError,
    Disconnected,
    Refused,
    RequestTimeout,
    Unreachable,
    WrongAddress,
)
from clients.follower import Follower
from clients.link import Link
from clients.settings import ClientSettings
from clients.subscription import Mailbox, Subscription
from clients.token import Token, TokenSource
from clients.typed import Catalogue
from clients.values import Cause, Received
from clients.wire import Answer, Message, Notice, Refusal, milliseconds

__all__ = ["Client", "ClientStatistics", "connect"]

_STEADY_S: Final = 5.0
"""A connection that lasted this long went well: the next attempt to reconnect is a first one."""
_RETRY_MS: Final = 1_000
_PASSING: Final = frozenset({"UNAVAILABLE", "RATE_LIMIT_EXCEEDED", "TIMEOUT", "INTERNAL_ERROR"})
_AUTHENTICATION: Final = frozenset({"AUTH_REQUIRED", "AUTH_FAILED"})

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
        raise WrongAddress(str(error)) from None
    return Client(url, token=token, service=service, retry_first=retry_first, settings=settings)


class Client:
    """See ``connect``. For one event loop.

    A connection that ends is made anew for ever: after a wait with full jitter, or the one that the edge advised. Each
    subscription then goes on after its last event. What says not to come back (close codes 1007, 1008, 1009 and 4001,
    most HTTP answers of 400 to 499) ends the client: its iterators hand over what they have, then raise the error.
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
        self._mailboxes: dict[str, Mailbox] = {}
        self._link: Link | None = None
        self._task: asyncio.Task[None] | None = None
        self._over: Exception | None = ClientClosed("the client is not open: use `async with`")
        self._connections = self._duplicates = 0

    # Opening and closing.

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            Unreachable: no edge answers, and ``retry_first`` was not asked for; ``Untrusted`` when its certificate is
                not trusted.
            Dismissed: the edge does not want this client; ``AuthenticationFailed`` when it is for the token.
            Exception: what the caller's ``token`` raised.

        """
        link = None
        try:
            link = await self._open()
        except Unreachable:
            if not self._retry_first:
                raise
        except Disconnected as error:
            if not self._retry_first:
                raise Unreachable(str(error)) from error
        self._over = None
        self._link = link
        self._task = asyncio.create_task(self._run(link), name="client")
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
        if self._link is not None:  # the task had not begun
            link, self._link = self._link, None
            await link.close()

    def _finish(self, error: Exception) -> None:
        """End whatever waits on the client. Closing is no error for those who iterate."""
        if self._over is None:
            self._over = error
        for mailbox in self._taken_mailboxes():
            mailbox.end(None if isinstance(error, ClientClosed) else error)

    def _taken_mailboxes(self) -> list[Mailbox]:
        mailboxes, self._mailboxes = list(self._mailboxes.values()), {}
        self._duplicates += sum(mailbox.follower.duplicates for mailbox in mailboxes)
        return mailboxes

    # What callers do.

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection at the moment, as far as one can know."""
        return self._link is not None

    def statistics(self) -> ClientStatistics:
        """Return the counters."""
        followers = [mailbox.follower for mailbox in self._mailboxes.values()]
        waiting = sum(len(follower) for follower in followers)
        duplicates = self._duplicates + sum(follower.duplicates for follower in followers)
        return ClientStatistics(self._connections, len(followers), waiting, duplicates)

    def subscribe(self, channel: str, *, since: str | None = None, last: int | None = None) -> Subscription:
        """Follow ``channel``: from now on, after ``since``, or from the ``last`` so many events on.

        Iterate over what it returns. ``since`` is a position, an ISO time with its offset, or a span such as
        ``"-15m"``; the edge judges it. ``async with`` waits until the edge has confirmed.

        Raises:
            AlreadyFollowed: this client has a subscription of the channel.
            ValueError: both ``since`` and ``last`` are given.
            ClientError: the client is closed, or ended by an error.

        """
        if self._over is not None:
            raise self._over
        if since is not None and last is not None:
            raise ValueError("since, last: give one of them")
        if channel in self._mailboxes:
            raise AlreadyFollowed(f"{channel} is followed by this client already; unsubscribe first")
        follower = Follower(
            channel,
            since=since,
            last=last,
            kind=self._catalogue.kind(channel),
            limit=self._settings.queue_limit,
            now_ms=self._now_ms(),
        )
        mailbox = self._mailboxes[channel] = Mailbox(follower, asyncio.get_running_loop())
        self._serve(mailbox)
        return Subscription(mailbox, self)

    def unsubscribe(self, channel: str) -> None:
        """End the subscription of ``channel`` at once; of one that there is not, do nothing."""
        mailbox = self._mailboxes.get(channel)
        if mailbox is not None:
            self.leave(mailbox)

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
            TypeError: ``data`` holds what JSON cannot carry.

        """
        link = self._connected()
        heard: asyncio.Future[Answer | Refusal] = asyncio.get_running_loop().create_future()
        asked = link.ask(verb, {**(data or {}), **fields}, partial(_settle, heard))
        limit_s = self._settings.request_timeout_s if timeout_s is None else timeout_s
        try:
            async with asyncio.timeout(limit_s):
                answer = await heard
        except TimeoutError:
            raise RequestTimeout(f"{verb}: no answer within {limit_s:g} s") from None
        finally:
            link.forget(asked)
        if isinstance(answer, Refusal):
            raise _refused(answer)
        return self._catalogue.answer(verb, answer.data)

    def _connected(self) -> Link:
        if self._over is not None:
            raise self._over
        if self._link is None:
            raise Disconnected("there is no connection at the moment")
        return self._link

    # What subscriptions do.

    def taken(self, mailbox: Mailbox) -> None:
        """Take note that a subscription's caller took a value: it may have caught up."""
        self._serve(mailbox)

    def leave(self, mailbox: Mailbox) -> None:
        """End a subscription that its caller has done with."""
        if mailbox.is_over:
            return
        mailbox.end(None)
        channel = mailbox.follower.channel
        self._duplicates += self._mailboxes.pop(channel).follower.duplicates
        if self._link is not None:
            self._link.ask("unsubscribe", {"channel": channel})

    # One connection after another.

    async def _run(self, link: Link | None) -> None:
        try:
            await self._stay_connected(link)
        except ClientError as error:
            self._finish(error)
        except Exception as error:
            _logger.exception("the client failed", extra={"url": self.url})
            self._finish(error)

    async def _stay_connected(self, link: Link | None) -> None:
        """Raise what ends the client for good."""
        clock, attempt = self._timing.clock, 0
        while True:
            begun = clock()
            if link is not None:
                await self._live(link)
                attempt = 0 if clock() - begun >= _STEADY_S else attempt
            await self._timing.sleep(self._pause_s(attempt, link))
            attempt += 1
            link = await self._reopen()

    def _pause_s(self, attempt: int, link: Link | None) -> float:
        if link is not None and link.come_back_at is not None:
            return max(0.0, link.come_back_at - self._timing.clock())
        return delay_s(attempt, self._timing.dice())

    async def _reopen(self) -> Link | None:
        try:
            return await self._open()
        except AuthenticationFailed as error:
            self._token.rejected(error)
        except (Unreachable, Disconnected) as error:
            _logger.debug("no connection yet", extra={"url": self.url, "reason": str(error)})
        return None

    async def _open(self) -> Link:
        token = await self._token.fresh()
        link = await Link.open(self.url, self._settings)
        is_in = False
        try:
            if token is not None:
                await link.authenticate(token)
            is_in = True
        finally:
            if not is_in:
                await link.close()
        self._connections += 1
        self._token.accepted()
        return link

    async def _live(self, link: Link) -> None:
        """Serve one connection to its end; return if another may follow."""
        self._link = link
        link.start()
        for mailbox in list(self._mailboxes.values()):
            self._serve(mailbox)
        reason = "the client is closed"
        try:
            while True:
                self._take(link, await link.next())
        except Disconnected as error:
            reason = str(error)
        except AuthenticationFailed as error:
            reason = str(error)
            self._token.rejected(error)
        finally:
            self._link = None
            link.give_up()
            self._interrupt("link", reason)
            await link.close()

    async def _renew(self, link: Link) -> None:
        """Show a new token on a connection whose token expires; if none can be had, the edge will close it."""
        with suppress(Unreachable):
            link.ask("auth", {"token": await self._token.fresh()})

    # Messages.

    def _take(self, link: Link, message: Message | None) -> None:
        match message:
            case Received(channel=channel) if channel in self._mailboxes:
                mailbox = self._mailboxes[channel]
                mailbox.follower.arrived(self._catalogue.typed(message))
                self._changed(mailbox)
            case Answer() | Refusal():
                link.answered(message)
            case Notice():
                self._notice(link, message)

    def _notice(self, link: Link, notice: Notice) -> None:
        match notice.event:
            case "room.gap" if notice.channel in self._mailboxes:
                mailbox = self._mailboxes[notice.channel]
                mailbox.follower.told_gap(notice.data)
                self._changed(mailbox)
            case "room.left" if notice.channel in self._mailboxes:
                sentence = "the new token does not open this channel"
                self._mailboxes.pop(notice.channel).end(Refused("FORBIDDEN", sentence))
            case "bus.degraded":
                self._interrupt("bus", str(notice.data.get("reason") or "the edge cannot reach Redis"))
            case "bus.restored":
                self._restore()
            case "edge.draining":
                wait_ms = min(milliseconds(notice.data, "reconnect_after_ms") or 0, ADVICE_LIMIT_MS)
                link.come_back_at = self._timing.clock() + wait_ms / 1000
            case "auth.expiring" if self._token.can_renew:
                link.spawn(self._renew(link), "client token")

    def _interrupt(self, cause: Cause, detail: str) -> None:
        for mailbox in list(self._mailboxes.values()):
            mailbox.follower.interrupted(cause, detail)
            mailbox.wake()

    def _restore(self) -> None:
        for mailbox in list(self._mailboxes.values()):
            mailbox.follower.restored()
            self._changed(mailbox)

    def _changed(self, mailbox: Mailbox) -> None:
        mailbox.wake()
        self._serve(mailbox)

    # Joining and leaving rooms.

    def _serve(self, mailbox: Mailbox) -> None:
        """Send what a subscription has to say to the edge, if anything."""
        link = self._link
        command = None if link is None or mailbox.is_over else mailbox.follower.command(self._now_ms())
        if link is None or command is None:
            return
        verb, data = command
        link.ask(verb, data, partial(self._subscribed, link, mailbox) if verb == "subscribe" else None)

    def _subscribed(self, link: Link, mailbox: Mailbox, answer: Answer | Refusal | None) -> None:
        if mailbox.is_over:
            return
        match answer:
            case Answer(data=data):
                mailbox.follower.joined(data)
            case Refusal(code=code) if code in _PASSING or answer.retry_after_ms is not None:
                self._pause(link, mailbox, answer)
            case Refusal(code=code) if code not in _AUTHENTICATION:  # after those the edge closes, and says more
                self._mailboxes.pop(mailbox.follower.channel, None)
                mailbox.end(_refused(answer))
        self._changed(mailbox)

    def _pause(self, link: Link, mailbox: Mailbox, refusal: Refusal) -> None:
        mailbox.follower.refused()
        if refusal.code == "UNAVAILABLE":
            mailbox.follower.interrupted("bus", refusal.sentence)
        wait_ms = _RETRY_MS if refusal.retry_after_ms is None else min(refusal.retry_after_ms, ADVICE_LIMIT_MS)
        wait_s = wait_ms / 1000 * (1 + self._timing.dice() / 2)  # all rooms of all clients were refused at once
        link.spawn(self._ask_again(mailbox, wait_s), f"client retry {mailbox.follower.channel}")

    async def _ask_again(self, mailbox: Mailbox, wait_s: float) -> None:
        await self._timing.sleep(wait_s)
        mailbox.follower.retry()
        self._serve(mailbox)

    def _now_ms(self) -> int:
        return math.floor(self._timing.clock() * 1000)


def _settle(heard: "asyncio.Future[Answer | Refusal]", answer: Answer | Refusal | None) -> None:
    if heard.done():
        return
    if answer is None:
        heard.set_exception(Disconnected("the connection ended before the answer came"))
    else:
        heard.set_result(answer)


def _refused(refusal: Refusal) -> Refused:
    return Refused(refusal.code, refusal.sentence, refusal.retry_after_ms)

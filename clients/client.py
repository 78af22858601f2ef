"""A client of one edge, as its caller sees the client: open and close, subscribe, request.

The connections are in ``connections.py``, the subscriptions in ``subscriptions.py``.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Self

from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from bus.event import Event
from bus.service import Service
from bus.tasks import end
from bus.values import frozen
from bus.words import Verb
from clients.connection import Connection
from clients.connections import Connections
from clients.dialing import place
from clients.errors import (
    ClientClosed,
    ClientError,
    Disconnected,
    RequestTimeout,
    Unsendable,
    WrongAddress,
)
from clients.presence import Room
from clients.proxies import without_secrets
from clients.publishes import Publishes
from clients.settings import ClientSettings
from clients.subscription import Subscription
from clients.subscriptions import Subscriptions, refused
from clients.token import Token, TokenSource
from clients.typed import Catalogue
from clients.values import Published
from clients.wire import Answer, Refusal

__all__ = ["Client", "ClientStatistics", "connect"]

_PAGE: Final = 1_000
_PAGES: Final = 100
"""The most pages of members; an edge names fewer."""

_logger = logging.getLogger("edgebus.clients")


@frozen
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
    """Return a client of the edge at ``url``; ``async with`` opens the client.

    Args:
        url: ``ws://…`` or ``wss://…``.
        token: shown as the first message of every connection; None for an edge that wants none.
        service: the edge's catalogue, for typed events and answers.
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

    A connection that ends is made anew for ever, after a wait with full jitter or after the edge's advice. Each
    subscription then goes on after its last event.

    Close codes 1007, 1008, 1009 and 4001 say not to come back and end the client: iterators hand over the values that
    wait, then raise the error. Most HTTP answers of 400 to 499, redirects to other addresses, and errors of the
    caller's ``token`` end the client likewise, but before the first good connection only. Later, the client takes such
    an answer for a proxy's on a bad day, and tries every 20 to 40 s.
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
        self._settings = settings if settings is not None else ClientSettings()
        self._catalogue, self._retry_first = Catalogue(service), retry_first
        self._subscriptions = Subscriptions(self._settings, self._catalogue)
        self._publishes = Publishes(self._settings.timing)
        self._connections = Connections(url, TokenSource(token), self._settings, self._subscriptions, self._publishes)
        self._task: asyncio.Task[None] | None = None
        self._over: Exception | None = ClientClosed("the client is not open: use `async with`")

    # Opening and closing.

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            Unreachable: no edge answers, and ``retry_first`` was not asked for; ``Untrusted`` when the edge's
                certificate is not trusted.
            Dismissed: the edge does not want this client; ``AuthenticationFailed`` for the token.
            Exception: the error of the caller's ``token``.

        """
        await self._connections.open_first(retry=self._retry_first)
        self._over = None
        self._task = asyncio.create_task(self._run(), name="client")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """Close the connection and end every iterator; calling ``close`` twice is harmless."""
        task, self._task = self._task, None
        self._finish(ClientClosed("the client was closed"))
        if task is not None:
            await end([task])
        await self._connections.close()

    async def _run(self) -> None:
        try:
            await self._connections.run()
        except ClientError as error:
            self._finish(error)
        except Exception as error:
            _logger.exception("the client failed", extra={"url": place(self.url)})
            self._finish(error)

    def _finish(self, error: Exception) -> None:
        """End the subscriptions. Closing is no error for a caller that iterates."""
        if self._over is None:
            self._over = error
        self._subscriptions.end(None if isinstance(error, ClientClosed) else error)
        self._publishes.end(error)

    # Calls.

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection at the moment, as far as a client can know."""
        return self._connections.current is not None

    def statistics(self) -> ClientStatistics:
        """Return the counters."""
        held = self._subscriptions
        return ClientStatistics(self._connections.count, len(held), held.waiting, held.duplicates)

    def subscribe(
        self,
        channel: str,
        *,
        since: str | None = None,
        last: int | None = None,
        state: bool = False,
        presence: bool | Mapping[str, Any] | None = None,
    ) -> Subscription:
        """Follow ``channel``: from now on, after ``since``, or from the ``last`` so many events on.

        Iterate over the subscription that is returned. Events of the channel come in the order of the channel's log;
        between two channels there is no order. An event that goes on two channels comes by each subscription, with the
        same ``id``. The id in ``channel`` may be plain or percent-encoded; values
        have ``channel`` as spelled here. ``since`` is a position, an ISO time with its offset, or a span such as
        ``"-15m"``; the edge judges the text. A span is a window for a first look: ``Recovered.began`` tells that this
        Redis is younger. A position is for coming back. ``async with`` waits until the edge has confirmed.

        ``presence`` is for channels with presence (docs/wire.md): True to be told who comes and leaves, by further
        values; or ``user``, ``info`` and ``notices``, as whom others see this client.

        With ``state`` the first value is a ``State``, the newest event of each of the channel's keys, and events follow
        without a hole. Whenever events are missing there is another ``State``, in place of all that came before it. The
        channel must keep a state; ``since`` is a position then, for a caller that has a state from before.

        Raises:
            AlreadyFollowed: this client has a subscription of the channel, by this name or another spelling.
            ValueError: both ``since`` and ``last`` are given, or ``state`` with a time or a number.
            Unsendable: JSON cannot carry an argument.
            ClientError: the client is closed, or ended by an error.

        """
        if self._over is not None:
            raise self._over
        return self._subscriptions.subscribe(channel, since=since, last=last, state=state, presence=presence)

    def unsubscribe(self, channel: str) -> None:
        """End the subscription of ``channel`` at once; without a subscription, do nothing."""
        self._subscriptions.unsubscribe(channel)

    async def request(
        self, verb: str, data: Mapping[str, Any] | None = None, /, *, timeout_s: float | None = None, **fields: Any
    ) -> Any:
        """Ask the edge; return the answer's data, as its model when the client has the service's catalogue.

        ``data`` and ``fields`` together are the request's data. A request is never repeated by the client: the caller
        alone knows whether a repetition does harm. May be cancelled; the edge's answer is dropped then.

        Raises:
            Disconnected: there is no connection, or the connection ended before the answer came.
            RequestTimeout: no answer in ``timeout_s``, else the settings' ``request_timeout_s``.
            Refused: the edge answered with an error.
            WrongAnswer: the answer does not fit the model.
            Unsendable: ``data`` holds a value that JSON cannot carry, or more than the edge takes.

        """
        connection = self._connected()
        limit_s = self._settings.request_timeout_s if timeout_s is None else timeout_s
        try:
            async with asyncio.timeout(limit_s):
                answer = await connection.requests.exchange(verb, {**(data or {}), **fields})
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

    async def publish(
        self,
        event: Event | str,
        data: Mapping[str, Any] | None = None,
        /,
        *,
        event_id: str | None = None,
        timeout_s: float | None = None,
        **fields: Any,
    ) -> Published:
        """Publish an event that the edge's service opens to clients; return the event's id and positions.

        Give a model, or a name with ``data`` and ``fields``. The edge fills the field that names the user, from the
        token, where another value is refused. Publishes keep their order and the edge's pace. An unanswered one is
        repeated on the next connection, with its id, and stored once; the caller may do so too, by ``event_id``, within
        two minutes. May be cancelled; whether the event was published is not known then.

        Raises:
            Refused: the edge does not take the event; a refusal that passes is repeated instead, until the time is up.
            RequestTimeout: no good answer came in ``timeout_s``, else the settings' ``request_timeout_s``.
            Unsendable: the data hold a value that JSON cannot carry, or more than the edge takes.
            ClientError: the client is closed, or ended by an error.

        """
        if self._over is not None:
            raise self._over
        limit_s = self._settings.request_timeout_s if timeout_s is None else timeout_s
        if isinstance(event, Event):
            data, event = event.model_dump(mode="json", by_alias=True), event.event_name
        return await self._publishes.publish(event, {**(data or {}), **fields}, event_id, limit_s)

    async def services(self) -> Any:
        """Return what the edge serves: the service's name, forms of channels, events and requests (docs/wire.md).

        For programs without the service's code. Raises as ``request``.
        """
        return await self.request(Verb.SERVICES)

    async def presence(self, channel: str) -> Room:
        """Return who is in the room of ``channel``, over all edges. Raises as ``request``."""
        data = await self.request(Verb.PRESENCE, channel=channel, limit=_PAGE)
        room = Room.of(channel, data)
        for _ in range(_PAGES):
            after = data.get("next")
            if not isinstance(after, str):
                return room
            data = await self.request(Verb.PRESENCE, channel=channel, limit=_PAGE, after=after)
            room = replace(room, members=room.members + Room.of(channel, data).members)
        return replace(room, is_complete=False)

    def _connected(self) -> Connection:
        if self._over is not None:
            raise self._over
        if self._connections.current is None:
            raise Disconnected("there is no connection at the moment")
        return self._connections.current

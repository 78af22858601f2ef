"""One connection after another: opened, served to its end, and replaced for ever, until an error is for good."""

from typing import Final

from bus.words import NoticeName
from clients.comeback import advised_s
from clients.connection import Connection
from clients.errors import AuthenticationFailed, Disconnected, Dismissed, Unreachable, Unsendable
from clients.pace import Terms
from clients.publishes import Publishes
from clients.renewal import Renewal
from clients.retries import Retries
from clients.settings import ClientSettings
from clients.subscriptions import Subscriptions
from clients.token import TokenFault, TokenSource
from clients.values import Received
from clients.wire import Answer, Message, Notice, Refusal, whole

__all__ = ["Connections"]

_STEADY_S: Final = 5.0
"""A connection that lasted this long went well: the next attempt to reconnect is a first one."""


class Connections:
    """The connections of one client to the edge at ``url``.

    Args:
        token: shown as the first message of every connection.
        subscriptions: hear the edge's events and notices.
        publishes: are repeated on each connection.

    """

    def __init__(
        self,
        url: str,
        token: TokenSource,
        settings: ClientSettings,
        subscriptions: Subscriptions,
        publishes: Publishes,
    ) -> None:
        self._publishes = publishes
        self._url, self._token, self._settings, self._subscriptions = url, token, settings, subscriptions
        self._timing = settings.timing
        # decisions/0054: outlives connections, for a message that was too long once is too long for the next one.
        self._terms = Terms(settings.max_request_bytes)
        self._retries = Retries(url, token, settings.timing)
        self.current: Connection | None = None
        self.count = 0
        """Connections made since the beginning."""

    async def open_first(self, *, retry: bool) -> None:
        """Make the first connection ``current``; with ``retry`` a failed attempt is no error.

        Raises:
            Unreachable: no edge answers; ``Untrusted`` when the edge's certificate is not trusted.
            Dismissed: the edge does not want this client; ``AuthenticationFailed`` for the token.
            Exception: the error of the caller's ``token``.

        """
        try:
            self.current = await self._open()
        except TokenFault as error:
            raise error.__cause__ or error from None
        except Unreachable as error:
            if not retry:
                raise
            self._retries.found_nobody(error)
        except Disconnected as error:
            if not retry:
                raise Unreachable(str(error)) from error

    async def _open(self) -> Connection:
        token = await self._token.fresh()
        connection = await Connection.open(self._url, self._settings, self._terms)
        is_in = False
        try:
            if token is not None:
                await connection.authenticate(token)
            is_in = True
        finally:
            if not is_in:
                await connection.close()
        self.count += 1
        self._retries.connected()
        self._token.accepted()
        return connection

    async def close(self) -> None:
        """Close the connection of ``open_first`` where ``run`` had no time to begin."""
        connection, self.current = self.current, None
        if connection is not None:
            await connection.close()

    async def run(self) -> None:
        """Stay connected; raise the error that ends the client for good."""
        clock, attempt = self._timing.clock, 0
        connection = self.current
        while True:
            begun = clock()
            if connection is not None:
                await self._live(connection)
                attempt = 0 if clock() - begun >= _STEADY_S else attempt
            await self._timing.sleep(self._retries.pause_s(attempt))
            attempt += 1
            connection = await self._reopen()

    async def _reopen(self) -> Connection | None:
        """Open another connection, None where the attempt failed; raise an error that no time will mend."""
        try:
            return await self._open()
        except Dismissed as error:
            self._retries.took_refusal(error)
        except Unreachable as error:
            self._retries.found_nobody(error)
        except (Disconnected, Unsendable) as error:
            self._retries.note(error)
        return None

    async def _live(self, connection: Connection) -> None:
        """Serve one connection to its end; return if another connection may follow."""
        self.current = connection
        renewal = Renewal(connection, self._token, self._timing)
        connection.start()
        self._subscriptions.connection_came(connection)
        self._publishes.connection_came(connection)
        reason = "the client is closed"
        try:
            while True:
                self._take(connection, renewal, await connection.next())
        except Disconnected as error:
            reason = str(error)
            self._retries.advised(connection.come_back_at)
        except AuthenticationFailed as error:
            reason = str(error)  # what subscriptions hear where the next line raises
            self._retries.took_refusal(error)
            reason = f"the edge does not take the token any more ({error.reason}); another one is shown"
        except Exception as error:
            reason = str(error) or type(error).__name__
            raise
        finally:
            await self._over(connection, reason)

    async def _over(self, connection: Connection, reason: str) -> None:
        # Subscriptions lose their connection before callers hear that no answer comes: a caller that subscribes in
        # answer to that must not find the dead connection. The wait for the closing handshake comes last.
        self.current = None
        self._subscriptions.connection_went()
        connection.requests.give_up()
        self._subscriptions.interrupt("link", reason)
        await connection.close()

    # Messages.

    def _take(self, connection: Connection, renewal: Renewal, message: Message | None) -> None:
        match message:
            case Received():
                self._subscriptions.arrived(message)
            case Answer() | Refusal():
                connection.requests.answered(message)
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

"""A client of an edge on a socket, whatever its bytes are: slowness, deadlines, places, the end, operators.

The dialect of the bytes is elsewhere: WebSocket in ``connection``, an answer without an end in ``stream``.
"""

import logging
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from bus.channel import Channel
from edges.limits.floods import Told
from edges.limits.quotas import Excess
from edges.protocol.envelope import ENVELOPE, Dialect
from edges.protocol.messages import OUR_BUG, SLOW, STUCK, Closing, Notice
from edges.session.context import Context
from edges.session.conversation import Conversation
from edges.transport.writing import Phase, Writer

__all__ = ["FAILED", "SILENT", "Served"]

_SLOW_CLOSE_S: Final = 2.0
"""For a slow client to read all waiting bytes and the close behind them, before the socket is cut."""
_NO_FIELDS: Final[Mapping[str, object]] = {}
_SLOW: Final = Told("closed a slow client", logging.WARNING, at_once=10)
_LATE: Final = Told("cut a client before the end of its handshake")
FAILED: Final = Told("a connection failed", logging.ERROR)
SILENT: Final = Told("cut a client without a sign of life")
_UNCLOSED: Final = Told("a connection could not be closed", logging.ERROR)


class Served(Writer):
    """A client of an edge, as rooms, the registry and operators know the client.

    Args:
        context: of the edge's connections.

    """

    __slots__ = ("_context", "_deadline", "_is_slow", "_session")

    def __init__(self, context: Context) -> None:
        super().__init__(context.loop)
        self._context = context
        self._deadline: float | None = self._loop.time() + context.settings.open_timeout_s
        self._session: Conversation | None = None
        self._is_slow = False

    # What the kinds of clients do in ways of their own.

    @property
    @abstractmethod
    def name(self) -> str:
        """Id of the connection, as in the welcome and in logs."""

    @abstractmethod
    def close(self, code: Closing) -> None:
        """Begin to close; the socket is cut after ``close_timeout_s``."""

    @abstractmethod
    def prove_alive(self, now: float) -> None:
        """Give a sign of life within seconds, or be cut."""

    @abstractmethod
    def _check_deadlines(self, now: float) -> None:
        """Look at the deadlines of the kind."""

    # Being slow.

    def pause_writing(self) -> None:
        """Take note of a client slower than the writes."""
        self._context.registry.lag(self)
        super().pause_writing()

    def resume_writing(self) -> None:
        """Take note of a client that has caught up."""
        self._context.registry.catch_up(self)
        super().resume_writing()

    def close_slow(self, code: Closing = SLOW) -> None:
        """Close a slow client; a client for which not even a close frame may wait is cut off."""
        if self._phase is not Phase.OPEN:
            return
        settings, self._is_slow = self._context.settings, True
        # decisions/0032: a client that cannot keep up starts over with `since`; a queue without a bound ends the edge.
        self._context.counters.hit_slow("slow_deadline_s" if code is STUCK else "max_waiting_bytes")
        rooms = () if self._session is None else self._session.rooms.values()
        self._note(_SLOW, code.reason, self._outgoing.told(rooms, self._loop.time()))
        if not self._outgoing.takes_close_frame:
            self._cut_slow()
            return
        self.close(code)
        self._deadline = self._loop.time() + min(_SLOW_CLOSE_S, settings.close_timeout_s)

    def _note(
        self, told: Told, reason: str, fields: Mapping[str, object] = _NO_FIELDS, error: Exception | None = None
    ) -> None:
        """Tell the log of the client, or count the client in a sum."""
        who = {"connection": self.name} if self._session is None else self._session.fields
        self._context.floods.note(told, reason, self.visitor.address, {**who, **fields}, error=error)

    def _cut_slow(self) -> None:
        self._context.counters.cut += self._is_slow
        self.cut()

    # Deadlines, faults and the end.

    def connection_lost(self, error: Exception | None) -> None:
        """Take note of the socket's end."""
        self._plain = None
        self._come_to(Phase.GONE)
        self._context.registry.exit(self)
        self._release_drain()
        if self._session is not None:
            self._session.end()
            self._session = None  # the two hold each other

    def check_deadlines(self, now: float) -> None:
        """Look at deadlines at ``now``; a bug of the edge closes the one connection and no other."""
        try:  # not by `_failing`: a context manager for each client, each second, costs as much as the look
            self._check_deadlines(now)
        except Exception as error:  # noqa: BLE001 (told, with its traceback)
            self._failed(error)

    def _cut_late(self) -> None:
        if self._phase is Phase.OPENING:
            self._context.counters.hit("open_timeout_s")
            self._note(_LATE, "open_timeout_s")
        self._cut_slow()

    def _check_standing(self, now: float) -> None:
        if self._session is not None and self._phase is Phase.OPEN:
            self._session.check_standing(now)

    def check_revoked(self) -> None:
        """Send the client away if the token was revoked; a bug of the edge closes the client, too."""
        with self._failing():
            if self._session is not None and self._phase is Phase.OPEN:
                self._session.check_revoked()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 (told, with its traceback)
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self._note(FAILED, type(error).__name__, error=error)
        self.fail()

    def fail(self) -> None:
        """Close for a bug of the edge; where closing fails as well, cut the socket."""
        try:
            self.close(OUR_BUG)
        except Exception as error:  # noqa: BLE001 (told, with its traceback)
            self._note(_UNCLOSED, type(error).__name__, error=error)
            self.cut()

    def cut(self) -> None:
        """Drop the socket now, with all waiting bytes."""
        self._come_to(Phase.GONE)
        self._transport.abort()

    @property
    def session(self) -> Conversation | None:
        """The client's conversation; None before the way in is done, and on the way out."""
        return self._session if self._phase is Phase.OPEN else None

    def _suspend(self) -> None:
        if self._session is not None:
            self._session.suspend()

    def _note_way(self) -> None:
        if self._rooms:
            self._context.hub.note_way()

    def _readmit(self) -> None:
        if self._session is not None:
            self._session.readmit()

    # What rooms and the registry ask.

    def identify(self, user: str) -> Excess | None:
        """Count the connection for ``user``, or return the bound that the user has reached."""
        return self._context.registry.identify(self, user, self._loop.time())

    def be_found(self, names: tuple[str, ...]) -> None:
        """Be found by ``names`` from now on: the members of revocations that concern the client."""
        self._context.registry.name(self, names)

    def take_place(self) -> bool:
        """Take a place among the clients; tell whether there was room."""
        return self._context.registry.take_place(self)

    @property
    def dialect(self) -> Dialect:
        """The client's dialect at the moment."""
        return ENVELOPE if self._session is None else self._session.dialect

    def recover(self, channel: Channel, position: str) -> None:
        """Catch up with a room from ``position`` on, at the client's pace; the room has let the client go."""
        if self._session is not None:
            self._session.recover(channel, position)

    def notify(self, notice: Notice) -> bool:
        """Tell the client a notice, unless the welcome is still due; return whether the client was told."""
        with self._failing():
            return self._session is not None and self._session.notify(notice)
        return False

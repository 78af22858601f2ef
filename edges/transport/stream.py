"""A client that hears events over plain HTTP: an answer without an end, on a socket that a handshake was read from.

The close of the connection ends the answer: proxies of any age pass that on, and a stream has no other end.
"""

import asyncio
import random
import socket
import uuid
from typing import Final

from bus.words import PASSING, Code, Verb
from edges.limits.floods import Told
from edges.protocol.event_stream import EVENT_STREAM
from edges.protocol.messages import AT_CAPACITY, KEEPALIVE, STUCK, Closing, Refusal
from edges.session.client import SENT_AWAY
from edges.session.context import Context
from edges.session.feed import Feed
from edges.session.replies import RETRY_AFTER_MS, failed
from edges.session.tallies import outcome_of
from edges.transport import http
from edges.transport.admission import excess_of, refused, shared_with
from edges.transport.following import Following
from edges.transport.keepalive import Due, Pulse
from edges.transport.outgoing import Outgoing
from edges.transport.served import FAILED, SILENT, Served
from edges.transport.writing import Phase

__all__ = ["Stream", "stream_of"]

_RETRY_MS: Final = (1_000, 3_000)
"""Between these, by lot, a client waits before it comes back: not all clients of an edge in one moment."""
_DEAF_BYTES: Final = 64 * 1024
"""The most that is read, and dropped, behind the request."""
_REFUSED: Final = Told("refused a stream")
_AWAY: Final = "the edge does not take clients at the moment"


class Stream(Served):
    """A client of a stream, from the request's end to the socket's.

    Args:
        context: of the edge's connections.
        following: the request.
        transport: with the request read, and nothing written.
        outgoing: of the transport.

    """

    __slots__ = ("_extra_bytes", "_feed", "_following", "_name", "_pulse")

    def __init__(
        self, context: Context, following: Following, transport: asyncio.Transport, outgoing: Outgoing
    ) -> None:
        super().__init__(context)
        self._transport, self._outgoing, self._following = transport, outgoing, following
        self.visitor, self._name = following.visitor, str(uuid.uuid4())
        settings = context.settings
        times = {"interval_s": settings.ping_interval_s, "timeout_s": settings.ping_timeout_s}
        self._pulse = Pulse(**times, now=self._loop.time())
        self._session = self._feed = Feed(self, context, following.dialect, following.follows)
        self._extra_bytes = 0

    # The way in.

    def begin(self) -> None:
        """Count the client, and look at the token and the channels; then answer."""
        registry, now, visitor = self._context.registry, self._loop.time(), self.visitor
        registry.enter(self, visitor.address, now)
        if self._context.settings.auth_required or visitor.needs_token:
            registry.expect_token(self, visitor.address)
        excess = registry.claim(self, visitor.address, now)
        if excess is not None:
            self._refuse(excess_of(excess))
        elif (closing := registry.turn_away(self)) is not None:
            self._refuse(Refusal(Code.UNAVAILABLE, closing.reason or _AWAY, retry_after_ms=RETRY_AFTER_MS))
        else:
            self._context.spawn(self._judge(), f"stream of {self._name}")

    async def _judge(self) -> None:
        try:
            refusal = await self._feed.refusal(self._following.tokens)
        except Exception as error:  # noqa: BLE001 (told, with its traceback)
            self._note(FAILED, type(error).__name__, error=error)
            refusal = failed("events", None)
        with self._failing():
            if self._phase is not Phase.OPENING:
                return
            if refusal is None and not self._needs_no_place() and not self.take_place():
                refusal = Refusal(Code.UNAVAILABLE, AT_CAPACITY.reason, retry_after_ms=RETRY_AFTER_MS)
            if refusal is None:
                self._open()
            else:
                self._refuse(refusal)

    def _needs_no_place(self) -> bool:
        """Tell whether a good token has brought a place already."""
        return self._context.settings.auth_required or self.visitor.needs_token

    def _open(self) -> None:
        head = self._head()
        if self._following.request.method == "HEAD":
            self._finish(head)
            return
        self._transport.write(head + self._following.dialect.opening(_retry_ms()))
        self._come_to(Phase.OPEN)
        self._deadline = None
        self._feed.begin()

    def _head(self) -> bytes:
        return http.stream_head(self._following.dialect.content_type, *shared_with(self._following.request))

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with a status; a browser's ``EventSource`` that is to come back, with a stream that says so."""
        following = self._following
        self._context.tallies.count(Verb.SUBSCRIBE, outcome_of(refusal), 0.0)
        self._note(_REFUSED, refusal.code, {"sentence": refusal.sentence})
        is_passing = refusal.code in PASSING and following.takes_short_stream
        if is_passing and following.request.method == "GET":
            wait_ms = max(refusal.retry_after_ms or 0, _retry_ms())
            self._finish(self._head() + following.dialect.opening(wait_ms) + following.dialect.say(refusal))
            return
        answer = refused(refusal, following.request)
        if following.request.method == "HEAD":
            answer.body = b""
        self._finish(answer.serialize())

    def _finish(self, answer: bytes) -> None:
        self._come_to(Phase.GONE)
        self._context.registry.give_back(self)
        self._transport.write(answer)
        self._feed.end()
        self._end_writing()

    # The socket's side.

    def data_received(self, data: bytes) -> None:
        """Drop bytes behind the request: no further request is answered here."""
        self._extra_bytes += len(data)
        if self._extra_bytes > _DEAF_BYTES:
            self.cut()

    def eof_received(self) -> bool:
        """Take the end of the client's bytes for the client's end; False lets the transport close."""
        # A half-closed socket and a closed one look alike until something is written; proxies end both.
        if self._phase is not Phase.GONE:
            self._come_to(Phase.CLOSING)
            self._deadline = self._loop.time() + self._context.settings.close_timeout_s
            self._release_drain()
            self._feed.end()
        return False

    def pause_reading(self) -> None:
        """Do nothing: a stream has no commands to hold back."""

    def resume_reading(self) -> None:
        """Do nothing, likewise."""

    def _check_deadlines(self, now: float) -> None:
        """Cut off a late request; say something on a silent stream; give up on a client that is not there."""
        if self._deadline is not None:
            if now >= self._deadline:
                self._cut_late()
        elif self._is_paused:
            if self._outgoing.is_stuck(now):
                self.close_slow(STUCK)
            self._pulse.excuse(now)
        else:
            self._act(self._pulse.due(now, self._outgoing))
        self._check_standing(now)

    def _act(self, due: Due | None) -> None:
        match due:
            case Due.PING:
                self.write(self._following.dialect.keepalive)
            case Due.CLOSE | Due.CUT:
                self._note(SILENT, KEEPALIVE.reason)
                self.cut()

    def prove_alive(self, now: float) -> None:
        """Say something, for the other kernel to acknowledge: another client wants the place (decisions/0057)."""
        if self._phase is Phase.OPEN and not self._is_paused and self._pulse.wants_proof(now, self._outgoing):
            self.write(self._following.dialect.keepalive)

    # The end.

    @property
    def name(self) -> str:
        """Id of the connection, as in the welcome and in logs."""
        return self._name

    def close(self, code: Closing) -> None:
        """Say why, and end the answer; the socket is cut after ``close_timeout_s``."""
        if self._phase is not Phase.OPEN:
            self.cut()
            return
        self._come_to(Phase.CLOSING)
        if not code.code.come_back:
            self._note(SENT_AWAY, code.reason)
        self._transport.write(self._following.dialect.last(code))
        self._release_drain()
        self._feed.end()
        self._end_writing()

    def _end_writing(self) -> None:
        self._deadline = self._loop.time() + self._context.settings.close_timeout_s
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()


class _Several(Stream):
    """A stream of several channels: the id of an event is the client's place in each of them.

    Lines are encoded once for all clients; the ids are the client's own, and take the line's place in its frame.
    """

    __slots__ = ("_channels", "_stands")

    def __init__(
        self, context: Context, following: Following, transport: asyncio.Transport, outgoing: Outgoing
    ) -> None:
        super().__init__(context, following, transport, outgoing)
        self._channels = b""
        self._stands = b",".join(it.place.encode() for it in following.follows)

    def _open(self) -> None:
        self._channels = b",".join(it.name.encode() for it in self._feed.channels)
        super()._open()

    def lend(self, plain: socket.socket) -> None:
        """Decline the socket: frames of rooms would go there without the client's own ids."""

    def write(self, frames: bytes, behind: bytes = b"") -> None:
        """Write finished frames of an answer, a notice or a replay."""
        super().write(self._placed(frames + behind))

    def deliver(self, frames: bytes) -> bool:
        """Write frames of a room; kept back while more rooms may have some in the same tick."""
        return super().deliver(self._placed(frames))

    def _placed(self, frames: bytes) -> bytes:
        events, self._stands = self._context.places.placed(self._channels, self._stands, frames)
        return events


def stream_of(context: Context, following: Following, transport: asyncio.Transport, outgoing: Outgoing) -> Stream:
    """Return the client of a request for a stream."""
    has_own_ids = len(following.follows) > 1 and following.dialect is EVENT_STREAM
    return (_Several if has_own_ids else Stream)(context, following, transport, outgoing)


def _retry_ms() -> int:
    return random.randint(*_RETRY_MS)  # noqa: S311 (a spread in time, and no secret)

"""The opening handshake: from a socket's first bytes to an answer, for plain HTTP too. Knows no transport.

``edges/transport/origin_policy.py`` judges origins, and the registry counts.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import field
from http import HTTPStatus
from typing import Final, TypeAlias, cast

from websockets.http11 import Request, Response
from websockets.protocol import OPEN

from bus.values import frozen, mutable
from edges.limits.floods import Told
from edges.limits.quotas import Excess
from edges.limits.registry import Timed
from edges.net.visitor import Visitor
from edges.protocol.messages import Refused
from edges.session.context import Context
from edges.session.publishing import Publishing
from edges.transport import http
from edges.transport.admission import admitted, excess_of, preflight, refused, tokens_of
from edges.transport.bearer import shown_tokens
from edges.transport.following import Following, following_of
from edges.transport.framing import WebSocket
from edges.transport.history import Past
from edges.transport.opening import Asked, Opening
from edges.transport.origin_policy import admit
from edges.transport.posting import CONTINUE, Posting, is_post, read_head
from edges.transport.routes import Answer, Route, Routes
from edges.transport.screen import Applicant, ProcessRequest, screened

__all__ = ["Asking", "Entry", "Farewell", "Handshake", "Outcome", "Word", "at_once"]

_SHOWN: Final = 200
"""So many characters of a stranger's header are logged."""

_TURNED_AWAY: Final = Told("refused a request for its origin or host")
_REFUSED: Final = Told("refused a publish")
_HOOK: Final = Told("process_request failed", logging.ERROR)
_PUBLISH: Final = Told("a publish failed", logging.ERROR)
_PAST: Final = Told("a history failed", logging.ERROR)


@mutable  # not frozen: each client has one, and a frozen one takes twice as long
class Entry:
    """The client may come in.

    Attributes:
        answer: to be written first.
        visitor: the client, as far as the handshake tells.
        tokens: as shown, for the session to look at.
        rest: the bytes behind the handshake.

    """

    answer: bytes
    visitor: Visitor
    tokens: Sequence[str] = field(repr=False)
    rest: bytes


@frozen
class Farewell:
    """No client comes in; ``answer`` ends the connection."""

    answer: bytes


@frozen
class Word:
    """The client is to go on; ``answer`` is to be written, and bytes will come."""

    answer: bytes


Outcome: TypeAlias = Entry | Farewell | Following
_PASSED: Final = Farewell(b"")
"""The hook has no objection."""


@frozen
class Asking:
    """``process_request`` is to be asked first.

    Attributes:
        outcome: asks.

    """

    outcome: Callable[[], Awaitable[Outcome]]


def at_once(
    data: bytes, now: float, context: Context, routes: Routes, websocket: WebSocket, connection: Timed, peer: Visitor
) -> Entry | Farewell | None:
    """Return the outcome for a head that was said before, but for the key, and let in; None for any other bytes.

    The rules of ``Handshake``, of which all but the quotas have judged the same words.
    """
    answer = routes.openings.answer_known(data) if routes.hook is None else None
    if answer is None:
        return None
    excess = context.registry.claim(connection, peer.address, now)
    if excess is not None:
        return _over(excess)
    websocket.open()
    return Entry(answer, peer, (), b"")


def _over(excess: Excess) -> Farewell:
    return Farewell(http.too_many(excess.name, excess.limit, excess.retry_s).serialize())


class Handshake:
    """The request of a socket, as far as the bytes have come.

    Args:
        context: of the edge's connections.
        routes: answer plain requests.
        websocket: reads the request, and writes the answer to an opening handshake.
        connection: counted by the registry.
        peer: the other end of the socket.

    """

    __slots__ = ("_connection", "_context", "_head", "_peer", "_posting", "_rest", "_routes", "_websocket")

    def __init__(
        self, context: Context, routes: Routes, websocket: WebSocket, connection: Timed, peer: Visitor
    ) -> None:
        self._context, self._routes = context, routes
        self._websocket, self._connection, self._peer = websocket, connection, peer
        self._head = bytearray()
        self._rest: bytearray | None = None
        self._posting: Posting | None = None

    def take(self, data: bytes, now: float) -> Outcome | Asking | Word | None:
        """Take bytes, gather the head of the request, and read no byte behind; return None until the head is there."""
        if self._posting is not None:
            return self._post(self._posting, data)
        if self._rest is not None:  # the hook thinks, and bytes come that the socket had before it was paused
            self._rest += data
            return None
        if not self._head and data.find(b"\r\n\r\n") == len(data) - 4:  # a head that came whole, as nearly all do
            self._rest = bytearray()
            return self._read_whole(data, now)
        self._head += data
        end = http.head_end(self._head)
        if end < 0 and len(self._head) <= http.HEAD_LIMIT_BYTES:
            return None
        end = end if end > 0 else len(self._head)
        head, self._rest = bytes(self._head[:end]), self._head[end:]
        return self._read_whole(head, now)

    def _read_whole(self, head: bytes, now: float) -> Outcome | Asking | Word | None:
        if self._context.publishing is not None and is_post(head):
            return self._begin_post(head, self._context.publishing)
        return self._read(head, now)

    def _read(self, head: bytes, now: float) -> Outcome | Asking:
        opening = (
            self._routes.openings.read(head) if self._routes.hook is None else None
        )  # a hook is given the library's request
        if opening is not None:
            return self._open(opening, now)
        library = self._websocket.library
        library.receive_data(head)
        requests = library.events_received()
        if requests:
            return self._answer(cast(Request, requests[0]), now)
        # For some of what is no request the protocol has an answer, for others only an end.
        return Farewell(b"".join(library.data_to_send()) or self._routes.refusal(head).serialize())

    def _open(self, opening: Opening, now: float) -> Outcome:
        """Judge a usual opening handshake; nothing is waited for."""
        form = opening.form
        visitor = self._counted(self._peer, now) if form.is_free else self._judged(opening, now)
        if not isinstance(visitor, Visitor):
            return visitor
        # The same words, but for the key, are judged alike; who says no word of proxies is the other end of the socket.
        form.is_free = form.is_free or visitor == self._peer
        self._websocket.open()
        return Entry(opening.answer(), visitor, self._shown(opening), bytes(self._rest or b""))

    def _screen(self, request: Request, visitor: Visitor, passed: Callable[[], Outcome]) -> Outcome | Asking:
        """Return the outcome for a request that was let ``passed``, or ask ``process_request`` before."""
        hook = self._routes.hook
        if hook is None:
            return passed()
        applicant = Applicant(self._websocket, request, visitor)
        return Asking(lambda: self._ask(hook, applicant, passed))

    async def _ask(self, hook: ProcessRequest, applicant: Applicant, passed: Callable[[], Outcome]) -> Outcome:
        # A hook that fails lets nobody in: the hook may be what keeps strangers out.
        try:
            answer = await screened(hook, applicant, self._context.settings.open_timeout_s)
        except Exception as error:  # noqa: BLE001 (told, with its traceback)
            self._tell_bug(_HOOK, error, applicant.remote_address[0])
            self._context.counters.failed_hooks += 1
            answer = http.failed("process_request failed; see the server's log")
        return passed() if answer is None else Farewell(answer.serialize())

    def _answer(self, request: Request, now: float) -> Outcome | Asking:
        if not http.is_upgrade(request) or http.lost_on_the_way(request):
            return self._answer_plain(request)
        if http.lists_too_much(request):
            return Farewell(http.too_long().serialize())
        visitor = self._judged(request, now)
        if not isinstance(visitor, Visitor):
            return visitor
        return self._screen(request, visitor, lambda: self._accept(request, visitor))

    def _judged(self, request: Asked, now: float) -> Visitor | Farewell:
        """Return who may come in, and is counted from now on; or the refusal."""
        context, peer = self._context, self._peer
        takes_tokens = not context.authenticator.is_open
        visitor = admit(request, peer.address, context.settings, is_tls=peer.is_secure, takes_tokens=takes_tokens)
        if isinstance(visitor, Response):
            return self._turn_away(request, visitor)
        return self._counted(visitor, now)

    def _counted(self, visitor: Visitor, now: float) -> Visitor | Farewell:
        # decisions/0033: before the upgrade a stranger costs one answer; after, a close frame and its wait.
        excess = self._context.registry.claim(self._connection, visitor.address, now)
        return visitor if excess is None else _over(excess)

    def _shown(self, request: Asked) -> Sequence[str]:
        context = self._context
        return () if context.authenticator.is_open else shown_tokens(request, in_query=context.settings.auth_in_query)

    def _answer_plain(self, request: Request) -> Outcome | Asking:
        self._context.registry.give_back(self._connection)  # the answer may count the clients
        route = self._routes.find(request)
        if route.answer is not Answer.AT_ONCE:
            return self._answer_events(route, request)
        if (refusal := route.guard(request)) is not None:
            return self._turn_away(request, refusal)
        return self._screen(request, self._peer, lambda: Farewell(route.handler(request).serialize()))

    # Events by plain HTTP.

    def _answer_events(self, route: Route, request: Request) -> Outcome | Asking:
        """Judge a request for events as a handshake's; whoever may ask then gets a stream, or the past."""
        context = self._context
        visitor = admitted(request, self._peer, context)
        if isinstance(visitor, Response):
            return self._turn_away(request, visitor)
        if route.answer is Answer.BEFOREHAND:
            return Farewell(preflight(request).serialize())
        if route.answer is Answer.HISTORY:
            return Asking(lambda: self._tell_past(request, visitor))
        return self._screen(request, visitor, lambda: self._follow(request, visitor))

    def _follow(self, request: Request, visitor: Visitor) -> Outcome:
        try:
            return following_of(request, visitor, tokens_of(request, self._context), self._context.settings)
        except Refused as wrong:
            if wrong.limit is not None:
                self._context.counters.hit(wrong.limit)
            return self._farewell(refused(wrong.refusal, request), request)

    async def _tell_past(self, request: Request, visitor: Visitor) -> Outcome:
        hook, context = self._routes.hook, self._context
        if hook is not None:
            applicant = Applicant(self._websocket, request, visitor)
            outcome = await self._ask(hook, applicant, lambda: _PASSED)
            if outcome is not _PASSED:
                return outcome
        now = asyncio.get_running_loop().time()
        excess = context.registry.claim(self._connection, visitor.address, now)
        if excess is not None:
            return self._farewell(refused(excess_of(excess), request), request)
        try:
            answer = await Past(request, visitor, context).answer()
        except Exception as error:  # noqa: BLE001 (told, with its traceback)
            self._tell_bug(_PAST, error, visitor.address)
            answer = http.failed("the edge failed; the fault is in its log")
        return self._farewell(answer, request)

    def _farewell(self, answer: Response, request: Request) -> Farewell:
        if request.method == "HEAD":
            answer.body = b""
        return Farewell(answer.serialize())

    # A publish.

    def _begin_post(self, head: bytes, publishing: Publishing) -> Outcome | Asking | Word | None:
        """Judge the head of a publish as a handshake's; then read the body."""
        self._context.registry.give_back(self._connection)
        request, rest = read_head(head), bytes(self._rest or b"")
        if request is None:
            return Farewell(http.no_request().serialize())
        context, peer = self._context, self._peer
        takes_tokens = not context.authenticator.is_open
        visitor = admit(request, peer.address, context.settings, is_tls=peer.is_secure, takes_tokens=takes_tokens)
        if isinstance(visitor, Response):
            return self._turn_away(request, visitor)
        posting = Posting(request, visitor, context, publishing)
        if (refusal := posting.refusal()) is not None:
            self._tell_refused(refusal, posting)
            return Farewell(refusal.serialize())
        self._posting = posting
        if posting.is_empty:
            return Asking(lambda: self._posted(posting))
        outcome = self._post(posting, rest)
        return Word(CONTINUE) if outcome is None and posting.wants_word else outcome

    def _post(self, posting: Posting, data: bytes) -> Asking | None:
        return Asking(lambda: self._posted(posting)) if posting.take(data) else None

    async def _posted(self, posting: Posting) -> Outcome:
        hook = self._routes.hook
        if hook is not None:
            applicant = Applicant(self._websocket, posting.request, posting.visitor)
            outcome = await self._ask(hook, applicant, lambda: _PASSED)
            if outcome is not _PASSED:
                return outcome
        try:
            answer = await posting.answer()
        except Exception as error:  # noqa: BLE001 (told, with its traceback)
            self._tell_bug(_PUBLISH, error, posting.visitor.address)
            answer = http.failed("the edge failed; the fault is in its log")
        if answer.status_code >= HTTPStatus.BAD_REQUEST:
            self._tell_refused(answer, posting)
        return Farewell(answer.serialize())

    def _tell_refused(self, answer: Response, posting: Posting) -> None:
        body = answer.body.decode(errors="replace")[:_SHOWN]
        status = str(answer.status_code)
        self._context.floods.note(_REFUSED, status, posting.visitor.address, {"answer": body})

    def _tell_bug(self, told: Told, error: Exception, address: str) -> None:
        self._context.floods.note(told, type(error).__name__, address, error=error)

    def _turn_away(self, request: Asked, answer: Response) -> Farewell:
        self._context.counters.strangers += 1
        origin, host = (", ".join(request.headers.get_all(name))[:_SHOWN] for name in ("Origin", "Host"))
        sentence = http.sentence_of(answer)
        self._context.floods.note(_TURNED_AWAY, sentence, self._peer.address, {"origin": origin, "host": host})
        return Farewell(answer.serialize())

    def _accept(self, request: Request, visitor: Visitor) -> Outcome:
        library = self._websocket.library
        library.send_response(library.accept(request))
        answer = b"".join(library.data_to_send())
        if library.state is not OPEN:
            return Farewell(answer)
        self._websocket.open()
        return Entry(answer, visitor, self._shown(request), bytes(self._rest or b""))

"""``GET /channels/NAME``: the past of a channel as one JSON answer. From a request to its answer.

Lines of the log are put into the answer as they are.
"""

from collections.abc import Sequence
from itertools import accumulate, takewhile
from typing import Final
from urllib.parse import unquote

import orjson
from websockets.http11 import Request, Response

from bus.channel import Channel
from bus.envelope import Arrived
from bus.errors import BusError, ChannelError
from bus.log.replay import REPLAY_EVENTS, Last, Replay, Start
from bus.position import Reason
from bus.words import Code, Verb
from edges.auth.keyring import KeysUnavailable
from edges.auth.tokens import TokenRefused
from edges.limits.quotas import network_of
from edges.net.visitor import Visitor
from edges.protocol.messages import Refusal, Refused, Said
from edges.rooms.log_reads import given
from edges.session.context import Context
from edges.session.replies import RETRY_AFTER_MS, unavailable
from edges.session.verbs.subscribe import start_of
from edges.transport import http
from edges.transport.admission import caller_of, refused, shared_with
from edges.transport.following import Query
from edges.transport.paths import HISTORY

__all__ = ["Past"]

_LAST: Final = 100
"""So many events where the request does not say."""


class Past:
    """A request for the past of a channel.

    Args:
        request: for a path below ``/channels/``.
        visitor: the client.
        context: of the edge's connections.

    """

    __slots__ = ("_context", "_request", "_visitor")

    def __init__(self, request: Request, visitor: Visitor, context: Context) -> None:
        self._request, self._visitor, self._context = request, visitor, context

    async def answer(self) -> Response:
        """Read the log, and return the answer."""
        try:
            body = await self._body()
            return http.page(body, "application/json", ("Cache-Control", "no-store"), *shared_with(self._request))
        except TokenRefused as error:
            refusal = Refusal(Code.AUTH_FAILED, str(error))
        except Refused as error:
            refusal = error.refusal
        except KeysUnavailable as error:
            refusal = Refusal(Code.UNAVAILABLE, str(error), retry_after_ms=RETRY_AFTER_MS)
        except BusError as error:
            refusal = unavailable(error, Verb.SUBSCRIBE, None)
        return refused(refusal, self._request)

    async def _body(self) -> bytes:
        start = _start_of(Query(self._request, ("last", "since"), self._context.settings))
        caller, channel = await caller_of(self._request, self._visitor, self._context), self._channel()
        if not self._context.permissions.may_read(caller, channel):
            raise Refused(Refusal(Code.FORBIDDEN, self._context.permissions.sentence(caller, channel)))
        if channel.retention.kind == "live":
            return _written(channel, None, None if isinstance(start, Last) else Reason.UNKNOWN, ())
        await self._context.first_link()
        replay = await self._replay(channel, start)
        lines = _newest(replay.lines, self._context.settings.max_answer_bytes)
        is_cut = len(lines) < len(replay.lines)
        return _written(channel, replay.position, Reason.LIMIT if is_cut else replay.reason, lines)

    def _channel(self) -> Channel:
        name = unquote(self._request.path.partition("?")[0].removeprefix(HISTORY))
        try:
            return self._context.service.channel(name)
        except ChannelError as error:
            raise Refused(Refusal(Code.INVALID_CHANNEL, f"channel: {error}")) from None

    async def _replay(self, channel: Channel, start: Start) -> Replay:
        hub = self._context.hub
        async with hub.replay_slots.slot(network_of(self._visitor.address)):
            return given(channel, await hub.log_reads.tail(channel, start), start)


def _start_of(query: Query) -> Start:
    start = start_of(Said(Verb.SUBSCRIBE, query.start())) or Last(_LAST)
    if isinstance(start, Last) and start.count > REPLAY_EVENTS:
        raise Refused(Refusal(Code.INVALID_REQUEST, f"last: the limit is {REPLAY_EVENTS}"))
    return start


def _newest(lines: Sequence[Arrived], limit_bytes: int) -> Sequence[Arrived]:
    """Return the newest lines that take at most ``limit_bytes`` together."""
    sizes = accumulate(len(it.line) + 1 for it in reversed(lines))
    count = sum(1 for _ in takewhile(lambda size: size <= limit_bytes, sizes))
    return lines[len(lines) - count :]


def _written(channel: Channel, position: str | None, reason: Reason | None, lines: Sequence[Arrived]) -> bytes:
    facts = {"channel": channel.name, "position": position, "reason": reason}
    events = b",".join(it.line for it in lines)
    return orjson.dumps(facts)[:-1] + b',"events":[' + events + b"]}\n"

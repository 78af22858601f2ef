"""``POST /publish``: the verb ``publish`` for programs without WebSocket. From a request's head to its answer.

Knows no transport: ``handshake`` brings bytes, and writes.
"""

import asyncio
import math
import re
import time
from typing import Final

from websockets.http11 import Request, Response, parse_headers
from websockets.streams import StreamReader

from bus.errors import BusError
from bus.words import Code, Verb
from edges.auth.keyring import KeysUnavailable
from edges.auth.tokens import TokenRefused
from edges.limits.quotas import network_of
from edges.net.visitor import Visitor
from edges.protocol.envelope import decode, heard
from edges.protocol.messages import Refusal, Refused
from edges.session.context import Context
from edges.session.publishing import Publishing
from edges.session.replies import RETRY_AFTER_MS, unavailable
from edges.session.verbs.publish import report, wish_of
from edges.transport import http
from edges.transport.admission import caller_of

__all__ = ["CONTINUE", "PATH", "Posting", "is_post", "read_head"]

PATH: Final = "/publish"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_LINE: Final = re.compile(rb"POST (/publish(?:\?[\x21-\x7e]*)?) (HTTP/1\.[01])\r\n")
_AROUND_BYTES: Final = 1024
"""What stands around an event's data in a body."""
_OUTCOME: Final = {200: "ok", 429: "limited", 503: "unavailable"}
_STATUS: Final = {Code.FORBIDDEN: 403, Code.RATE_LIMIT_EXCEEDED: 429, Code.UNAVAILABLE: 503}


def is_post(head: bytes) -> bool:
    """Tell whether a head is of a publish."""
    return _LINE.match(head) is not None


def read_head(head: bytes) -> Request | None:
    """Return the request of a head that ``is_post``; None for headers that are none."""
    line = _LINE.match(head)
    if line is None:
        return None
    reader = StreamReader()
    reader.feed_data(head[line.end() :])
    # `websockets` reads the head, with all its bounds, but refuses requests with a body.
    reading = parse_headers(reader.read_line)
    try:
        next(reading)
    except StopIteration as done:
        return Request(line[1].decode(), done.value, "POST", line[2].decode())
    except Exception:  # noqa: BLE001 (of many kinds, and each says that the headers are none)
        return None
    return None


class Posting:
    """A request to publish, as far as the bytes have come.

    Args:
        request: the head.
        visitor: the client.
        context: of the edge's connections.
        publishing: takes the event.

    Attributes:
        request: the head.
        visitor: the client.

    """

    __slots__ = ("_body", "_context", "_length", "_publishing", "request", "visitor")

    def __init__(self, request: Request, visitor: Visitor, context: Context, publishing: Publishing) -> None:
        self.request, self.visitor = request, visitor
        self._context, self._publishing = context, publishing
        self._body, self._length = bytearray(), 0

    def refusal(self) -> Response | None:
        """Return the answer to a request whose body is not read; None for a body to come."""
        headers, most = self.request.headers, self._context.settings.max_publish_bytes + _AROUND_BYTES
        kind = ",".join(headers.get_all("Content-Type")).partition(";")[0].strip().lower()
        if kind != "application/json":
            # decisions/0108: a page of elsewhere may send a form or a plain text unasked; JSON it must ask for first.
            return http.refused(415, "Content-Type: expected application/json")
        lengths = headers.get_all("Content-Length")
        if headers.get_all("Transfer-Encoding") or not lengths:
            return http.refused(411, "Content-Length: wanted; chunks are not read")
        if len(lengths) > 1 or re.fullmatch(r"[0-9]{1,18}", lengths[0]) is None:
            return http.refused(400, "Content-Length: expected one number")
        self._length = int(lengths[0])
        if self._length > most:
            self._context.counters.hit("max_publish_bytes")
            return http.refused(413, f"max_publish_bytes: the body has {self._length} bytes, the limit is {most}")
        expected = ",".join(headers.get_all("Expect")).strip().lower()
        return http.refused(417, "Expect: only 100-continue is known") if expected not in ("", "100-continue") else None

    @property
    def wants_word(self) -> bool:
        """Whether the client waits for a word before it sends the body (RFC 9110, section 10.1.1)."""
        waits = "Expect" in self.request.headers and self.request.protocol == "HTTP/1.1"
        return waits and not self._body and self._length > 0

    def take(self, data: bytes) -> bool:
        """Take bytes of the body; tell whether it is whole now. Bytes behind are dropped: the connection ends."""
        was_whole = len(self._body) >= self._length
        self._body += data[: self._length - len(self._body)]
        return not was_whole and len(self._body) >= self._length

    @property
    def is_empty(self) -> bool:
        """Whether there is no body to wait for."""
        return self._length == 0

    async def answer(self) -> Response:
        """Publish, and return the answer; counted as the verb is."""
        began_s = time.perf_counter()
        answer = await self._answer()
        outcome = _OUTCOME.get(answer.status_code, "refused")
        self._context.tallies.count(Verb.PUBLISH, outcome, time.perf_counter() - began_s)
        return answer

    async def _answer(self) -> Response:
        try:
            return http.answered(await self._published())
        except TokenRefused as refused:
            return http.refused(401, str(refused), Code.AUTH_FAILED, ("WWW-Authenticate", "Bearer"))
        except Refused as refused:
            return _refused(refused.refusal)
        except KeysUnavailable as error:
            return _refused(Refusal(Code.UNAVAILABLE, str(error), Verb.PUBLISH, None, RETRY_AFTER_MS))
        except BusError as error:
            return _refused(unavailable(error, Verb.PUBLISH, None))

    async def _published(self) -> dict[str, object]:
        caller = await caller_of(self.request, self.visitor, self._context)
        value = decode(bytes(self._body), values=self._context.settings.max_message_values)
        data = {key: value[key] for key in ("event", "data") if key in value}
        _, said = heard({"type": "request", "event": Verb.PUBLISH, "data": data, "id": value.get("id")})
        network, now_s = network_of(self.visitor.address), asyncio.get_running_loop().time()
        prepared = self._publishing.prepare(wish_of(said), caller, network, None, now_s)
        return report(await self._publishing.publish(prepared))


def _refused(refusal: Refusal) -> Response:
    status = _STATUS.get(refusal.code, 400)
    wait_ms = refusal.retry_after_ms
    wait = () if wait_ms is None else (("Retry-After", str(max(1, math.ceil(wait_ms / 1000)))),)
    return http.refused(status, refusal.sentence, refusal.code, *wait)

"""Requests for events, as values: which channels, from where, in which dialect. Pure; knows no channel of the service.

An id of several channels is the positions in the order of the channels, with commas between.
"""

from collections.abc import Sequence
from dataclasses import field
from typing import Final
from urllib.parse import unquote

from websockets.http11 import Request

from bus.position import is_position
from bus.spelling import canonical_name
from bus.values import frozen
from bus.words import Code, Verb
from edges.net.visitor import Visitor
from edges.protocol.event_stream import EVENT_STREAM, JSON_LINES, StreamDialect
from edges.protocol.messages import Refusal, Refused, Said
from edges.session.verbs.follow import Follow
from edges.settings import EdgeSettings
from edges.transport.http import lists_too_much

__all__ = ["CHANNELS_LIMIT", "Following", "Query", "following_of"]

CHANNELS_LIMIT: Final = 50
"""The most channels of a stream: an id names a place in each, comes with each event, and must fit a header of HTTP."""
_LAST_DIGITS: Final = 9


@frozen
class Following:
    """A request for a stream.

    Attributes:
        visitor: the client.
        tokens: as shown, for the session to look at.
        takes_short_stream: whether the client is a browser's ``EventSource``, or looks like one: such a client gives up
            for good at any other status than 200.

    """

    request: Request
    visitor: Visitor
    tokens: Sequence[str] = field(repr=False)
    dialect: StreamDialect
    follows: tuple[Follow, ...]
    takes_short_stream: bool


class Query:
    """The query of a request.

    Args:
        request: for events.
        known: the keys.
        settings: say whether a token may stand there.

    Raises:
        Refused: a key is unknown, or comes too often.

    """

    def __init__(self, request: Request, known: Sequence[str], settings: EdgeSettings) -> None:
        if lists_too_much(request):
            raise _wrong("the query lists too many values")
        pairs = [part.partition("=") for part in request.path.partition("?")[2].split("&") if part]
        # Not `parse_qs`: there a plus is a space, and neither a channel nor a time has a space, but both a plus.
        self._values = [(unquote(name), unquote(value)) for name, _, value in pairs]
        for name, _ in self._values:
            if name == "token" and not settings.auth_in_query:
                raise _wrong("token: this edge takes no token in the query; send Authorization: Bearer and the token")
            if name not in (*known, "token"):
                raise _wrong(f"{name[:40]!a}: no such key; there are {', '.join(known)}")

    def all(self, name: str) -> list[str]:
        """Return every value of a key."""
        return [value for it, value in self._values if it == name]

    def one(self, name: str) -> str | None:
        """Return the value of a key, None where it is missing.

        Raises:
            Refused: there are several.

        """
        found = self.all(name)
        if len(found) > 1:
            raise _wrong(f"{name}: give one of them")
        return found[0] if found else None

    def start(self) -> dict[str, object]:
        """Return where to begin, as data of a ``subscribe``.

        Raises:
            Refused: ``last`` is no number.

        """
        since, last = self.one("since"), self.one("last")
        if last is not None and not (last.isascii() and last.isdigit() and len(last) <= _LAST_DIGITS):
            raise _wrong("last: expected a number, 0 or more")
        return {"since": since, "last": None if last is None else int(last)}


def following_of(request: Request, visitor: Visitor, tokens: Sequence[str], settings: EdgeSettings) -> Following:
    """Return what a request for a stream wants.

    Raises:
        Refused: the query, an id or the wanted type is none.

    """
    accepted = ",".join(request.headers.get_all("Accept")).lower()
    dialect = _dialect_of(accepted)
    query = Query(request, ("channel", "since", "last"), settings)
    channels = list({canonical_name(name): name for name in query.all("channel")}.values())
    limit = min(CHANNELS_LIMIT, settings.max_rooms)
    if not channels:
        raise _wrong("channel: expected one, such as ?channel=global; for several write ?channel=a&channel=b")
    if len(channels) > limit:
        sentence, hit = f"channel: {len(channels)} of them, the limit is {limit}", len(channels) > settings.max_rooms
        raise Refused(Refusal(Code.SUBSCRIPTION_LIMIT, sentence), "max_rooms" if hit else None)
    start = query.start()
    places = _places(request, len(channels), start)
    follows = tuple(
        _follow({"channel": name, **({**start} if place is None else {"since": place})}, dialect)
        for name, place in zip(channels, places, strict=True)
    )
    is_page = dialect is EVENT_STREAM and "text/event-stream" in accepted
    return Following(request, visitor, tokens, dialect, follows, is_page)


def _follow(data: dict[str, object], dialect: StreamDialect) -> Follow:
    it = Follow.parse(Said(Verb.SUBSCRIBE, data))
    return Follow(it.channel, it.reply_to, it.start, it.appearance, it.with_state, dialect)


def _dialect_of(accepted: str) -> StreamDialect:
    if "application/x-ndjson" in accepted or "application/jsonl" in accepted:
        return JSON_LINES
    if accepted and not any(it in accepted for it in ("text/event-stream", "text/*", "*/*")):
        raise _wrong("Accept: there are text/event-stream and application/x-ndjson")
    return EVENT_STREAM


def _places(request: Request, count: int, start: dict[str, object]) -> list[str | None]:
    """Return where the client stood in each channel, by the id of the last event; None where the query decides.

    ``since`` may be such an id as well, for clients that cannot send a header.
    """
    ids = request.headers.get_all("Last-Event-ID")
    if len(ids) > 1:
        raise _wrong("Last-Event-ID: give one of them")
    since = start["since"]
    if (not ids or not ids[0]) and isinstance(since, str) and "," in since:
        ids, start["since"] = [since], None
    if not ids or not ids[0]:
        return [None] * count
    places = ids[0].split(",")
    if len(places) != count or not all(it == "" or is_position(it) for it in places):
        raise _wrong(f"Last-Event-ID: expected the id of an event of this stream: {count} positions, commas between")
    return [it or None for it in places]


def _wrong(sentence: str) -> Refused:
    return Refused(Refusal(Code.INVALID_REQUEST, sentence))

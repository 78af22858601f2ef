"""The questions of pages: a table of verbs, each from the question's data to the answer's."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any, Final, TypeAlias

from bus.admin.operator import Operator
from bus.errors import AdminError, BusError
from bus.position import is_position
from edgebus.dashboard.cards import cards_of
from edgebus.dashboard.channels import Channels
from edgebus.dashboard.flow import Filter, Taken, row_of
from edgebus.dashboard.names import is_channel
from edgebus.dashboard.reads import Reads
from edgebus.dashboard.sums import NAME
from edgebus.dashboard.watch import Watch

__all__ = ["AT_ONCE", "Answers", "BadQuestion", "text_of"]

_Verb: TypeAlias = Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any]]]

AT_ONCE: Final = frozenset({"dashboard.hello", "dashboard.now", "dashboard.flow"})
"""Verbs without a wait; the others are answered beside."""
_PAGE: Final = 100
_OFFSET: Final = 100_000
_TIME_LIMIT: Final = 1e15
_TEXT: Final = 1_000


class BadQuestion(BusError):
    """A question of a page cannot be answered; the text is the answer."""


class Answers:
    """The verbs.

    Args:
        watch: the last second.
        operator: asks edges.
        reads: reads logs.

    """

    def __init__(self, watch: Watch, operator: Operator, reads: Reads) -> None:
        self._watch, self._operator, self._reads = watch, operator, reads
        self._channels = Channels(watch.flow, operator, reads)
        self.table: Mapping[str, _Verb] = {
            "dashboard.now": self._now,
            "dashboard.flow": self._flow,
            "dashboard.event": self._event,
            "dashboard.clients": self._clients,
            "dashboard.channels": self._list_channels,
            "dashboard.channel": self._channel,
            "dashboard.history": self._history,
        }

    async def _now(self, _: str, data: Mapping[str, Any]) -> dict[str, Any]:
        return self._watch.now()

    async def _flow(self, client: str, data: Mapping[str, Any]) -> dict[str, Any]:
        return self._watch.rows(client, Filter.of(data.get("filter")))

    async def _event(self, _: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return a line whole: kept from the flow, else from the log."""
        number = data.get("number")
        kept = self._watch.flow.kept(number) if isinstance(number, int) else None
        if kept is not None and kept.channel == data.get("channel"):
            return {"line": kept.line.decode(errors="replace")}
        channel, position = text_of(data, "channel"), text_of(data, "position")
        if position and not is_position(position):
            raise BadQuestion("position: expected a position")
        return {"line": await self._reads.line(channel, position) if position else None}

    async def _list_channels(self, _: str, data: Mapping[str, Any]) -> dict[str, Any]:
        offset = data.get("offset")
        start = offset if isinstance(offset, int) and 0 <= offset <= _OFFSET else 0
        return await self._channels.page(text_of(data, "search"), text_of(data, "by"), start)

    async def _channel(self, _: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return all about a channel: its rooms, the ends of its log, what requests answer."""
        name = text_of(data, "channel")
        if not is_channel(name):
            raise BadQuestion(f"channel: {name[:100]!r} is no name of a channel")
        names = self._watch.names
        try:
            room = asdict(await self._operator.room(names.at_edge(name)))
        except AdminError as error:
            room = {"trouble": str(error)}
        first, last = await self._reads.ends(name)
        cards = await cards_of(names, self._reads.log, name)
        return {"service": names.service(name), "room": room, "first": first, "last": last, "cards": cards}

    async def _history(self, _: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return rows of a log: the newest before a time, or the oldest after a position and up to a time."""
        name, after = text_of(data, "channel"), text_of(data, "after")
        until, now_ms = data.get("untilMs"), time.time() * 1000
        before = f"{max(0, int(until))}" if isinstance(until, int | float) and 0 <= until < _TIME_LIMIT else "+"
        if after and not is_position(after):
            raise BadQuestion("after: expected a position")
        lines = await self._reads.entries(name, after=f"({after}" if after else "-", before=before, newest=not after)
        return {"rows": [row_of(Taken(0, name, it, now_ms), self._watch.names) for it in lines]}

    async def _clients(self, _: str, data: Mapping[str, Any]) -> dict[str, Any]:
        edge, user, room = (text_of(data, name) or None for name in ("edge", "user", "room"))
        # Pages are clients as well, and of no interest here.
        edges = [it.id for it in await self._operator.edges() if it.service != NAME and edge in (None, it.id)]
        page = await self._operator.clients(
            edges,
            slow=data.get("slow") is True,
            user=user,
            room=room,
            limit=_PAGE,
            cursor=text_of(data, "cursor") or None,
        )
        return {"rows": [asdict(it) for it in page.rows], "cursor": page.cursor, "silent": page.silent}


def text_of(data: Mapping[str, Any], name: str) -> str:
    """Return the text called ``name``; empty where there is none.

    Raises:
        BadQuestion: the value is no text, or too long.

    """
    value = data.get(name) or ""
    if not isinstance(value, str) or len(value) > _TEXT:
        raise BadQuestion(f"{name}: expected a text of at most {_TEXT} characters")
    return value

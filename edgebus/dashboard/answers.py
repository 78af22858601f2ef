"""What a page may ask: a table of verbs, each reading its data and returning the data of the answer."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any, Final, TypeAlias

from bus.admin.operator import Operator
from bus.errors import BusError
from edgebus.dashboard.flow import Filter
from edgebus.dashboard.reads import Reads
from edgebus.dashboard.sums import NAME
from edgebus.dashboard.watch import Watch

__all__ = ["AT_ONCE", "Answers", "BadQuestion", "text_of"]

_Verb: TypeAlias = Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any]]]

AT_ONCE: Final = frozenset({"dashboard.hello", "dashboard.now", "dashboard.flow"})
"""Verbs that never wait; the others are answered beside."""
_PAGE: Final = 100
_TEXT: Final = 1_000


class BadQuestion(BusError):
    """A question of a page cannot be answered; the text is the answer."""


class Answers:
    """The verbs.

    Args:
        watch: what is seen once a second.
        operator: asks edges.
        reads: reads logs.

    """

    def __init__(self, watch: Watch, operator: Operator, reads: Reads) -> None:
        self._watch, self._operator, self._reads = watch, operator, reads
        self.table: Mapping[str, _Verb] = {
            "dashboard.now": self._now,
            "dashboard.flow": self._flow,
            "dashboard.event": self._event,
            "dashboard.clients": self._clients,
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
        return {"line": await self._reads.line(channel, position) if position else None}

    async def _clients(self, _: str, data: Mapping[str, Any]) -> dict[str, Any]:
        edge, user, room = (text_of(data, name) or None for name in ("edge", "user", "room"))
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

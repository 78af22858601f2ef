"""Reading a channel's past for requests (``bus.log.history``): from the log's end, or from where a known past ended."""

from collections.abc import Mapping

from bus.channel import Channel
from bus.log.entries import ends
from bus.log.history import History, Known, Weighed, advanced, deleted, made, weighed
from bus.log.pages import Pages
from bus.log.reading import PAGE
from bus.log.replay import State
from bus.position import BEGINNING, order
from bus.slices import Slices

__all__ = ["Pasts"]


class Pasts:
    """Pasts of all logs, read by ``pages``. Work on many events gives way to other tasks."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    async def read(self, channel: Channel, limit_bytes: int) -> History:
        """Return the past of ``channel``, at most the newest ``limit_bytes``."""
        asked = self._pages.pace.count(None, most=PAGE)
        info, page = await self._pages.at_end(channel, ("XREVRANGE", channel.log_key, "+", "-", "COUNT", asked))
        slices, entries, size, is_cut = Slices(), list[Weighed](), 0, False
        async for entry_id, fields in self._pages.backwards(channel, page, asked=asked):
            # decisions/0044: slices of 2 ms, since a thousand large events took 21 ms of the event loop in one piece.
            await slices.give_way()
            entry = self._weighed(channel, entry_id, fields)
            size += entry.size
            is_cut = size > limit_bytes and bool(entries)
            if is_cut:
                break
            entries.append(entry)
        return made(entries[::-1], ends(info).last, deleted(info), is_cut=is_cut)

    async def advance(self, channel: Channel, history: History, limit_bytes: int) -> History | None:
        """Return ``history`` with the events since then; None where the log does not go on, or much came."""
        after = f"({history.known.last if history.known is not None else BEGINNING}"
        asked = self._pages.pace.count(None, most=PAGE)
        # decisions/0044: ends and later entries of the same moment tell whether the log goes on from the known past.
        info, page = await self._pages.at_end(channel, ("XREVRANGE", channel.log_key, "+", after, "COUNT", asked))
        slices, entries, size = Slices(), list[Weighed](), 0
        last = page[0][0].decode() if page else after[1:]
        async for entry_id, fields in self._pages.backwards(channel, page, asked=asked, after=after):
            await slices.give_way()
            entries.append(self._weighed(channel, entry_id, fields))
            size += entries[-1].size
            if size > limit_bytes:  # nothing known would be left within the limit: read anew, with whole pages
                return None
        return advanced(history, ends(info), deleted(info), entries[::-1], last=last, limit_bytes=limit_bytes)

    async def last(self, channel: Channel) -> str:
        """Return the last id that a log generated."""
        info, _ = await self._pages.at_end(channel, ("XREVRANGE", channel.log_key, "+", "-", "COUNT", 1))
        return ends(info).last

    async def of_state(self, channel: Channel, state: State, last: str, log: History | None) -> History:
        """Return the past of a state read at ``last``, with the events of a ``log`` where the state is truncated."""
        slices, entries = Slices(), dict[str, Weighed]()
        for line in state.lines:
            await slices.give_way()
            position = line.position or BEGINNING
            fields = {b"line": line.line, b"previous": (line.previous or BEGINNING).encode()}
            entries[position] = self._weighed(channel, position, fields)
        for entry in log.known.entries if log is not None and log.known is not None else ():
            if order(entry.position) <= order(last):
                entries[entry.position] = entry
        found = [entries[position] for position in sorted(entries, key=order)]
        events = [entry.event for entry in found if entry.event is not None]
        size = sum(entry.size for entry in found)
        return History(events, state.truncated, Known(last, BEGINNING, (), size, state.truncated))

    def _weighed(self, channel: Channel, position: str, fields: Mapping[bytes, bytes]) -> Weighed:
        entry = weighed(position, fields)
        if entry.event is None:
            text = "passed over an entry that is no event, or too wide or deep a one"
            self._pages.tell_foreign(channel, text, position)
        return entry
